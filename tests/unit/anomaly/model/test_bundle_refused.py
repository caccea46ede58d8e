"""A bundle that was altered, is damaged or does not fit together is refused by the name of what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from inspector.anomaly.errors import BundleError
from inspector.anomaly.model import manifest as manifest_module
from inspector.anomaly.model.backbone_file import BACKBONE_FILE
from inspector.anomaly.model.bundle import (
    DETECTOR_FILE,
    GOLDEN_FILE,
    read_dl_model,
)
from inspector.anomaly.model.manifest import MANIFEST_NAME
from tests.bundles import TENSOR_FILES, change_manifest, change_tensors


@pytest.mark.parametrize("name", TENSOR_FILES)
@pytest.mark.parametrize("where", [0, 0.5, -1])
def test_one_altered_byte_is_refused_by_the_name_of_its_file(copy: Path, name: str, where: float) -> None:
    content = bytearray((copy / name).read_bytes())
    content[-1 if where < 0 else int(where * len(content))] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(
        BundleError, match=rf"{name} was changed: its SHA-256 is [0-9a-f]{{64}}, but the manifest says [0-9a-f]{{64}}"
    ):
        read_dl_model(copy)


@pytest.mark.parametrize("name", TENSOR_FILES)
@pytest.mark.parametrize("kept", [0, 7, 1000])
def test_a_truncated_file_is_refused(copy: Path, name: str, kept: int) -> None:
    (copy / name).write_bytes((copy / name).read_bytes()[:kept])
    with pytest.raises(BundleError, match=f"{name} was changed"):
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
    with pytest.raises(BundleError, match=f"{DETECTOR_FILE} was changed.*says None"):
        read_dl_model(copy)


@pytest.mark.parametrize("content", [b"", b"{", b"not JSON", b"\xff\xfe", b"[" * 100_000, b'{"name": NaN'])
def test_a_manifest_that_is_not_json_is_refused(copy: Path, content: bytes) -> None:
    (copy / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(BundleError, match=r"bundle\.json is not JSON"):
        read_dl_model(copy)


@pytest.mark.parametrize("content", [b"[]", b"null", b"{}", b'{"format_version": 1}', b'{"format_version": "2"}', b"7"])
def test_another_format_version_is_refused_with_what_to_do(copy: Path, content: bytes) -> None:
    (copy / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(BundleError, match=r"has format version .*, but this program reads 2; train the model again"):
        read_dl_model(copy)


def test_a_manifest_of_absurd_size_is_refused(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_module, "_MAX_MANIFEST_BYTES", 100)
    with pytest.raises(BundleError, match=r"bundle.json has \d+ bytes, but a manifest may have at most 100"):
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
        (lambda d: d["backbone"].update(levels=[4, 3]), "levels must be increasing"),
        (lambda d: d["backbone"].update(levels=[]), "levels must be increasing"),
        (lambda d: d["backbone"].update(levels=[1, 2]), "does not fit together"),
        (lambda d: d["backbone"].update(levels=[4]), "does not fit together|cannot be scored"),
        (lambda d: d["detector"].update(grid_level=2), "grid level 2 is not one of the levels"),
        (lambda d: d["detector"].update(grid_level=1), "golden sample .* cannot be scored"),
        (lambda d: d["detector"].update(kind="patchcore"), "'bank' is missing"),
        (lambda d: d["detector"]["rule"].update(kind="maximum"), "detector.rule: .*maximum has no top_share"),
        (lambda d: d["detector"].update(fitted_with={"coreset": "many"}), "detector.fitted_with.coreset"),
        (lambda d: d.update(meta_data={"a": 1}), "meta_data.a"),
        (lambda d: d["preprocess_param"].update(image_width=96), "golden sample .* cannot be scored"),
        (lambda d: d["golden_samples"][0].update(tensor="gone"), "has no 'gone', although the manifest names it"),
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
        (BACKBONE_FILE, lambda t: t["stem.weight"].mul_(1.1), "its thresholds are not valid on this machine"),
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
