"""The domain: from pictures to anomaly maps and verdicts. No broker, no messages, no I/O except for bundles.

Its public names are those of `__init__.pyi`, such as `from inspector.anomaly import read_dl_model, apply_dl_model`; each is imported
when it is first used.
"""

from inspector.anomaly.lazy import lazy_names

__all__, __dir__, __getattr__ = lazy_names(__name__, __file__)
