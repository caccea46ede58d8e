"""What is written is what is read, of a bundle and of an initial model."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inspector.anomaly.choices import BackboneName, DetectorName
from inspector.anomaly.errors import BundleError
from inspector.anomaly.model.bundle import (
    read_dl_model,
    write_dl_model,
)
from inspector.anomaly.model.manifest import DIGEST_KEY, MANIFEST_NAME, Records, read_manifest
from inspector.anomaly.model.model import AnomalyModel, apply_dl_model
from inspector.anomaly.model.param import DLModelParam, InitialModel
from inspector.anomaly.preprocess.param import DLPreprocessParam, create_dl_preprocess_param_from_model
from inspector.anomaly.verdict.score import ScoreRule
from tests.bundles import TENSOR_FILES, change_manifest, samples, write
from tests.models import looking_through, ok_picture, tiny_model


@pytest.mark.parametrize("detector", ["padim", "patchcore"])
def test_a_model_read_back_gives_the_same_scores(detector: DetectorName, tmp_path: Path) -> None:
    model = tiny_model(detector=detector, channels=1, width=64, height=96)
    golden = [ok_picture(np.random.default_rng(1), width=64, height=96, channels=1)]
    records = Records(calibration={"n": 3}, training={"seed": 0}, metrics={"image_auroc": 1.0})
    path = tmp_path / "new" / "folder" / "model"
    manifest = write_dl_model(
        path, model, created_at="2026-01-01", golden_images=golden, records=records,
        extra_files={"report.html": b"<html>"},
    )  # fmt: skip
    again = read_dl_model(path)
    given = samples(height=96, channels=1)
    for found, expected in zip(apply_dl_model(again, given), apply_dl_model(model, given), strict=True):
        assert found.anomaly_score == expected.anomaly_score
        np.testing.assert_array_equal(found.anomaly_image, expected.anomaly_image)
    assert (again.name, again.version) == ("tiny", "1")
    assert (again.preprocess_param, again.geometry) == (model.preprocess_param, model.geometry)
    assert (again.thresholds, again.scale, again.rule) == (model.thresholds, model.scale, model.rule)
    assert again.digest == hashlib.sha256((path / MANIFEST_NAME).read_bytes()).hexdigest()
    assert read_manifest(path) == (manifest, again.digest)
    assert (manifest.calibration, manifest.training, manifest.metrics) == records
    assert (path / "report.html").read_bytes() == b"<html>"
    assert {p.name for p in path.parent.iterdir()} == {"model"}, "nothing temporary is left"


@pytest.mark.parametrize("backbone", ["efficientnet_lite1", "efficientnet_lite2"])
def test_a_bundle_is_rebuilt_with_the_network_that_it_names(backbone: BackboneName, tmp_path: Path) -> None:
    model = tiny_model(backbone=backbone)
    write(tmp_path / "model", model)
    assert read_manifest(tmp_path / "model")[0].backbone.name == backbone
    again = read_dl_model(tmp_path / "model")
    for found, expected in zip(apply_dl_model(again, samples()), apply_dl_model(model, samples()), strict=True):
        assert found.anomaly_score == expected.anomaly_score


def test_a_bundle_of_an_older_program_scores_with_the_constants_that_it_stores(tmp_path: Path) -> None:
    """Those of other networks, with a rounded range beside them; its golden samples were scored so."""
    fitted = tiny_model()
    old = {
        **fitted.preprocess_param.model_dump(mode="json"),
        "mean_values_normalization": [123.675, 116.28, 103.53],
        "deviation_values_normalization": [58.395, 57.12, 57.375],
        "image_range_min": -2.0,
        "image_range_max": 2.0,
    }
    model = looking_through(fitted, DLPreprocessParam.model_validate_json(json.dumps(old)), fitted.geometry)
    write(tmp_path / "model", model)
    assert json.loads((tmp_path / "model" / MANIFEST_NAME).read_text())["preprocess_param"] == old
    again = read_dl_model(tmp_path / "model")
    assert again.preprocess_param == model.preprocess_param
    for found, expected, new in zip(*(apply_dl_model(each, samples()) for each in (again, model, fitted)), strict=True):
        assert found.anomaly_score == expected.anomaly_score != new.anomaly_score
    assert create_dl_preprocess_param_from_model(again) == again.preprocess_param


def test_what_is_said_of_a_model_is_in_its_bundle_and_what_is_of_the_run_is_not(tmp_path: Path) -> None:
    model = tiny_model()
    model.meta_data = {"line": "äöü 4", "": ""}
    model.fitted_with = {"neighbourhood": 3, "regularization": 0.5}
    model.batch_size = 3
    write(tmp_path / "model", model)
    again = read_dl_model(tmp_path / "model")
    assert again.meta_data == model.meta_data
    assert again.fitted_with == model.fitted_with
    assert again.batch_size == 8
    assert "batch_size" not in (tmp_path / "model" / MANIFEST_NAME).read_text()


@pytest.mark.parametrize(
    "rule",
    [ScoreRule(kind="maximum"), ScoreRule(kind="standard_deviation", standard_deviation_factor=2.0)],
    ids=str,
)
def test_every_score_rule_survives(rule: ScoreRule, tmp_path: Path) -> None:
    model = tiny_model()
    model.rule = rule
    write(tmp_path / "model", model)
    again = read_dl_model(tmp_path / "model")
    assert again.rule == rule
    for found, expected in zip(apply_dl_model(again, samples()), apply_dl_model(model, samples()), strict=True):
        assert found.anomaly_score == expected.anomaly_score


def test_a_bundle_of_the_first_release_is_read(copy: Path, model: AnomalyModel) -> None:
    """Its manifest knows one score rule and has neither meta_data nor the detector's parameters, nor its own digest."""

    def as_it_was(document: dict[str, Any]) -> None:
        del document["meta_data"], document["detector"]["fitted_with"]
        document["detector"]["rule"] = {"kind": "mean_of_top", "top_share": 0.02}

    change_manifest(copy, as_it_was)
    document = json.loads((copy / MANIFEST_NAME).read_bytes())
    del document[DIGEST_KEY]
    (copy / MANIFEST_NAME).write_text(json.dumps(document))
    digest = hashlib.sha256((copy / MANIFEST_NAME).read_bytes()).hexdigest()
    with pytest.raises(
        BundleError,
        match=f'has no manifest_sha256, so it was written by an older program, .* \\[model_digests\\] NAME = "{digest}"',
    ):
        read_dl_model(copy)
    again = read_dl_model(copy, digest=digest)
    assert again.rule == model.rule
    assert again.meta_data == {}
    assert again.fitted_with == {}


