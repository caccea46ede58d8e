"""What a model with a domain sees, decodes and says."""

from __future__ import annotations

import functools
from typing import Literal

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inspector.anomaly.choices import NormalizationType
from inspector.anomaly.domain.domain import ImageDomain, PixelBox
from inspector.anomaly.domain.mask import pixels_inside
from inspector.anomaly.domain.score import domain_mask
from inspector.anomaly.errors import GeometryError
from inspector.anomaly.model.model import AnomalyModel, apply_dl_model
from inspector.anomaly.preprocess.image import decode_image
from inspector.anomaly.preprocess.images import preprocess_images
from inspector.anomaly.preprocess.param import create_dl_preprocess_param
from inspector.anomaly.preprocess.samples import gen_dl_samples_from_images
from inspector.anomaly.types import DLResult, ImageGeometry
from inspector.anomaly.verdict.draw import heat_map_overlay
from inspector.anomaly.verdict.runs import decode_region
from inspector.anomaly.verdict.threshold import threshold_dl_anomaly_results
from inspector.anomaly.verdict.upsample import resize_anomaly_image
from tests.domains import CPU, HEIGHT, RECTANGLE, TRIANGLE, WIDTH, Handling, a_param
from tests.models import encoded, looking_through, ok_picture, tiny_model


