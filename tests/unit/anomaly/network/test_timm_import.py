"""timm is optional: where it is missing or broken, the refusal says what to do."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator

import pytest

from inspector.anomaly.errors import ParameterError, WeightsError
from inspector.anomaly.model.access import set_dl_model_param
from inspector.anomaly.model.param import create_initial_model
from inspector.anomaly.network.timm_backbone import timm_traits
from inspector.anomaly.network.timm_import import import_timm


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What was imported before is no matter, and what happens here none afterwards."""
    import_timm.cache_clear()
    timm_traits.cache_clear()
    yield
    import_timm.cache_clear()
    timm_traits.cache_clear()


def test_where_it_is_missing_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def import_module(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    with pytest.raises(WeightsError, match=r"timm is not installed; .*pip install '\.\[timm\]'"):
        import_timm()
    with pytest.raises((WeightsError, ParameterError), match="timm is not installed"):
        set_dl_model_param(create_initial_model("initial_dl_anomaly_padim"), "backbone", "timm:resnet18")


@pytest.mark.parametrize("error", [RuntimeError("no such symbol"), ImportError("half a package")])
def test_where_it_is_broken_that_is_said(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def import_module(name: str) -> None:
        raise error

    monkeypatch.setattr(importlib, "import_module", import_module)
    with pytest.raises(
        WeightsError, match=f"timm cannot be imported: {error}; install matching releases of torch, torchvision and"
    ):
        import_timm()


def test_a_torchvision_for_another_torch_is_imported_without_its_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def import_module(name: str) -> str:
        tried.append(name)
        if "torchvision._meta_registrations" not in sys.modules:
            raise RuntimeError("operator torchvision::nms does not exist")
        return "timm"

    monkeypatch.delitem(sys.modules, "torchvision._meta_registrations", raising=False)
    with monkeypatch.context() as patched:
        patched.setattr(importlib, "import_module", import_module)
        patched.setattr(sys, "modules", dict(sys.modules))
        assert import_timm() == "timm"
    assert tried == ["timm", "timm"]
