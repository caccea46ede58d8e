"""Where maps lie on defects, on pictures that are small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.anomaly.types import DLResult
from inspector.anomaly.verdict.region import find_anomaly_region
from tests.benchmarks.regions import Regions

SIDE = 32


def result(row: int, column: int, *, is_found: bool = True) -> DLResult:
    """A map whose strongest pixels are a square of four."""
    values = np.full((SIDE, SIDE), 0.1, np.float32)
    values[row : row + 2, column : column + 2] = 0.9
    region = find_anomaly_region(values, width=SIDE, height=SIDE, threshold=0.5)
    return DLResult(0.9, values, "nok" if is_found else "ok", 1 if is_found else 0, region)


def mask(row: int, column: int) -> NDArray[np.bool_]:
    marked = np.zeros((SIDE, SIDE), np.bool_)
    marked[row : row + 4, column : column + 4] = True
    return marked


def test_the_strongest_pixel_lies_inside_near_or_far() -> None:
    regions = Regions((SIDE, SIDE))
    for column in (0, 5, 7, 15, 25):  # the mask ends at column 3: inside, 2, 4, 12, 22 pixels away
        regions.look_at("scratch", mask(0, 0), result(0, column))
    figures = regions.figures()
    assert figures["strongest_pixel"] == {"inside": 1, "to_2": 1, "to_4": 1, "to_16": 1, "farther": 1}
    assert figures["strongest_pixel_inside"] == pytest.approx(0.2)


def test_distances_are_those_of_the_models_input() -> None:
    regions = Regions((SIDE // 4, SIDE // 4))
    regions.look_at("scratch", mask(0, 0), result(0, 11))  # 8 pixels away, 2 of the input
    assert regions.figures()["strongest_pixel"]["to_2"] == 1


def test_region_and_mask_overlap() -> None:
    regions = Regions((SIDE, SIDE))
    regions.look_at("scratch", mask(0, 0), result(0, 0))
    assert regions.figures()["iou"] == pytest.approx(4 / 16)


def test_only_found_defects_with_a_mask_count() -> None:
    regions = Regions((SIDE, SIDE))
    regions.look_at(None, np.zeros((SIDE, SIDE), np.bool_), result(0, 0, is_found=False))
    regions.look_at("scratch", None, result(0, 0))
    regions.look_at("scratch", mask(0, 0), result(20, 20, is_found=False))
    assert regions.figures() == {"strongest_pixel_inside": None, "iou": None}


def test_each_kind_of_defect_has_its_own_figures() -> None:
    regions = Regions((SIDE, SIDE))
    regions.look_at("hit", mask(0, 0), result(0, 0))
    regions.look_at("missed", mask(0, 0), result(20, 20))
    figures = regions.figures()
    assert figures["strongest_pixel_inside_by_defect"] == {"hit": 1.0, "missed": 0.0}
    # The other kind's marked pixels are no background, but what its map says beside them is.
    assert figures["aupro_by_defect"]["hit"] > figures["aupro_by_defect"]["missed"]
