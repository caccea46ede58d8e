from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.anomaly.errors import ParameterError, UncalibratedError
from inspector.anomaly.threshold import threshold_dl_anomaly_results
from inspector.anomaly.types import DLResult, DLSample, Thresholds

THRESHOLDS = Thresholds(classification=0.7, segmentation=0.5, min_area=3)
open_unit_interval = st.floats(0, 1, exclude_min=True, exclude_max=True)


def a_sample(width: int = 64, height: int = 32) -> DLSample:
    return DLSample(np.zeros((height // 2, width // 2), np.uint8), width, height, 1)


def a_result(score: float, spot: float = 0.0) -> DLResult:
    anomaly_image = np.zeros((32, 64), np.float32)
    anomaly_image[10:12, 20:24] = spot
    return DLResult(score, anomaly_image)


@dataclass
class AModel:
    thresholds: Thresholds | None


def verdict(score: float, threshold: float) -> tuple[str | None, int | None]:
    thresholds = Thresholds(classification=threshold, segmentation=0.5)
    result = threshold_dl_anomaly_results(thresholds, a_sample(), a_result(score))
    return result.anomaly_class, result.anomaly_class_id


@given(threshold=open_unit_interval)
def test_a_score_at_the_threshold_is_nok_and_the_next_one_below_is_ok(threshold: float) -> None:
    assert verdict(threshold, threshold) == ("nok", 1)
    assert verdict(math.nextafter(threshold, 1), threshold) == ("nok", 1)
    assert verdict(math.nextafter(threshold, -1), threshold) == ("ok", 0)


@given(threshold=open_unit_interval)
def test_float32_does_not_blur_the_comparison(threshold: float) -> None:
    # HALCON's threshold is the largest ok score raised by 1e-15: in float32 that is no change, and ok becomes nok.
    above = threshold * (1 + 1e-15)
    if threshold < above < 1:
        assert verdict(threshold, above) == ("ok", 0)
    single = np.float32(threshold)
    expected = "nok" if float(single) >= threshold else "ok"
    assert verdict(single, threshold)[0] == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_nok_without_region(score: float) -> None:
    result = threshold_dl_anomaly_results(THRESHOLDS, a_sample(), a_result(score, spot=0.9))
    assert (result.anomaly_class, result.anomaly_class_id, result.anomaly_region) == ("nok", 1, None)


def test_class_and_region_are_independent() -> None:
    sample = a_sample()
    ok_with_region = threshold_dl_anomaly_results(THRESHOLDS, sample, a_result(0.1, spot=0.9))
    nok_without = threshold_dl_anomaly_results(THRESHOLDS, sample, a_result(0.9))
    assert ok_with_region.anomaly_class == "ok"
    assert ok_with_region.anomaly_region is not None
    assert nok_without.anomaly_class == "nok"
    assert nok_without.anomaly_region is None


def test_the_region_has_the_size_of_the_picture_as_taken() -> None:
    result = threshold_dl_anomaly_results(THRESHOLDS, a_sample(128, 64), a_result(0.9, spot=0.875))
    region = result.anomaly_region
    assert region is not None
    assert (region.width, region.height) == (128, 64)
    component = region.components[0]
    assert (component.x, component.y) == (40, 20)
    assert component.max_score == 0.875


def test_the_models_min_area_counts() -> None:
    thresholds = THRESHOLDS.model_copy(update={"min_area": 9})
    assert threshold_dl_anomaly_results(thresholds, a_sample(), a_result(0.9, spot=0.9)).anomaly_region is None


def test_the_result_is_changed_in_place_and_keeps_what_was_applied() -> None:
    result = a_result(0.65, spot=0.45)
    returned = threshold_dl_anomaly_results(
        THRESHOLDS, a_sample(), result, classification_threshold=0.6, segmentation_threshold=0.4
    )
    assert returned is result
    assert (result.anomaly_class, result.classification_threshold, result.segmentation_threshold) == ("nok", 0.6, 0.4)
    assert result.anomaly_region is not None
    # Judged again by the model's own thresholds, nothing of before is left.
    threshold_dl_anomaly_results(AModel(THRESHOLDS), a_sample(), result)
    assert (result.anomaly_class, result.classification_threshold, result.segmentation_threshold) == ("ok", 0.7, 0.5)
    assert result.anomaly_region is None


@pytest.mark.parametrize("source", [None, AModel(None)])
def test_no_verdict_without_calibration(source: AModel | None) -> None:
    result = a_result(0.1)
    with pytest.raises(UncalibratedError, match="no thresholds"):
        threshold_dl_anomaly_results(source, a_sample(), result, classification_threshold=0.5)
    assert result.anomaly_class is None


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 1.5, math.nan, math.inf])
@pytest.mark.parametrize("name", ["classification_threshold", "segmentation_threshold"])
def test_thresholds_outside_their_range_are_refused(name: str, value: float) -> None:
    result = a_result(0.1)
    with pytest.raises(ParameterError, match=f"{name} must be greater than 0 and less than 1, got {value}"):
        threshold_dl_anomaly_results(THRESHOLDS, a_sample(), result, **{name: value})
    assert result.anomaly_class is None