@pytest.mark.parametrize("kind", ["constant_values", "none", "all_channels", "first_channel"])
@pytest.mark.parametrize("domain", [RECTANGLE, TRIANGLE], ids=["rectangle", "triangle"])
@pytest.mark.parametrize("handling", ["keep_domain", "crop_domain"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_network_sees_nothing_of_what_lies_outside(
    handling: Handling, domain: ImageDomain, kind: NormalizationType, channels: int
) -> None:
    param = a_param(handling, domain, kind)
    rng = np.random.default_rng(0)
    shape = (HEIGHT, WIDTH) if channels == 1 else (HEIGHT, WIDTH, 3)
    image, other = (rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(2))
    mask = pixels_inside(domain, WIDTH, HEIGHT)
    other[mask] = image[mask]
    first, second = (preprocess_images([picture], param, CPU) for picture in (image, other))
    assert torch.equal(first, second)
    assert bool(first.isfinite().all())
    # And all of what lies inside.
    other[60, 60] = 255 - other[60, 60]
    assert mask[60, 60] or handling is None
    assert not torch.equal(preprocess_images([other], param, CPU), first)


def test_a_crop_is_the_picture_cut_out_and_resized() -> None:
    image = np.random.default_rng(0).integers(0, 256, (2 * HEIGHT, 2 * WIDTH, 3), dtype=np.uint8)
    found = preprocess_images([image], a_param("crop_domain"), CPU)
    alone = create_dl_preprocess_param(image_width=96, image_height=64)
    assert torch.equal(found, preprocess_images([image[32:160, 80:272]], alone, CPU))


def test_keep_domain_leaves_the_inside_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    found = preprocess_images([image], a_param("keep_domain"), CPU)[0]
    whole = preprocess_images([image], create_dl_preprocess_param(image_width=192, image_height=128), CPU)[0]
    assert torch.equal(found[:, 16:80, 40:136], whole[:, 16:80, 40:136])
    found[:, 16:80, 40:136] = 0
    assert float(found.abs().max()) < 1e-6  # the middle of the range


@given(
    x=st.integers(0, 1900),
    y=st.integers(0, 1000),
    width=st.integers(20, 1920),
    height=st.integers(20, 1080),
    margin=st.sampled_from([1.0, 1.5]),
)
@settings(max_examples=30)
def test_a_reduced_picture_leaves_the_crop_its_size(x: int, y: int, width: int, height: int, margin: float) -> None:
    domain = ImageDomain.rectangle(
        min(x, 1900), min(y, 1060), min(width, 1920 - x), min(height, 1080 - y), image_width=1920, image_height=1080
    )
    param = create_dl_preprocess_param(
        image_width=96, image_height=64, domain_handling="crop_domain", domain=domain, decode_margin=margin
    )
    target = param.decode_target
    assert target is not None
    image = decode_image(BIG, target=target, margin=margin).image
    box = domain.box(image.shape[1], image.shape[0])
    if image.shape[1] < 1920:
        assert box.width >= 96
        assert box.height >= 64


BIG = encoded(np.zeros((1080, 1920), np.uint8), "jpeg")


def test_the_whole_picture_is_decoded_as_small_as_ever_without_a_crop() -> None:
    assert a_param("keep_domain").decode_target == (192, 128)
    assert a_param("crop_domain").decode_target == (192, 128)  # of a crop of half the picture each way
    assert decode_image(BIG, target=a_param("keep_domain").decode_target).image.shape == (135, 240)


@functools.cache
def model_of(handling: Handling, shape: Literal["rectangle", "triangle"]) -> AnomalyModel:
    """A model that looks at pictures of 192 x 128, or at 96 x 64 of them; its detector is fitted without a domain."""
    param = a_param(handling, RECTANGLE if shape == "rectangle" else TRIANGLE)
    plain = tiny_model(width=param.image_width, height=param.image_height)
    return looking_through(plain, param, ImageGeometry(width=WIDTH, height=HEIGHT, channels=3))


@pytest.fixture(params=["keep_domain", "crop_domain"])
def handling(request: pytest.FixtureRequest) -> Handling:
    value: Handling = request.param
    return value


@pytest.fixture(params=["rectangle", "triangle"])
def model(request: pytest.FixtureRequest, handling: Handling) -> AnomalyModel:
    return model_of(handling, request.param)


def a_picture() -> NDArray[np.uint8]:
    """Of 192 x 128 whose inside is just what the cropped model learnt, with the same stripes around."""
    return ok_picture(np.random.default_rng(3), width=WIDTH, height=HEIGHT)


def scored(model: AnomalyModel, *images: NDArray[np.uint8]) -> list[DLResult]:
    return apply_dl_model(model, gen_dl_samples_from_images(images))


def test_a_defect_outside_never_counts(model: AnomalyModel) -> None:
    domain = model.preprocess_param.domain
    assert domain is not None
    good = a_picture()
    bad = good.copy()
    bad[~pixels_inside(domain, WIDTH, HEIGHT)] = 0  # everything outside is broken, up to the border
    expected, found = scored(model, good, bad)
    assert found.anomaly_score == pytest.approx(expected.anomaly_score, rel=1e-5)
    np.testing.assert_allclose(found.anomaly_image, expected.anomaly_image, rtol=1e-4, atol=1e-7)
    outside = domain_mask(model.preprocess_param.view, *found.anomaly_image.shape)
    if outside is not None:
        assert found.anomaly_image[~outside.numpy()].max() == 0.0


def test_a_defect_inside_raises_the_score_and_its_region_lies_where_it_is(model: AnomalyModel) -> None:
    good, bad = a_picture(), a_picture()
    cv2.circle(bad, (60, 40), 7, (10, 10, 10), thickness=-1)
    ok, nok = gen_dl_samples_from_images([good, bad])
    for sample in (ok, nok):  # as if taken twice as large, and decoded at reduced scale
        sample.original_width, sample.original_height = 2 * WIDTH, 2 * HEIGHT
    expected, found = apply_dl_model(model, [ok, nok])
    assert found.anomaly_score > expected.anomaly_score
    threshold = 0.9 * float(found.anomaly_image.max())
    threshold_dl_anomaly_results(model, nok, found, segmentation_threshold=threshold)
    region = found.anomaly_region
    assert region is not None
    assert (region.width, region.height) == (2 * WIDTH, 2 * HEIGHT)
    largest = region.components[0]
    assert abs(largest.x + largest.width / 2 - 120) < 32
    assert abs(largest.y + largest.height / 2 - 80) < 32
    mask = decode_region(region)
    domain = model.preprocess_param.domain
    assert domain is not None
    assert not mask[~pixels_inside(domain, 2 * WIDTH, 2 * HEIGHT)].any()
    # The region is made of the values that the whole map shows.
    whole = resize_anomaly_image(found.anomaly_image, width=2 * WIDTH, height=2 * HEIGHT, view=found.view)
    np.testing.assert_array_equal(mask, whole >= np.float32(threshold))


def test_a_batch_changes_nothing(model: AnomalyModel) -> None:
    rng = np.random.default_rng(0)
    image = a_picture()
    (alone,) = scored(model, image)
    for size in (2, 5, 16):
        mates = [rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(size - 1)]
        together = scored(model, *mates, image)[-1]
        assert together.anomaly_score == pytest.approx(alone.anomaly_score, rel=1e-5)
        np.testing.assert_allclose(together.anomaly_image, alone.anomaly_image, rtol=1e-5)


def test_the_result_says_where_its_map_lies(handling: Handling) -> None:
    (result,) = scored(model_of(handling, "rectangle"), a_picture())
    box = result.box(2 * WIDTH, 2 * HEIGHT)
    if handling == "crop_domain":
        assert box == PixelBox(80, 32, 192, 128)
        assert result.anomaly_image.shape == (64, 96)
    else:
        assert box == PixelBox(0, 0, 384, 256)
        assert result.anomaly_image.shape == (128, 192)
    assert DLResult(0.0, np.zeros((2, 2), np.float32)).box(7, 5) == PixelBox(0, 0, 7, 5)


def test_the_heat_map_is_drawn_where_the_map_lies(handling: Handling) -> None:
    view = a_param(handling).view
    size = (64, 96) if handling == "crop_domain" else (128, 192)
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    drawn = heat_map_overlay(image, np.full(size, 0.9, np.float32), threshold=0.5, view=view)
    changed = (drawn != image).any(axis=2)
    np.testing.assert_array_equal(changed, pixels_inside(RECTANGLE, WIDTH, HEIGHT))


def test_warming_up_takes_pictures_that_fit_the_domain(model: AnomalyModel) -> None:
    model.warm_up([1, 2])


def test_a_domain_drawn_on_other_pictures_than_the_models_is_refused(handling: Handling) -> None:
    model = model_of(handling, "rectangle")
    with pytest.raises(GeometryError, match="drawn on a picture of 192 x 128 pixels, got 128 x 192"):
        AnomalyModel(
            identity=model.identity,
            network=model.network,
            detector=model.detector,
            scale=model.scale,
            rule=model.rule,
            geometry=ImageGeometry(width=HEIGHT, height=WIDTH, channels=3),
            thresholds=None,
        )
