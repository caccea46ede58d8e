from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.preprocess.tiling import TileParam
from inspector.anomaly.types import ImageGeometry
from inspector.anomaly.verdict.region import find_anomaly_region
from trainer.calibration.compute import least_area
from trainer.calibration.spots import highest_spot, least_spot, tiles_seen


@given(seed=st.integers(0, 500), area=st.integers(1, 40))
def test_there_is_a_region_at_it_and_none_above(seed: int, area: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.choice(rng.uniform(0.1, 0.9, 30).astype(np.float32), (9, 11))
    found = highest_spot(values, area)
    for threshold, is_there in ((found, True), (float(np.nextafter(np.float32(found), np.float32(1))), False)):
        region = find_anomaly_region(values, width=11, height=9, threshold=threshold, min_area=area)
        assert (region is not None) == is_there


def test_pixels_outside_the_domain_do_not_count() -> None:
    values = np.full((4, 4), 0.2)
    values[0, :2] = 0.9
    values[3, :2] = 0.5
    domain = np.ones((4, 4), bool)
    assert highest_spot(values, 2) == 0.9
    assert highest_spot(values, 3) == 0.2
    domain[0] = False
    assert highest_spot(values, 2, domain) == 0.5


def test_a_spot_larger_than_all_that_counts_is_all_of_it() -> None:
    values = np.arange(1.0, 5.0).reshape(2, 2)
    assert highest_spot(values, 9) == 1.0
    assert highest_spot(values, 1, np.zeros((2, 2), bool)) == 0.0


@pytest.mark.parametrize(("size", "expected"), [((256, 256), 7), ((10, 10), 1)])
def test_the_least_spot_is_a_share_of_the_map(size: tuple[int, int], expected: int) -> None:
    assert least_spot(*size) == expected


def test_the_least_spot_of_tiles_is_a_share_of_one() -> None:
    tile = TileParam(width=256, height=256)
    tiled = DLPreprocessParam(image_width=256, image_height=256, tile=tile)
    assert tiles_seen(tiled.of_input, 9504, 6336) == 1
    assert tiles_seen(tiled, 100, 100) == 1
    assert tiles_seen(tiled, 2560, 256) == 10
    geometry = ImageGeometry(width=9504, height=6336, channels=3)
    assert least_area(tiled.of_input, geometry) > 77**2, "more than a small defect has"
    assert least_area(tiled, geometry) == least_spot(256, 256) == 7
