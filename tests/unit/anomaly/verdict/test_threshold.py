from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.anomaly.domain.domain import DomainView
from inspector.anomaly.errors import ParameterError, UncalibratedError
from inspector.anomaly.types import DLResult, DLSample, Thresholds
from inspector.anomaly.verdict.runs import decode_region
from inspector.anomaly.verdict.threshold import RegionSize, threshold_dl_anomaly_results
from tests.domains import BOX, HEIGHT, RECTANGLE, WIDTH

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
    assert (component.x, component.y) == (41, 21), "without the halo that reaches to (40, 20)"
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


def test_several_results_are_judged_like_one_each() -> None:
    samples = [a_sample(), a_sample(128, 64), a_sample()]
    results = [a_result(0.1), a_result(0.9, spot=0.9), a_result(math.nan)]
    returned = threshold_dl_anomaly_results(THRESHOLDS, samples, results)
    assert returned is results
    alone = [
        threshold_dl_anomaly_results(THRESHOLDS, sample, replace(result))
        for sample, result in zip(samples, results, strict=True)
    ]
    for found, expected in zip(results, alone, strict=True):
        assert (found.anomaly_class, found.anomaly_class_id) == (expected.anomaly_class, expected.anomaly_class_id)
        assert found.anomaly_region == expected.anomaly_region
    assert [result.anomaly_class for result in results] == ["ok", "nok", "nok"]
    assert threshold_dl_anomaly_results(THRESHOLDS, [], []) == []


def test_the_region_in_model_size_has_the_pixels_of_the_map() -> None:
    for sample in (a_sample(), a_sample(640, 320)):
        region = threshold_dl_anomaly_results(
            THRESHOLDS, sample, a_result(0.9, spot=0.875), region_size="model"
        ).anomaly_region
        assert region is not None
        assert (region.width, region.height, region.area) == (64, 32, 8)
        expected = np.zeros((32, 64), np.bool_)
        expected[10:12, 20:24] = True
        np.testing.assert_array_equal(decode_region(region), expected)


@pytest.mark.parametrize(
    ("size", "model_min_area", "given", "is_found"),
    [
        # The spot has 8 pixels of the map; in a picture ten times as wide and high each stands for a hundred.
        ("model", 800, None, True),
        ("model", 900, None, False),
        ("model", 1, 8, True),
        ("model", 1, 9, False),
        ("original", 1, 500, True),
        ("original", 1, 2000, False),
        ("original", 2000, 1, True),
    ],
)
def test_min_area_is_in_pixels_of_the_region(
    size: RegionSize, model_min_area: int, given: int | None, *, is_found: bool
) -> None:
    thresholds = THRESHOLDS.model_copy(update={"min_area": model_min_area})
    result = threshold_dl_anomaly_results(
        thresholds, a_sample(640, 320), a_result(0.9, spot=0.9), region_size=size, min_area=given
    )
    assert (result.anomaly_region is not None) == is_found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"region_size": "input"}, "region_size must be original or model, got 'input'"),
        ({"min_area": 0}, "min_area must be at least 1 pixel, got 0"),
    ],
)
def test_other_refusals(options: dict[str, Any], message: str) -> None:
    results = [a_result(0.1), a_result(0.9)]
    with pytest.raises(ParameterError, match=message):
        threshold_dl_anomaly_results(THRESHOLDS, [a_sample(), a_sample()], results, **options)
    assert [result.anomaly_class for result in results] == [None, None]


def test_samples_and_results_must_be_as_many() -> None:
    with pytest.raises(ParameterError, match="1 samples do not match 2 results; give one result for each"):
        threshold_dl_anomaly_results(THRESHOLDS, [a_sample()], [a_result(0.1), a_result(0.1)])
    with pytest.raises(ParameterError, match="give one sample with one result, or as many samples as results"):
        threshold_dl_anomaly_results(THRESHOLDS, [a_sample()], a_result(0.1))  # type: ignore[call-overload]


def test_one_sample_goes_with_the_list_that_apply_returns_for_it() -> None:
    (judged,) = threshold_dl_anomaly_results(THRESHOLDS, a_sample(), [a_result(0.9)])
    assert judged.anomaly_class == "nok"


def test_what_has_no_thresholds_is_refused_by_its_type() -> None:
    with pytest.raises(ParameterError, match="a str has no thresholds; give a trained model or Thresholds"):
        threshold_dl_anomaly_results("model", a_sample(), a_result(0.1))  # type: ignore[call-overload]


@pytest.mark.parametrize("source", [None, AModel(None)])
@pytest.mark.parametrize("given", ["classification_threshold", "segmentation_threshold"])
def test_no_verdict_without_calibration(source: AModel | None, given: str) -> None:
    result = a_result(0.1)
    with pytest.raises(
        UncalibratedError, match=r"no thresholds; calibrate it .*, or give both classification_threshold"
    ):
        threshold_dl_anomaly_results(source, a_sample(), result, **{given: 0.5})  # type: ignore[call-overload]
    assert result.anomaly_class is None


@pytest.mark.parametrize("source", [None, AModel(None)])
def test_two_thresholds_that_are_given_need_no_others(source: AModel | None) -> None:
    options: dict[str, Any] = {"classification_threshold": 0.6, "segmentation_threshold": 0.4}
    result = threshold_dl_anomaly_results(source, a_sample(), a_result(0.65, spot=0.45), **options)
    assert (result.anomaly_class, result.classification_threshold, result.segmentation_threshold) == ("nok", 0.6, 0.4)
    assert result.anomaly_region is not None
    assert result.anomaly_region.area > 1
    dot = a_result(0.1)
    dot.anomaly_image[5, 5] = 0.9
    region = threshold_dl_anomaly_results(source, a_sample(), dot, region_size="model", **options).anomaly_region
    assert region is not None, "without a model every pixel counts"
    assert region.area == 1


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 1.5, math.nan, math.inf])
@pytest.mark.parametrize("name", ["classification_threshold", "segmentation_threshold"])
def test_thresholds_outside_their_range_are_refused(name: str, value: float) -> None:
    result = a_result(0.1)
    with pytest.raises(ParameterError, match=f"{name} must be greater than 0 and less than 1, got {value}"):
        threshold_dl_anomaly_results(THRESHOLDS, a_sample(), result, **{name: value})  # type: ignore[call-overload]
    assert result.anomaly_class is None


def test_the_region_lies_where_the_model_looked_in_the_picture_as_taken() -> None:
    result = a_result(0.9, spot=0.9)
    result.view = DomainView(RECTANGLE, is_crop=True)
    threshold_dl_anomaly_results(THRESHOLDS, a_sample(WIDTH, HEIGHT), result)
    assert result.anomaly_region is not None
    assert (result.anomaly_region.width, result.anomaly_region.height) == (WIDTH, HEIGHT)
    (spot,) = result.anomaly_region.components
    # Columns 20 to 24 of 64 and rows 10 to 12 of 32, in the box.
    assert BOX.x + 20 / 64 * BOX.width <= spot.x + spot.width / 2 <= BOX.x + 24 / 64 * BOX.width
    assert BOX.y + 10 / 32 * BOX.height <= spot.y + spot.height / 2 <= BOX.y + 12 / 32 * BOX.height
