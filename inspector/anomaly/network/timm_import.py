"""The one place that imports timm, which is optional."""

from __future__ import annotations

import importlib
import sys
import types
from functools import cache
from typing import Any

from inspector.anomaly.errors import WeightsError


@cache
def import_timm() -> Any:  # noqa: ANN401 - a module that may not be installed where types are checked
    """Return the module `timm`.

    timm imports torchvision, of which nothing that is used here needs an operator. A build of torchvision for another build of
    torch (PyPI's beside a torch for CPUs) refuses to be imported all the same, since it describes its operators to torch; so
    it is imported without these descriptions where that is all that fails.

    Raises:
        WeightsError: It is not installed, or cannot be imported.
    """
    try:
        try:
            return importlib.import_module("timm")
        except RuntimeError as exc:
            if "operator torchvision::" not in str(exc):
                raise
        for name in [name for name in sys.modules if name.partition(".")[0] in {"timm", "torchvision"}]:
            del sys.modules[name]
        descriptions = "torchvision._meta_registrations"
        sys.modules[descriptions] = types.ModuleType(descriptions)
        return importlib.import_module("timm")
    except ModuleNotFoundError as exc:
        raise WeightsError(
            f"{exc.name} is not installed; in the clone of line-inspector, run: pip install '.[timm]'"
        ) from exc
    except (ImportError, RuntimeError) as exc:
        raise WeightsError(
            f"timm cannot be imported: {exc}; install matching releases of torch, torchvision and timm"
        ) from exc
