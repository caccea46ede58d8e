from __future__ import annotations

import hashlib
import io
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from safetensors import torch as safetensors

from inspector.anomaly.choices import BackboneName, DetectorName
from inspector.anomaly.errors import BundleError
from inspector.anomaly.model import folder as folder_module
from inspector.anomaly.model import manifest as manifest_module
from inspector.anomaly.model.bundle import (
    BACKBONE_FILE,
    DETECTOR_FILE,
    GOLDEN_FILE,
    read_dl_model,
    write_dl_model,
)
from inspector.anomaly.model.manifest import MANIFEST_NAME, Records, read_manifest
from inspector.anomaly.model.model import AnomalyModel, ModelIdentity, apply_dl_model
from inspector.anomaly.model.param import DLModelParam, InitialModel
from inspector.anomaly.preprocess.samples import gen_dl_samples_from_images
from inspector.anomaly.types import DLSample
from inspector.anomaly.verdict.score import ScoreRule
from tests.models import make_bundle, nok_picture, ok_picture, tiny_model

TENSOR_FILES = (BACKBONE_FILE, DETECTOR_FILE, GOLDEN_FILE)


@pytest.fixture(scope="module")
def model() -> AnomalyModel:
    return tiny_model()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound bundle; tests spoil copies of it."""
    return make_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def copy(written: Path, tmp_path: Path) -> Path:
    """A sound bundle to spoil."""
    return Path(shutil.copytree(written, tmp_path / "copy"))


def samples(*, height: int = 64, channels: Literal[1, 3] = 3) -> list[DLSample]:
    rng = np.random.default_rng(77)
    pictures = (ok_picture, nok_picture, ok_picture)
    return gen_dl_samples_from_images([picture(rng, height=height, channels=channels) for picture in pictures])


def write(path: Path, model: AnomalyModel, **options: Any) -> None:
    golden = [ok_picture(np.random.default_rng(1))]
    write_dl_model(path, model, created_at="2026-01-01", golden_images=golden, **options)


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads((folder / MANIFEST_NAME).read_bytes())
    change(document)
    (folder / MANIFEST_NAME).write_text(json.dumps(document))


def change_tensors(folder: Path, name: str, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change a tensors file and the manifest's digest with it: what is left is that the contents must fit."""
    tensors = safetensors.load((folder / name).read_bytes())
    change(tensors)
    content = safetensors.save(tensors)
    (folder / name).write_bytes(content)
    change_manifest(folder, lambda document: document["files"].update({name: hashlib.sha256(content).hexdigest()}))


def listing(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ----------------------------------------------------------------------------------------------------------- round trip


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
    """Its manifest knows one score rule and has neither meta_data nor the detector's parameters."""

    def as_it_was(document: dict[str, Any]) -> None:
        del document["meta_data"], document["detector"]["fitted_with"]
        document["detector"]["rule"] = {"kind": "mean_of_top", "top_share": 0.02}

    change_manifest(copy, as_it_was)
    again = read_dl_model(copy)
    assert again.rule == model.rule
    assert again.meta_data == {}
    assert again.fitted_with == {}


def test_a_manifest_too_large_to_be_read_is_not_written(model: AnomalyModel, tmp_path: Path) -> None:
    records = Records(calibration={}, training={"notes": "x" * 2**22}, metrics={})
    with pytest.raises(BundleError, match=r"the manifest of model tiny would have \d+ bytes, at most 4194304 are read"):
        write(tmp_path / "model", model, records=records)
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------------------------------------- initial models


@pytest.mark.parametrize("detector", ["padim", "patchcore", "student"])
def test_the_name_of_an_initial_model_gives_one(detector: str) -> None:
    model = read_dl_model(f"initial_dl_anomaly_{detector}")
    assert isinstance(model, InitialModel)
    assert model.param == DLModelParam(detector=detector)  # type: ignore[arg-type]


def test_the_name_of_an_initial_model_is_known_to_the_type_checker() -> None:
    assert read_dl_model("initial_dl_anomaly_patchcore").param.coreset == 2000


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
        BundleError, match="golden_images is empty; give a few pictures, which loading tests the model with"
    ):
        write_dl_model(tmp_path / "untested", model, created_at="2026-01-01", golden_images=[])
    assert not (tmp_path / "untested").exists()
    change_manifest(copy, lambda document: document.update(golden_samples=[]))
    with pytest.raises(BundleError, match=f"bundle {copy} has no golden sample, .* write it anew with golden_images"):
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