def test_a_manifest_too_large_to_be_read_is_not_written(model: AnomalyModel, tmp_path: Path) -> None:
    records = Records(calibration={}, training={"notes": "x" * 2**22}, metrics={})
    with pytest.raises(
        BundleError, match=r"the manifest of model tiny would have \d+ bytes, but at most 4194304 are read"
    ):
        write(tmp_path / "model", model, records=records)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("detector", ["padim", "patchcore", "student"])
def test_the_name_of_an_initial_model_gives_one(detector: str) -> None:
    model = read_dl_model(f"initial_dl_anomaly_{detector}")
    assert isinstance(model, InitialModel)
    assert model.param == DLModelParam(detector=detector)  # type: ignore[arg-type]


def test_the_name_of_an_initial_model_is_known_to_the_type_checker() -> None:
    assert read_dl_model("initial_dl_anomaly_patchcore").param.coreset == 4000


def test_a_folder_of_an_initial_models_name_is_read_as_a_path(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(written, tmp_path / "initial_dl_anomaly_padim")
    monkeypatch.chdir(tmp_path)
    assert isinstance(read_dl_model("initial_dl_anomaly_padim"), InitialModel)
    assert read_dl_model(Path("initial_dl_anomaly_padim")).name == "tiny"


def test_a_name_that_is_neither_is_refused_with_those_that_are() -> None:
    with pytest.raises(
        BundleError,
        match="'initial_dl_anomaly_medium' is neither a model bundle nor an initial model; give a bundle's folder, "
        "or one of initial_dl_anomaly_padim, initial_dl_anomaly_patchcore, initial_dl_anomaly_student",
    ):
        read_dl_model("initial_dl_anomaly_medium")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_an_initial_model_on_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(BundleError, match="torch finds no CUDA device; use device cpu"):
        read_dl_model("initial_dl_anomaly_padim", device="cuda")


def test_a_model_without_thresholds_is_a_bundle_too(model: AnomalyModel, tmp_path: Path) -> None:
    bare = AnomalyModel(
        identity=model.identity, network=model.network, detector=model.detector, scale=model.scale, rule=model.rule,
        geometry=model.geometry, thresholds=None,
    )  # fmt: skip
    write(tmp_path / "bare", bare)
    assert read_dl_model(tmp_path / "bare").thresholds is None


def test_a_bundle_that_could_not_test_itself_is_neither_written_nor_read(
    model: AnomalyModel, copy: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        BundleError, match="golden_images is empty; give a few pictures, with which the model is tested when loaded"
    ):
        write_dl_model(tmp_path / "untested", model, created_at="2026-01-01", golden_images=[])
    assert not (tmp_path / "untested").exists()
    change_manifest(copy, lambda document: document.update(golden_samples=[]))
    with pytest.raises(BundleError, match=f"bundle {copy} has no golden sample, .* write it again with golden_images"):
        read_dl_model(copy)


def test_the_path_may_be_a_string(written: Path) -> None:
    model = read_dl_model(str(written))
    assert isinstance(model, AnomalyModel)
    assert model.name == "tiny"


def test_nothing_is_unpickled(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        pytest.fail("pickle is on the load path")

    for target, name in ((torch, "load"), (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler")):
        monkeypatch.setattr(target, name, refuse)
    read_dl_model(written)


@pytest.mark.parametrize("name", TENSOR_FILES)
def test_a_pickle_in_the_place_of_tensors_is_refused_and_not_run(copy: Path, name: str) -> None:
    buffer = io.BytesIO()
    torch.save({"bank": torch.zeros(2, 3)}, buffer)
    content = buffer.getvalue()
    (copy / name).write_bytes(content)
    change_manifest(copy, lambda document: document["files"].update({name: hashlib.sha256(content).hexdigest()}))
    with pytest.raises(BundleError, match="does not fit together"):
        read_dl_model(copy)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_a_gpu_that_is_not_there_is_named(written: Path, device: str) -> None:
    with pytest.raises(
        BundleError, match=f"device '{device}' was requested, but torch finds no CUDA device; use device cpu"
    ):
        read_dl_model(written, device=device)


@pytest.mark.parametrize("device", ["gpu", "", "cuda:x", "meta", "mps"])
def test_a_device_that_is_none_is_named(written: Path, device: str) -> None:
    with pytest.raises(BundleError, match=f"device '{device}' is (unknown|not supported); use cpu, cuda or cuda:N"):
        read_dl_model(written, device=device)


@pytest.mark.gpu
def test_a_gpu_gives_the_scores_of_the_cpu(written: Path) -> None:
    there, here = (read_dl_model(written, device=device) for device in ("cuda", "cpu"))
    for found, expected in zip(apply_dl_model(there, samples()), apply_dl_model(here, samples()), strict=True):
        assert found.anomaly_score == pytest.approx(expected.anomaly_score, rel=1e-3)
        np.testing.assert_allclose(found.anomaly_image, expected.anomaly_image, rtol=1e-2, atol=1e-3)


def test_a_gpu_beyond_the_last_is_named(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(BundleError, match=r"device 'cuda:2' was requested, but torch finds 2 CUDA device\(s\)"):
        read_dl_model(written, device="cuda:2")
