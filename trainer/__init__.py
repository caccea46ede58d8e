"""The training job: from archived ok images to a calibrated model bundle and a report.

Its public names are those of `__init__.pyi`, such as `from trainer import read_dl_dataset_anomaly, train_dl_model`; each is imported
when it is first used. `SEED.md` says which procedure of HALCON's chapter each name stands for.
"""

from inspector.anomaly.lazy import lazy_names

__all__, __dir__, __getattr__ = lazy_names(__name__, __file__)
