from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco
from scipy import ndimage

from inspector.anomaly.domain.domain import DomainView, ImageDomain
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.types import AnomalyRegion, RegionComponent
from inspector.anomaly.verdict.halo import halo_limits
from inspector.anomaly.verdict.region import MAX_COMPONENTS, find_anomaly_region
from inspector.anomaly.verdict.runs import decode_region
from inspector.anomaly.verdict.upsample import resize_anomaly_image
from schemas import ComponentMessage, RegionMessage
from schemas import region as wire
from tests.domains import HEIGHT, RECTANGLE, TRIANGLE, WIDTH

THRESHOLDS = [0.1, 0.3, float(np.float32(0.3)), 0.5, 0.7, 0.9999]


@dataclass(frozen=True)
class Case:
    anomaly_image: NDArray[np.float32]
    width: int
    height: int
    threshold: float
    min_area: int

    def find(self) -> AnomalyRegion | None:
        return find_anomaly_region(
            self.anomaly_image,
            width=self.width,
            height=self.height,
            threshold=self.threshold,
            min_area=self.min_area,
        )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (draw(st.integers(1, 16)), draw(st.integers(1, 16)))
    threshold = draw(st.sampled_from(THRESHOLDS))
    edge = np.float32(threshold)
    levels = np.array([0, 0.2, 0.6, 0.95, np.nextafter(edge, np.float32(0)), edge, np.nan], np.float32)
    # Mostly quiet maps, as they are; sometimes plain noise.
    share = draw(st.sampled_from([0.02, 0.2, 1.0]))
    values = np.where(rng.random(shape) < share, rng.choice(levels, shape), rng.random(shape) * 0.1 * threshold)
    return Case(
        values.astype(np.float32),
        draw(st.integers(1, 70)),
        draw(st.integers(1, 70)),
        threshold,
        draw(st.sampled_from([1, 1, 2, 9, 40])),
    )


def in_full(case: Case) -> tuple[NDArray[np.bool_], NDArray[np.int32], NDArray[np.float32]]:
    """The definition, step by step over the whole picture: mask, labels and values."""
    finite = np.where(np.isfinite(case.anomaly_image), case.anomaly_image, np.float32(1))
    values = resize_anomaly_image(finite, width=case.width, height=case.height)
    labels, count = ndimage.label(values.astype(np.float64) >= case.threshold, structure=np.ones((3, 3)))
    for label in range(1, count + 1):
        if np.count_nonzero(labels == label) < case.min_area:
            labels[labels == label] = 0
    mask = labels > 0
    limits = resize_anomaly_image(halo_limits(finite), width=case.width, height=case.height)
    if (without_halos := mask & (values >= limits)).any():
        mask = without_halos
    return mask, ndimage.label(mask, structure=np.ones((3, 3)))[0], values


@given(case=cases())
def test_region_is_that_of_the_full_computation(case: Case) -> None:
    mask, labels, values = in_full(case)
    region = case.find()
    if not mask.any():
        assert region is None
        return
    assert region is not None
    assert region.counts == coco.encode(np.asfortranarray(mask.view(np.uint8)))["counts"]
    assert (region.width, region.height) == (case.width, case.height)
    assert region.area == np.count_nonzero(mask)
    expected: list[RegionComponent] = []
    for label in np.unique(labels[mask]):
        rows, columns = np.nonzero(labels == label)
        x, y = int(columns.min()), int(rows.min())
        width, height = int(columns.max()) + 1 - x, int(rows.max()) + 1 - y
        expected.append(RegionComponent(x, y, width, height, len(rows), float(values[labels == label].max())))
    assert region.num_components == len(region.components) == len(expected)
    # Largest first, then from top to bottom; components of one area and corner may stand in either order.
    keys = [(-c.area, c.y, c.x) for c in region.components]
    assert keys == sorted(keys)
    assert set(region.components) == set(expected)


@given(case=cases())
def test_decoding_gives_the_mask(case: Case) -> None:
    region = case.find()
    if region is not None:
        np.testing.assert_array_equal(decode_region(region), in_full(case)[0])


@given(case=cases())
def test_the_wire_decoder_gives_the_same_mask(case: Case) -> None:
    region = case.find()
    if region is None:
        return
    mask = wire.decode_rle(region.counts, region.height, region.width)
    decoded = np.frombuffer(mask, np.uint8).reshape(region.height, region.width)
    np.testing.assert_array_equal(decoded, decode_region(region))
    assert decoded.sum() == region.area
    RegionMessage(
        width=region.width,
        height=region.height,
        counts=region.counts,
        area=region.area,
        num_components=region.num_components,
        components=tuple(
            ComponentMessage(x=c.x, y=c.y, width=c.width, height=c.height, area=c.area, max_score=c.max_score)
            for c in region.components
        ),
    )


