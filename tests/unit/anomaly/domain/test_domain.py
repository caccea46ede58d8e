from __future__ import annotations

import functools
import gc
import weakref
from typing import Any, Literal

import cv2
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inspector.anomaly.choices import NormalizationType
from inspector.anomaly.domain.cache import KEPT_SIZES
from inspector.anomaly.domain.domain import DomainView, ImageDomain, PixelBox
from inspector.anomaly.domain.mask import cells_inside, pixels_inside, pixels_kept
from inspector.anomaly.domain.score import domain_mask, domain_score
from inspector.anomaly.errors import GeometryError, ParameterError
from inspector.anomaly.model.model import AnomalyModel, PendingScores, apply_dl_model
from inspector.anomaly.preprocess.image import decode_image
from inspector.anomaly.preprocess.images import preprocess_images
from inspector.anomaly.preprocess.param import DLPreprocessParam, create_dl_preprocess_param
from inspector.anomaly.preprocess.samples import gen_dl_samples_from_images
from inspector.anomaly.types import DLResult, ImageGeometry, ScoreScale
from inspector.anomaly.verdict.draw import heat_map_overlay
from inspector.anomaly.verdict.region import find_anomaly_region
from inspector.anomaly.verdict.runs import decode_region
from inspector.anomaly.verdict.score import ScoreRule
from inspector.anomaly.verdict.threshold import threshold_dl_anomaly_results
from inspector.anomaly.verdict.upsample import resize_anomaly_image
from tests.models import encoded, looking_through, ok_picture, tiny_model

Handling = Literal["keep_domain", "crop_domain"]
CPU = torch.device("cpu")
WIDTH, HEIGHT = 192, 128
BOX = PixelBox(40, 16, 96, 64)
RECTANGLE = ImageDomain.rectangle(*BOX, image_width=WIDTH, image_height=HEIGHT)
TRIANGLE = ImageDomain.of_polygons([((40, 16), (136, 16), (40, 80))], image_width=WIDTH, image_height=HEIGHT)


# --------------------------------------------------------------------------------------------------------- the drawing