# -------------------------------------------------------------------------------------------------------------- altered


@pytest.mark.parametrize("name", TENSOR_FILES)
@pytest.mark.parametrize("where", [0, 0.5, -1])
def test_one_altered_byte_is_refused_by_the_name_of_its_file(copy: Path, name: str, where: float) -> None:
    content = bytearray((copy / name).read_bytes())
    content[-1 if where < 0 else int(where * len(content))] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(
        BundleError, match=rf"{name} was altered: SHA-256 [0-9a-f]{{64}}, the manifest says [0-9a-f]{{64}}"
    ):
        read_dl_model(copy)


@pytest.mark.parametrize("name", TENSOR_FILES)
@pytest.mark.parametrize("kept", [0, 7, 1000])
def test_a_truncated_file_is_refused(copy: Path, name: str, kept: int) -> None:
    (copy / name).write_bytes((copy / name).read_bytes()[:kept])
    with pytest.raises(BundleError, match=f"{name} was altered"):
        read_dl_model(copy)


@pytest.mark.parametrize("name", [MANIFEST_NAME, *TENSOR_FILES])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(BundleError, match=f"{name} cannot be read: No such file or directory; is .* a model bundle"):
        read_dl_model(copy)


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nowhere/bundle\.json cannot be read"):
        read_dl_model(tmp_path / "nowhere")


def test_a_manifest_that_names_no_digest_is_refused(copy: Path) -> None:
    change_manifest(copy, lambda document: document["files"].pop(DETECTOR_FILE))
    with pytest.raises(BundleError, match=f"{DETECTOR_FILE} was altered.*says None"):
        read_dl_model(copy)