@given(case=cases())
def test_upsampling_is_bilinear_with_centres_aligned(case: Case) -> None:
    values = np.nan_to_num(case.anomaly_image)
    ours = resize_anomaly_image(values, width=case.width, height=case.height)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(values)[None, None], (case.height, case.width), mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(ours, theirs[0, 0].numpy(), atol=2e-6)
    opencv = cv2.resize(values, (case.width, case.height), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(ours, opencv.reshape(ours.shape), atol=2e-6)


@given(
    low=st.floats(0, 1, width=32), high=st.floats(0, 1, width=32), width=st.integers(1, 200), height=st.integers(1, 200)
)
def test_upsampling_never_exceeds_the_largest_value(low: float, high: float, width: int, height: int) -> None:
    values = np.array([[low, high, low], [high, low, high]], np.float32)
    assert resize_anomaly_image(values, width=width, height=height).max() <= values.max()


def test_a_plateau_at_the_threshold_is_inside_and_one_just_below_is_not() -> None:
    for threshold in THRESHOLDS:
        at = np.float32(threshold)
        if float(at) < threshold:
            at = np.nextafter(at, np.float32(1))
        inside = find_anomaly_region(np.full((5, 7), at), width=70, height=50, threshold=threshold)
        assert inside is not None
        assert inside.area == 3500
        below = np.nextafter(at, np.float32(0))
        assert find_anomaly_region(np.full((5, 7), below), width=70, height=50, threshold=threshold) is None


def test_the_threshold_is_not_rounded_to_float32() -> None:
    # float32(0.3) is above 0.3, float32(0.7) below 0.7: rounding the threshold would call the latter anomalous.
    assert float(np.float32(0.3)) > 0.3
    assert float(np.float32(0.7)) < 0.7
    assert find_anomaly_region(np.full((2, 2), 0.3, np.float32), width=4, height=4, threshold=0.3) is not None
    assert find_anomaly_region(np.full((2, 2), 0.7, np.float32), width=4, height=4, threshold=0.7) is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_anomalous(value: float) -> None:
    scores = np.zeros((8, 8), np.float32)
    scores[2, 5] = value
    region = find_anomaly_region(scores, width=8, height=8, threshold=0.5)
    assert region is not None
    assert [(c.x, c.y, c.area, c.max_score) for c in region.components] == [(5, 2, 1, 1.0)]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nothing_is_above_a_threshold_that_is_above_everything(value: float) -> None:
    scores = np.full((8, 8), value, np.float32)
    assert find_anomaly_region(scores, width=16, height=16, threshold=1.5) is None


def test_diagonal_neighbours_are_one_component() -> None:
    scores = np.eye(6, dtype=np.float32)
    region = find_anomaly_region(scores, width=6, height=6, threshold=0.5)
    assert region is not None
    assert (region.num_components, region.area) == (1, 6)


def test_small_components_are_left_out_of_everything() -> None:
    scores = np.zeros((10, 20), np.float32)
    scores[1, 1:4] = 0.9
    scores[5:7, 10:12] = 0.6
    region = find_anomaly_region(scores, width=20, height=10, threshold=0.5, min_area=4)
    assert region is not None
    assert (region.area, region.num_components) == (4, 1)
    assert decode_region(region).sum() == 4
    component = region.components[0]
    assert (component.x, component.y, component.width, component.height) == (10, 5, 2, 2)
    assert component.max_score == pytest.approx(0.6)
    assert find_anomaly_region(scores, width=20, height=10, threshold=0.5, min_area=5) is None


def test_the_largest_components_are_listed_and_all_are_coded() -> None:
    scores = np.zeros((60, 80), np.float32)
    scores[::2, ::2] = 0.75
    scores[50:53, 70:75] = 0.8125  # its halo is lower than the others
    region = find_anomaly_region(scores, width=80, height=60, threshold=0.5)
    assert region is not None
    assert region.num_components > MAX_COMPONENTS == len(region.components) == wire.MAX_COMPONENTS
    assert region.components[0].max_score == 0.8125
    assert region.area == np.count_nonzero(scores)
    np.testing.assert_array_equal(decode_region(region), scores > 0)


def test_a_region_that_runs_over_the_foot_of_a_column() -> None:
    scores = np.zeros((4, 3), np.float32)
    scores[2:, 0] = scores[:1, 1] = 1 - 2**-20
    region = find_anomaly_region(scores, width=3, height=4, threshold=0.5)
    assert region is not None
    assert wire.rle_runs(region.counts) == [2, 3, 7]
    assert region.num_components == 2
    assert [c.area for c in region.components] == [2, 1]


def test_a_full_region_of_a_large_picture() -> None:
    region = find_anomaly_region(np.full((8, 8), 0.9, np.float32), width=1280, height=1024, threshold=0.5)
    assert region is not None
    assert wire.rle_runs(region.counts) == [0, 1280 * 1024]
    component = region.components[0]
    assert (component.x, component.y, component.width, component.height) == (0, 0, 1280, 1024)


@pytest.mark.parametrize(
    ("scores", "size", "message"),
    [
        (np.zeros((2, 2)), (4, 4), r"float32 matrix, got float64 of shape \(2, 2\)"),
        (np.zeros(4, np.float32), (4, 4), "float32 matrix"),
        (np.zeros((0, 4), np.float32), (4, 4), "float32 matrix"),
        (np.zeros((2, 2), np.float32), (4, 0), "at least one pixel, got 4 x 0"),
    ],
)
def test_refusals(scores: NDArray[np.float32], size: tuple[int, int], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        find_anomaly_region(scores, width=size[0], height=size[1], threshold=0.5)


@pytest.mark.parametrize("domain", [RECTANGLE, TRIANGLE], ids=["rectangle", "triangle"])
@pytest.mark.parametrize("is_crop", [True, False])
def test_a_region_lies_where_the_model_looked_and_inside_the_domain(domain: ImageDomain, *, is_crop: bool) -> None:
    view = DomainView(domain, is_crop=is_crop)
    # So even that nothing is a halo.
    scores = np.where(np.random.default_rng(3).random((8, 12)) < 0.4, np.float32(0.6), np.float32(0))
    region = find_anomaly_region(scores, width=WIDTH, height=HEIGHT, threshold=0.5, view=view)
    assert region is not None
    expected = resize_anomaly_image(scores, width=WIDTH, height=HEIGHT, view=view) >= 0.5
    np.testing.assert_array_equal(decode_region(region), expected)
