"""`trainer fit --backbone timm:NAME --weights FILE`: from random weights to a bundle that is loaded without a network."""

from __future__ import annotations

import importlib
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from inspector.anomaly.errors import BundleError, ParameterError
from inspector.anomaly.model.access import get_dl_model_param, set_dl_model_param
from inspector.anomaly.model.bundle import read_dl_model
from inspector.anomaly.model.manifest import read_manifest
from inspector.anomaly.model.param import DLModelParam, create_initial_model
from inspector.anomaly.network.timm_import import import_timm
from inspector.anomaly.preprocess.param import create_dl_preprocess_param_from_model
from tests.datasets import every_nth
from tests.fits import Fit
from tests.timm_weights import RESNET, VIT, require_timm, write_weights
from trainer.commands.cli import run

timm = require_timm()


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for another machine fails."""

    def refuse(*args: object, **options: object) -> None:
        pytest.fail(f"a connection was asked for: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize(
    ("name", "detector", "size", "expected"),
    [
        (RESNET, "padim", (96, 96), ((3, 4, 5), 1)),
        (RESNET, "student", (96, 96), ((3, 4, 5), 1)),
        (RESNET, "patchcore", (96, 96), ((3, 4), 0)),
        (VIT, "padim", (98, 98), ((6, 9, 12), 0)),
        (VIT, "patchcore", (98, 112), ((6, 9, 12), 0)),
        (VIT, "fused", (98, 112), ((6, 9, 12), 0)),
    ],
)
def test_a_fit_writes_a_bundle_that_needs_no_network(
    name: str, detector: str, size: tuple[int, int], expected: tuple[Any, int], few: Path, fit: Fit, tmp_path: Path
) -> None:
    weights = write_weights(tmp_path / "weights.safetensors", name)
    sides = ("--width", size[0], "--height", size[1])
    epochs = ("--max-num-epochs", 2) if detector == "student" else ()
    model_options = ("--detector", detector, "--backbone", name, "--weights", weights)
    said = fit(*model_options, *sides, *epochs, source=("--images", few), small=False)
    weights.unlink()
    assert (said["backbone"], said["image_width"], said["image_height"]) == (name, *size)
    assert said["image_auroc"] > 0.6, "even random features see strokes"
    model = read_dl_model(tmp_path / "out")
    assert (get_dl_model_param(model, "levels"), get_dl_model_param(model, "grid_level")) == expected
    assert model.preprocess_param.mean_values_normalization == pytest.approx((123.675, 116.28, 103.53))
    manifest, _ = read_manifest(tmp_path / "out")
    assert manifest.backbone.name == name
    assert manifest.training["model_param"]["weights"] == str(weights)
    assert len(manifest.training["weights_sha256"]) == 64
    assert manifest.training["versions"]["timm"] == timm.__version__


def test_by_default_the_input_suits_the_patches(images: Path, fit: Fit, tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "weights.safetensors", VIT)
    source = ("--images", every_nth(images / "ok", 6, tmp_path / "ok"), "--all-ok")
    options = ("--detector", "patchcore", "--coreset", 100, "--backbone", VIT, "--weights", weights)
    fit(*options, source=source, small=False)
    param = read_dl_model(tmp_path / "out").preprocess_param
    assert (param.input_size, param.size_step) == ((252, 252), 14)
    stored = json.loads((tmp_path / "out/bundle.json").read_text())["preprocess_param"]
    assert stored["size_step"] == 14


def test_a_bundle_says_that_timm_is_missing(
    few: Path, fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = write_weights(tmp_path / "weights.safetensors", RESNET)
    fit("--detector", "padim", "--backbone", RESNET, "--weights", weights, source=("--images", few))
    load = importlib.import_module

    def import_module(name: str, package: str | None = None) -> Any:
        if name == "timm":
            raise ModuleNotFoundError("No module named 'timm'", name="timm")
        return load(name, package)

    monkeypatch.setattr(importlib, "import_module", import_module)
    import_timm.cache_clear()
    with pytest.raises(BundleError, match=r"has backbone timm:resnet18: timm is not installed; .*pip install '\.\["):
        read_dl_model(tmp_path / "out")
    monkeypatch.undo()
    import_timm.cache_clear()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--detector", "student", "--backbone", VIT), ("detector student needs levels of different strides, but those "
                                                       "of timm:vit")),
        (("--detector", "padim", "--backbone", VIT, "--width", "96", "--height", "98"), "must be a multiple of 14"),
        (("--detector", "padim", "--backbone", "timm:resnet17"), "has no network resnet17"),
        (("--detector", "padim", "--backbone", RESNET, "--weights", "none.safetensors"), "none.safetensors cannot be read"),
    ],
)  # fmt: skip
def test_refusals(
    options: tuple[str, ...], words: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["fit", "--images", str(images), "--out", str(tmp_path / "x"), *options]) == 1
    assert words in " ".join(capsys.readouterr().err.split())


def test_what_a_backbone_decides_follows_it_until_it_is_set() -> None:
    model = create_initial_model("initial_dl_anomaly_padim")
    set_dl_model_param(model, "image_height", 448)
    set_dl_model_param(model, "backbone", VIT)
    assert (model.param.levels, model.param.grid_level) == ((6, 9, 12), 0)
    assert (model.param.image_width, model.param.image_height) == (252, 448)
    param = create_dl_preprocess_param_from_model(model)
    assert (param.size_step, param.normalization) == (14, model.param.normalization)
    with pytest.raises(
        ParameterError, match=r"'levels' cannot be \(13,\): levels must be increasing numbers from 1 to 12"
    ):
        set_dl_model_param(model, "levels", (13,))
    with pytest.raises(ValidationError, match="weights were given for efficientnet_lite0, which has its own"):
        DLModelParam(weights="x.safetensors")