@pytest.mark.parametrize("content", [b"", b"{", b"not JSON", b"\xff\xfe", b"[" * 100_000, b'{"name": NaN'])
def test_a_manifest_that_is_not_json_is_refused(copy: Path, content: bytes) -> None:
    (copy / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(BundleError, match=r"bundle\.json is not JSON"):
        read_dl_model(copy)


@pytest.mark.parametrize("content", [b"[]", b"null", b"{}", b'{"format_version": 1}', b'{"format_version": "2"}', b"7"])
def test_another_format_version_is_refused_with_what_to_do(copy: Path, content: bytes) -> None:
    (copy / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(BundleError, match=r"has format version .*, this program reads 2; train the model anew"):
        read_dl_model(copy)


def test_a_manifest_of_absurd_size_is_refused(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_module, "_MAX_MANIFEST_BYTES", 100)
    with pytest.raises(BundleError, match=r"bundle.json has \d+ bytes; a manifest has at most 100"):
        read_dl_model(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(surprise=1), "surprise is not known"),
        (lambda d: d["detector"].update(surprise=1), "detector.surprise is not known"),
        (lambda d: d.pop("geometry"), "geometry is missing"),
        (lambda d: d.update(name="../evil"), "name: string should match"),
        (lambda d: d["preprocess_param"].update(image_width=65), "preprocess_param.image_width"),
        (lambda d: d["thresholds"].update(classification=1.0), "thresholds.classification"),
        (lambda d: d["thresholds"].update(segmentation=float("nan")), "thresholds.segmentation"),
        (lambda d: d["detector"].update(kind="magic"), "detector.kind"),
        (lambda d: d["detector"]["scale"].update(s=0.0), "detector.scale.s"),
        (lambda d: d["detector"]["rule"].update(top_share=7.0), "detector.rule.top_share"),
        (lambda d: d["backbone"].update(name="resnet"), "backbone.name"),
        (lambda d: d.update(thresholds_runtime="openvino-int8"), "thresholds_runtime"),
        (lambda d: d["golden_samples"][0].update(anomaly_score=1.0), "golden_samples.0.anomaly_score"),
        (lambda d: d["backbone"].update(name="efficientnet_lite2"), "does not fit together"),
        (lambda d: d["backbone"].update(levels=[4, 3]), "levels must be rising"),
        (lambda d: d["backbone"].update(levels=[]), "levels must be rising"),
        (lambda d: d["backbone"].update(levels=[1, 2]), "does not fit together"),
        (lambda d: d["backbone"].update(levels=[4]), "does not fit together|cannot be scored"),
        (lambda d: d["detector"].update(grid_level=2), "grid level 2 is none of levels"),
        (lambda d: d["detector"].update(grid_level=1), "golden sample .* cannot be scored"),
        (lambda d: d["detector"].update(kind="patchcore"), "'bank' is missing"),
        (lambda d: d["detector"]["rule"].update(kind="maximum"), "detector.rule: .*maximum has no top_share"),
        (lambda d: d["detector"].update(fitted_with={"coreset": "many"}), "detector.fitted_with.coreset"),
        (lambda d: d.update(meta_data={"a": 1}), "meta_data.a"),
        (lambda d: d["preprocess_param"].update(image_width=96), "golden sample .* cannot be scored"),
        (lambda d: d["golden_samples"][0].update(tensor="gone"), "has no 'gone', which the manifest names"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_by_name(
    copy: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    change_manifest(copy, change)
    with pytest.raises(BundleError, match=message):
        read_dl_model(copy)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (BACKBONE_FILE, lambda t: t.pop("stem.weight"), "does not fit together.*stem.weight"),
        (BACKBONE_FILE, lambda t: t.update(more=torch.zeros(1)), "does not fit together.*more"),
        (BACKBONE_FILE, lambda t: t.update({"stem.bias": torch.zeros(3)}), "does not fit together.*stem.bias"),
        (BACKBONE_FILE, lambda t: t["stem.bias"].fill_(torch.nan), "not finite: stem.bias"),
        (BACKBONE_FILE, lambda t: t["stem.weight"].mul_(1.1), "its thresholds do not hold on this machine"),
        (DETECTOR_FILE, lambda t: t.pop("projection"), "'projection' is missing"),
        (DETECTOR_FILE, lambda t: t["projection"].fill_(torch.inf), "'projection' must be finite"),
        (DETECTOR_FILE, lambda t: t.update(projection=t["projection"].half()), "is torch.float16"),
        (DETECTOR_FILE, lambda t: t.update(projection=t["projection"][:-1].clone()), "do not fit the projection"),
        (DETECTOR_FILE, lambda t: t["whitening"].mul_(1.002), "scores .*, recorded was"),
        (DETECTOR_FILE, lambda t: t["mean"].add_(0.05), "scores .*, recorded was"),
        (GOLDEN_FILE, lambda t: t.update(image_0=t["image_1"].clone()), "golden sample image_0 scores"),
        (GOLDEN_FILE, lambda t: t.update(image_0=t["image_0"].float()), "golden sample image_0 cannot be scored"),
        (GOLDEN_FILE, lambda t: t.update(image_0=torch.zeros(0, 4, dtype=torch.uint8)), "image_0 cannot be scored"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_by_name(
    copy: Path, name: str, change: Callable[[dict[str, torch.Tensor]], object], message: str
) -> None:
    change_tensors(copy, name, change)
    with pytest.raises(BundleError, match=message):
        read_dl_model(copy)


def test_a_golden_sample_may_differ_as_much_as_another_kernel_rounds(copy: Path) -> None:
    change_tensors(copy, DETECTOR_FILE, lambda tensors: tensors["whitening"].mul_(1 + 1e-5))
    read_dl_model(copy)


# --------------------------------------------------------------------------------------------------------------- device


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_a_gpu_that_is_not_there_is_named(written: Path, device: str) -> None:
    with pytest.raises(
        BundleError, match=f"device '{device}' was asked for, but torch finds no CUDA device; use device cpu"
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
    with pytest.raises(BundleError, match=r"device 'cuda:2' was asked for, but torch finds 2 CUDA device\(s\)"):
        read_dl_model(written, device="cuda:2")


# -------------------------------------------------------------------------------------------------------------- writing


def test_what_is_there_is_not_overwritten_unasked(copy: Path, model: AnomalyModel) -> None:
    before = listing(copy)
    with pytest.raises(BundleError, match="exists already; choose another name or say that it may be overwritten"):
        write(copy, model)
    assert listing(copy) == before


def test_a_name_that_no_manifest_may_have_is_refused(tmp_path: Path) -> None:
    model = tiny_model()
    model.identity = ModelIdentity("Modell Ä 1", "1", "")
    with pytest.raises(BundleError, match=r"out cannot be written, .*: name: string should match pattern"):
        write(tmp_path / "out", model)
    assert list(tmp_path.iterdir()) == []


def test_overwriting_replaces_the_whole_folder(copy: Path, model: AnomalyModel) -> None:
    (copy / "old-report.html").write_bytes(b"old")
    write(copy, model, overwrite=True)
    assert set(listing(copy)) == {MANIFEST_NAME, *TENSOR_FILES}
    read_dl_model(copy)
    assert [path.name for path in copy.parent.iterdir()] == [copy.name], "the old one is gone, nothing is left beside"


def failing(operation: str, after: int) -> Callable[..., Any]:
    """Return the os function, but its call number `after` fails as on a full disk."""
    original: Callable[..., Any] = getattr(folder_module.os, operation)  # type: ignore[attr-defined]
    calls = 0

    def replacement(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == after:
            raise OSError(28, "No space left on device")
        return original(*args, **kwargs)

    return replacement


@pytest.mark.parametrize("after", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_write_that_fails_leaves_what_was_there(
    copy: Path, model: AnomalyModel, after: int, monkeypatch: pytest.MonkeyPatch, *, is_there: bool
) -> None:
    target = copy if is_there else copy.parent / "new"
    before = listing(copy)
    with monkeypatch.context() as patch:
        patch.setattr("inspector.anomaly.model.folder.os.fsync", failing("fsync", after))
        with pytest.raises(BundleError, match="cannot be written: No space left on device"):
            write(target, model, overwrite=is_there)
    assert listing(copy) == before
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


def test_an_interrupt_while_writing_leaves_what_was_there(
    copy: Path, model: AnomalyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = listing(copy)

    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("inspector.anomaly.model.folder.os.fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write(copy, model, overwrite=True)
    assert listing(copy) == before
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


def test_a_bundle_that_stepped_aside_is_named_where_none_took_its_place(copy: Path) -> None:
    left = copy.rename(copy.with_name(f".{copy.name}.{'0' * 32}.old"))
    with pytest.raises(
        BundleError, match=rf"{copy.name} is gone, but .*{left.name} is there: .*rename it to {copy.name}"
    ):
        read_dl_model(copy)
    read_dl_model(left)


def test_a_place_that_cannot_be_written_is_named(model: AnomalyModel, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BundleError, match="file/bundle cannot be written: "):
        write(tmp_path / "file" / "bundle", model)


def test_a_file_beside_may_not_take_the_name_of_a_part(model: AnomalyModel, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=f"{DETECTOR_FILE} is part of the bundle"):
        write(tmp_path / "bundle", model, extra_files={DETECTOR_FILE: b""})


def test_only_the_torch_runtime_is_written(
    model: AnomalyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model.network, "runtime", object())
    with pytest.raises(BundleError, match="written from the torch runtime"):
        write(tmp_path / "bundle", model)
