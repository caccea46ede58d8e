from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from inspector.anomaly.verdict.halo import HALO_REACH, HALO_SHARE, halo_limits
from inspector.anomaly.verdict.region import find_anomaly_region
from inspector.anomaly.verdict.runs import decode_region


def score(distance: NDArray[np.float64] | float) -> NDArray[np.float32]:
    return np.asarray(np.divide(distance, np.add(distance, 1)), np.float32)


def cone(size: int, *peaks: tuple[int, int, float]) -> NDArray[np.float32]:
    """Scores that fall off from peaks (x, y, distance), by a tenth of the distance for every two pixels."""
    rows, columns = np.indices((size, size))
    distances = [height * np.maximum(1 - np.hypot(columns - x, rows - y) / 20, 0) for x, y, height in peaks]
    return score(np.max(distances, axis=0))


@given(seed=st.integers(0, 99), height=st.integers(1, 130), width=st.integers(1, 130))
def test_the_limit_is_a_share_of_the_highest_distance_around(seed: int, height: int, width: int) -> None:
    distances = np.random.default_rng(seed).gamma(0.3, 5.0, (height, width))
    highest = ndimage.maximum_filter(distances, 2 * HALO_REACH + 1, mode="constant")
    np.testing.assert_allclose(halo_limits(score(distances)), score(HALO_SHARE * highest), rtol=1e-4)


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=9))
def test_what_is_highest_reaches_its_limit(values: list[float]) -> None:
    scores = np.array([values], np.float32)
    assert halo_limits(scores).max() <= scores.max()


def test_a_strong_defect_is_outlined_without_its_halo_and_a_weak_one_as_far_as_the_threshold() -> None:
    scores = cone(200, (50, 100, 10.0), (150, 100, 1.5))
    region = find_anomaly_region(scores, width=200, height=200, threshold=0.5)
    assert region is not None
    strong, weak = region.components
    assert 2 * 20 * (1 - HALO_SHARE) - 2 <= strong.width <= 2 * 20 * (1 - HALO_SHARE) + 2, "36 at the threshold"
    assert 2 * 20 * (1 - 1 / 1.5) - 2 <= weak.width <= 2 * 20 * (1 - 1 / 1.5) + 2, "its own threshold is higher"


def test_a_lower_threshold_never_gives_less() -> None:
    scores = cone(200, (60, 60, 4.0), (90, 60, 2.0), (140, 150, 1.2))
    masks = []
    for threshold in (0.52, 0.4, 0.2, 0.05):
        region = find_anomaly_region(scores, width=200, height=200, threshold=threshold)
        assert region is not None
        masks.append(decode_region(region))
    for less, more in pairwise(masks):
        assert (more >= less).all()


def test_the_least_area_counts_the_halo() -> None:
    scores = cone(100, (50, 50, 10.0))
    whole = int((scores >= 0.5).sum())
    region = find_anomaly_region(scores, width=100, height=100, threshold=0.5, min_area=whole)
    assert region is not None
    assert region.area < whole, "or whether a part shows a region would depend on how strong its defect is"
    assert find_anomaly_region(scores, width=100, height=100, threshold=0.5, min_area=whole + 1) is None


@pytest.mark.parametrize("size", [7, 10, 14, 21])
def test_a_peak_of_one_pixel_is_not_cut_to_nothing(size: int) -> None:
    scores = np.zeros((7, 7), np.float32)
    scores[3, 3] = 0.99
    assert find_anomaly_region(scores, width=size, height=size, threshold=0.2) is not None