@pytest.mark.parametrize(
    ("polygons", "message"),
    [
        ([], "the domain is empty; draw at least one polygon, or use full_domain"),
        ([((0, 0), (5, 5))], r"polygon 0 has 2 corner\(s\); it needs three or more"),
        ([((0, 0), (9, 0), (9, 9)), ((0, 0), (5, 5), (9, 9))], "polygon 1 covers less than a pixel"),
        ([((1, 1), (1.5, 1), (1, 1.5))], "polygon 0 covers less than a pixel; draw it around an area"),
        ([((0, 0), (11, 0), (0, 9))], r"reaches outside the picture of 10 x 10 pixels at \(11, 0\); draw it inside"),
        ([((0, 0), (9, -1), (0, 9))], "polygon 0 reaches outside the picture"),
        ([((0, 0), (float("nan"), 1), (0, 9))], "polygons.0.1.0: input should be a finite number"),
    ],
)
def test_refused_drawings(polygons: list[tuple[tuple[float, float], ...]], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        ImageDomain.of_polygons(polygons, image_width=10, image_height=10)


def test_refused_rectangles() -> None:
    with pytest.raises(ParameterError, match="polygon 0 reaches outside the picture of 64 x 48 pixels"):
        ImageDomain.rectangle(60, 0, 10, 10, image_width=64, image_height=48)
    with pytest.raises(ParameterError, match="polygon 0 covers less than a pixel"):
        ImageDomain.rectangle(10, 10, 0, 10, image_width=64, image_height=48)
    with pytest.raises(ParameterError, match="image_width: input should be greater than or equal to 1"):
        ImageDomain.rectangle(10, 10, 5, 5, image_width=0, image_height=48)


def test_a_domain_holds_for_every_scale_of_the_picture() -> None:
    assert RECTANGLE.box(WIDTH, HEIGHT) == BOX
    assert RECTANGLE.box(WIDTH * 3, HEIGHT * 3) == PixelBox(120, 48, 288, 192)
    assert RECTANGLE.box(WIDTH // 8, HEIGHT // 8) == PixelBox(5, 2, 12, 8)
    assert RECTANGLE.box(1, 1) == PixelBox(0, 0, 1, 1)
    assert (RECTANGLE.is_rectangle, TRIANGLE.is_rectangle) == (True, False)
    geometry = ImageGeometry(width=1920, height=1280, channels=3)
    assert geometry.cropped(RECTANGLE) == ImageGeometry(width=960, height=640, channels=3)
    assert geometry.cropped(None) == geometry


@given(width=st.integers(1, 3000), factor=st.sampled_from([1, 2, 4, 8]), height=st.integers(1, 3000))
def test_reduced_pictures_keep_the_aspect_and_others_are_refused(width: int, height: int, factor: int) -> None:
    domain = ImageDomain.rectangle(0, 0, width, height, image_width=width, image_height=height)
    domain.check_size(-(-width // factor), -(-height // factor))
    domain.check_size(3 * width, 3 * height)
    with pytest.raises(GeometryError, match="of another aspect; draw it on a picture of this camera"):
        domain.check_size(100 * width * 2, 100 * height)


# ----------------------------------------------------------------------------------------------------------- the masks

whole_points = st.tuples(st.integers(0, 24), st.integers(0, 16))


@st.composite
def domains(draw: st.DrawFn) -> ImageDomain:
    polygons = draw(st.lists(st.lists(whole_points, min_size=3, max_size=6).map(tuple), min_size=1, max_size=3))
    try:
        return ImageDomain.of_polygons(polygons, image_width=24, image_height=16)
    except ParameterError:
        assume(False)
        raise


def inside(domain: ImageDomain, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Even-odd for each of the points: how many sides lie to the left of it."""
    found = np.zeros(x.shape, np.bool_)
    for polygon in domain.polygons:
        odd = np.zeros(x.shape, np.bool_)
        for (x0, y0), (x1, y1) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
            if y0 != y1:
                odd ^= ((y0 <= y) != (y1 <= y)) & (x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x)
        found |= odd
    return found


def distance(domain: ImageDomain, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """From each of the points to the nearest side."""
    nearest = np.full(x.shape, np.inf)
    for polygon in domain.polygons:
        for (x0, y0), (x1, y1) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
            across, down = x1 - x0, y1 - y0
            along = ((x - x0) * across + (y - y0) * down) / max(across**2 + down**2, 1e-9)
            along = np.clip(along, 0, 1)
            nearest = np.minimum(nearest, np.hypot(x - x0 - along * across, y - y0 - along * down))
    return nearest


@given(domain=domains(), width=st.integers(1, 40), height=st.integers(1, 40))
def test_a_pixel_is_inside_if_its_centre_is(domain: ImageDomain, width: int, height: int) -> None:
    mask = pixels_inside(domain, width, height)
    x, y = np.meshgrid((np.arange(width) + 0.5) * 24 / width, (np.arange(height) + 0.5) * 16 / height)
    is_clear = distance(domain, x, y) > 1e-6  # a centre on a side may be rounded to either
    np.testing.assert_array_equal(mask[is_clear], inside(domain, x, y)[is_clear])
    assert is_clear.mean() > 0.5 or width * height < 8


@given(domain=domains(), width=st.integers(1, 12), height=st.integers(1, 12), is_crop=st.booleans())
@settings(max_examples=60)
def test_a_cell_counts_if_any_of_its_area_is_inside(
    domain: ImageDomain, width: int, height: int, *, is_crop: bool
) -> None:
    """Wherever a fine sampling finds a point of the domain, the cell counts; and a cell with none has no area inside."""
    view = DomainView(domain, is_crop)
    mask = cells_inside(view, width, height)
    assert mask.any()
    left, top, right, bottom = view.extent
    fine = 24
    xs = left + (np.arange(width * fine) + 0.5) * (right - left) / (width * fine)
    ys = top + (np.arange(height * fine) + 0.5) * (bottom - top) / (height * fine)
    sampled = inside(domain, *np.meshgrid(xs, ys)).reshape(height, fine, width, fine).any(axis=(1, 3))
    assert not (sampled & ~mask).any()
    # Slivers may slip through the sampling: where it finds nothing, a cell that counts must have a side running through.
    for row, column in np.argwhere(mask & ~sampled):
        cell = (
            left + column * (right - left) / width,
            top + row * (bottom - top) / height,
            left + (column + 1) * (right - left) / width,
            top + (row + 1) * (bottom - top) / height,
        )
        assert runs_through(domain, cell)


def runs_through(domain: ImageDomain, cell: tuple[float, float, float, float]) -> bool:
    """True if a side of a polygon has a point in the cell, walked along in small steps, a hair's breadth allowed."""
    for polygon in domain.polygons:
        for (x0, y0), (x1, y1) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
            at = np.linspace(0, 1, 4001)
            x, y = x0 + at * (x1 - x0), y0 + at * (y1 - y0)
            near = (x >= cell[0] - 0.01) & (x <= cell[2] + 0.01) & (y >= cell[1] - 0.01) & (y <= cell[3] + 0.01)
            if near.any():
                return True
    return False


def test_cells_that_only_touch_the_domain_do_not_count() -> None:
    mask = cells_inside(DomainView(RECTANGLE, is_crop=False), WIDTH // 8, HEIGHT // 8)
    expected = np.zeros((HEIGHT // 8, WIDTH // 8), np.bool_)
    expected[2:10, 5:17] = True
    np.testing.assert_array_equal(mask, expected)


def test_masks_are_kept_and_cannot_be_written() -> None:
    mask = cells_inside(DomainView(TRIANGLE, is_crop=True), 12, 8)
    assert mask is cells_inside(DomainView(TRIANGLE, is_crop=True), 12, 8)
    for kept in (mask, pixels_inside(TRIANGLE, 12, 8)):
        with pytest.raises(ValueError, match="read-only"):
            kept[0, 0] = True


def many_domains(count: int) -> list[ImageDomain]:
    rectangles = ((3.0 + 0.01 * number, 2.0, 60.0, 40.0) for number in range(count))
    return [ImageDomain.rectangle(*box, image_width=WIDTH, image_height=HEIGHT) for box in rectangles]


def test_masks_stay_with_their_domain_however_many_cameras_there_are() -> None:
    def all_of(domain: ImageDomain) -> list[object]:
        view = DomainView(domain, is_crop=False)
        return [
            pixels_kept(domain, WIDTH, HEIGHT),
            pixels_kept(domain, WIDTH // 2, HEIGHT // 2),  # of its reduced JPEGs
            cells_inside(view, 12, 8),
            domain_score(view, (8, 12), (64, 96), CPU),
        ]

    domains = many_domains(100)
    first = [all_of(domain) for domain in domains]
    for domain, kept in zip(domains, first, strict=True):
        assert all(now is then for now, then in zip(all_of(domain), kept, strict=True))


def test_masks_end_with_their_domain() -> None:
    (domain,) = many_domains(1)
    view = DomainView(domain, is_crop=True)
    kept: list[weakref.ref[Any]] = [
        weakref.ref(pixels_kept(domain, WIDTH, HEIGHT)),
        weakref.ref(cells_inside(view, 12, 8)),
        weakref.ref(domain_score(DomainView(domain, is_crop=False), (8, 12), (64, 96), CPU)),
    ]
    assert all(value() is not None for value in kept)
    del domain, view
    gc.collect()
    assert [value() for value in kept] == [None] * 3


def test_of_many_sizes_a_few_are_kept() -> None:
    sizes = [(WIDTH + number, HEIGHT + number) for number in range(KEPT_SIZES + 1)]
    masks = [pixels_kept(TRIANGLE, *size) for size in sizes]
    again = [pixels_kept(TRIANGLE, *size) for size in reversed(sizes)][::-1]
    assert [now is then for now, then in zip(again, masks, strict=True)] == [False] + [True] * KEPT_SIZES


def test_masks_of_large_pictures_are_the_same_but_not_kept() -> None:
    large, again = (pixels_inside(TRIANGLE, 24 * WIDTH, 24 * HEIGHT) for _ in range(2))
    assert large is not again
    np.testing.assert_array_equal(large, again)
    share = large.mean()
    assert share == pytest.approx(pixels_inside(TRIANGLE, WIDTH, HEIGHT).mean(), rel=0.03)


def a_param(
    handling: Handling, domain: ImageDomain = RECTANGLE, kind: NormalizationType = "constant_values"
) -> DLPreprocessParam:
    size = (192, 128) if handling == "keep_domain" else (96, 64)
    return create_dl_preprocess_param(
        image_width=size[0], image_height=size[1], domain_handling=handling, domain=domain, normalization_type=kind
    )


def test_the_mask_for_training() -> None:
    assert domain_mask(create_dl_preprocess_param(image_width=96, image_height=64).view, 4, 6) is None
    assert domain_mask(a_param("crop_domain").view, 4, 6) is None  # all that is seen counts
    kept = domain_mask(a_param("keep_domain").view, 8, 12)
    assert kept is not None
    assert (kept.shape, kept.dtype, int(kept.sum())) == ((8, 12), torch.bool, 4 * 7)  # columns 2.5 to 8.5, rows 1 to 5
    kept[:] = True  # one's own
    assert not bool(domain_mask(a_param("keep_domain").view, 8, 12).all())  # type: ignore[union-attr]
    triangle = domain_mask(a_param("crop_domain", TRIANGLE).view, 2, 2)
    assert triangle is not None
    assert triangle.tolist() == [[True, True], [True, False]]


# ------------------------------------------------------------------------------------------------------- preprocessing


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


# --------------------------------------------------------------------------------------------------------- the decoder


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


# ----------------------------------------------------------------------------------------------------------- the model


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


# -------------------------------------------------------------------------------------------- scores from distances


def pending(distances: torch.Tensor, view: DomainView | None, rule: ScoreRule) -> DLResult:
    return PendingScores(distances, ScoreScale(s=1.0), rule, (96, 64), view).finish()[0]


@pytest.mark.parametrize("outside", [0.0, 1e6, float("nan"), float("inf")])
def test_only_positions_inside_are_scored_and_shown(outside: float) -> None:
    view = DomainView(RECTANGLE, is_crop=False)
    cells = torch.from_numpy(cells_inside(view, 12, 8).copy())
    distances = torch.where(cells, 3.0, outside)[None]
    result = pending(distances, view, ScoreRule(top_share=1.0))
    assert result.anomaly_score == pytest.approx(0.75)
    counted = cells_inside(view, 96, 64)
    np.testing.assert_allclose(result.anomaly_image[counted], 0.75, rtol=1e-6)
    assert np.all(result.anomaly_image[~counted] == 0)


def test_the_share_of_the_highest_is_that_of_the_positions_inside() -> None:
    view = DomainView(RECTANGLE, is_crop=False)
    cells = torch.from_numpy(cells_inside(view, 12, 8).copy())
    distances = torch.zeros(1, 8, 12)
    distances[0][cells] = torch.arange(28, dtype=torch.float32)
    found = pending(distances, view, ScoreRule(top_share=0.5)).anomaly_score
    mean = np.arange(14, 28).mean()
    assert found == pytest.approx(mean / (mean + 1))


def test_a_distance_inside_that_is_not_finite_is_no_ok_and_stays_inside() -> None:
    view = DomainView(RECTANGLE, is_crop=False)
    distances = torch.zeros(1, 8, 12)
    distances[0, 1, 3] = float("nan")
    result = pending(distances, view, ScoreRule(top_share=0.1))
    assert not np.isfinite(result.anomaly_score)
    assert np.all(result.anomaly_image[~cells_inside(view, 96, 64)] == 0)


def test_a_region_of_a_broken_map_stays_inside() -> None:
    view = DomainView(TRIANGLE, is_crop=True)
    region = find_anomaly_region(
        np.full((64, 96), np.nan, np.float32), width=WIDTH, height=HEIGHT, threshold=0.5, view=view
    )
    assert region is not None
    np.testing.assert_array_equal(decode_region(region), pixels_inside(TRIANGLE, WIDTH, HEIGHT))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_gpu_sees_the_same(handling: Handling) -> None:
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    param = a_param(handling, TRIANGLE, "all_channels")
    here, there = (preprocess_images([image], param, torch.device(name)).cpu() for name in ("cpu", "cuda"))
    torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-4)
    distances = torch.rand(1, *((4, 6) if handling == "crop_domain" else (8, 12)))
    one, other = (pending(distances.to(name), param.view, ScoreRule(top_share=0.2)) for name in ("cpu", "cuda"))
    assert one.anomaly_score == pytest.approx(other.anomaly_score, rel=1e-5)
    np.testing.assert_allclose(one.anomaly_image, other.anomaly_image, rtol=1e-4)
