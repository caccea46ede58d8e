from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from inspector.anomaly.types import ScoreScale
from trainer.choices import ThresholdMethod
from trainer.errors import CalibrationError
from trainer.thresholds.estimate import AnomalyThresholds, ThresholdParam, estimate_anomaly_thresholds
from trainer.thresholds.halcon import halcon_image_thresholds
from trainer.thresholds.ok_only import estimate_threshold
from trainer.thresholds.scores import CalibrationScores, PixelStatistics


@pytest.mark.parametrize(
    ("method", "split"), [("ok_only", "validation"), ("halcon", "test"), ("halcon_corrected", "validation")]
)
def test_the_method_decides_where_ok_images_come_from_unless_it_is_said(method: ThresholdMethod, split: str) -> None:
    assert ThresholdParam(method=method).ok_split == split
    assert ThresholdParam(method=method, image_split="test").ok_split == "test"
    assert ThresholdParam(method=method, image_split="validation").ok_split == "validation"


@pytest.mark.parametrize("given", [{"false_rejects": 0.05}, {"max_false_rejects": 0.05}, {"confidence": 0.5}])
def test_what_the_method_would_pass_over_is_refused(given: dict[str, Any]) -> None:
    assert ThresholdParam(**given).method == "ok_only"
    with pytest.raises(CalibrationError, match=f"the method halcon_corrected knows no {next(iter(given))}, "):
        ThresholdParam(method="halcon_corrected", **given)


HALCON = ThresholdParam(method="halcon_corrected")


def scores(ok: list[float], nok: list[float] | None = None, pixels: list[float] | None = None) -> CalibrationScores:
    found = CalibrationScores(ok=ok, nok=nok or [])
    found.pixels.add(np.array([pixels or [1.0, 2.0]], np.float32))
    return found


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
def test_the_unit_of_the_distances_changes_no_score(factor: float) -> None:
    """So what is found does not depend on the scale that a model had before."""
    ok, nok, pixels = [1.0, 3.0, 2.0], [6.0, 5.0], [0.5, 2.5, 1.0]
    one, other = (
        estimate_anomaly_thresholds(scores([d * f for d in ok], [d * f for d in nok], [d * f for d in pixels]), HALCON)
        for f in (1.0, factor)
    )
    assert other.scale.s == pytest.approx(one.scale.s * factor)
    assert other.image_thresholds == pytest.approx(one.image_thresholds)
    assert other.segmentation == pytest.approx(one.segmentation, rel=1e-5)
    assert other.ok_scores == pytest.approx(one.ok_scores)
    assert other.nok_scores == pytest.approx(one.nok_scores)


def test_nok_scores_take_part_with_a_method_of_halcons_and_where_they_are_wanted() -> None:
    given = CalibrationScores(ok=[1.0, 3.0], nok=[5.0], spots=[1.0, 3.0])
    given.pixels.add(np.array([[1.0, 3.0]], np.float32))
    for param in (ThresholdParam(), ThresholdParam(method="halcon_corrected", use_ok_samples_only=True)):
        found = estimate_anomaly_thresholds(given, param)
        assert (found.nok_scores, len(found.image_thresholds)) == ((), 1)
    assert estimate_anomaly_thresholds(given, HALCON).n_nok == 1


@pytest.mark.parametrize("method", ["halcon", "halcon_corrected"])
def test_a_method_of_halcons_states_no_bound_and_counts_as_it_is_named(method: ThresholdMethod) -> None:
    ok, nok = [1.0, 2.0, 3.0], [2.5, 5.0]
    found = estimate_anomaly_thresholds(scores(ok, nok), ThresholdParam(method=method))
    assert found.estimate is None
    expected = halcon_image_thresholds(ok, nok, is_parity=method == "halcon")
    assert [found.scale.to_distance(score) for score in found.image_thresholds] == pytest.approx(expected)
    assert expected != halcon_image_thresholds(ok, nok, is_parity=method != "halcon")


def test_images_of_groups_count_by_groups() -> None:
    found = CalibrationScores(ok=[1.0, 3.0, 2.0, 2.5], groups=[0, 0, 1, 2])
    estimate = estimate_anomaly_thresholds(found).estimate
    assert estimate == estimate_threshold([1.0, 3.0, 2.0, 2.5], groups=[0, 0, 1, 2])
    assert estimate is not None
    assert estimate.n_groups == 3


def test_values_are_laid_in_distances_and_given_as_scores() -> None:
    found = estimate_anomaly_thresholds(scores([1.0, 3.0], [5.0], [1.0, 3.0]), HALCON)
    assert found.scale.s == pytest.approx(4.0, rel=1e-4), "midway between 3 and 5"
    assert found.image_thresholds == pytest.approx((3 / 7, 5 / 9, 0.5), rel=1e-4)
    assert found.classification == 0.5
    distance = 2 + 4 * math.sqrt(2)
    assert found.segmentation == pytest.approx(distance / (distance + found.scale.s))
    assert found.ok_scores == pytest.approx((1 / 5, 3 / 7), rel=1e-4)


def test_another_scale_moves_the_scores_and_not_the_distances() -> None:
    scale = ScoreScale(s=2.0)
    found = estimate_anomaly_thresholds(scores([1.0, 3.0], [5.0]), HALCON, scale=scale)
    own = estimate_anomaly_thresholds(scores([1.0, 3.0], [5.0]), HALCON)
    assert found.scale == scale
    assert scale.to_distance(found.classification) == pytest.approx(own.scale.s)
    assert scale.to_distance(found.segmentation) == pytest.approx(own.scale.to_distance(own.segmentation))


OK = [1.0, 3.0, 2.0, 2.5]
SPOTS = [5.0, 4.9, 4.8, 4.7]


def cut(found: AnomalyThresholds) -> float:
    return found.scale.to_distance(found.segmentation)


def test_the_map_is_cut_where_as_few_ok_images_show_a_region_as_are_rejected() -> None:
    """Unless a rejected image would then show none: the strongest spot is so many times as high as the score."""
    for param in (ThresholdParam(false_rejects=0.3), ThresholdParam(max_false_rejects=0.3)):
        rare = estimate_anomaly_thresholds(CalibrationScores(ok=OK, spots=[5.0, 4.9, 4.8, 4.7]), param)
        assert cut(rare) == pytest.approx(estimate_threshold([5.0, 4.9, 4.8, 4.7], param).distance)
        assert rare.classification == 0.5
        high = estimate_anomaly_thresholds(CalibrationScores(ok=OK, spots=[1.5, 4.5, 3.0, 30.0]), param)
        assert cut(high) == pytest.approx(1.5 * high.scale.s)
        assert estimate_threshold([1.5, 4.5, 3.0, 30.0], param).distance > cut(high)


def test_the_groups_of_the_images_are_those_of_their_spots() -> None:
    found = CalibrationScores(ok=OK, spots=SPOTS, groups=[0, 0, 1, 2])
    laid = estimate_threshold(SPOTS, groups=[0, 0, 1, 2]).distance
    thresholds = estimate_anomaly_thresholds(found)
    assert cut(thresholds) == pytest.approx(min(laid, thresholds.scale.s * float(np.median(np.divide(SPOTS, OK)))))


@pytest.mark.parametrize("spots", [[], SPOTS[:3]])
def test_where_not_every_spot_is_known_the_map_is_cut_at_the_image_threshold(spots: list[float]) -> None:
    found = estimate_anomaly_thresholds(CalibrationScores(ok=OK, spots=spots))
    assert found.segmentation == found.classification == 0.5
    known = CalibrationScores(ok=OK, spots=SPOTS)
    asked = estimate_anomaly_thresholds(known, ThresholdParam(segmentation="classification"))
    assert asked.segmentation == asked.classification


def test_a_map_of_nothing_but_zeros_has_a_spot_too() -> None:
    found = estimate_anomaly_thresholds(CalibrationScores(ok=OK, spots=[0.0, 1.0, 2.0, 3.0]))
    assert found.segmentation > 0


@pytest.mark.parametrize("method", ["halcon", "halcon_corrected"])
def test_a_method_without_a_rate_cuts_no_map_by_regions(method: ThresholdMethod) -> None:
    with pytest.raises(CalibrationError, match=f"which the method {method} does not have"):
        ThresholdParam(method=method, segmentation="regions")


@pytest.mark.parametrize("score", [math.inf, -0.1, math.nan])
def test_scores_of_no_model_are_refused(score: float) -> None:
    with pytest.raises(CalibrationError, match="raw scores must be finite and not negative"):
        estimate_anomaly_thresholds(CalibrationScores(ok=[0.4, score]))


def test_a_segmentation_threshold_that_every_pixel_reaches_is_refused() -> None:
    pixels = PixelStatistics()
    pixels.add(np.zeros((4, 4), np.float32))
    found = estimate_anomaly_thresholds(CalibrationScores(ok=[0.4], pixels=pixels), HALCON)
    with pytest.raises(CalibrationError, match=r"the segmentation threshold is 0\.0, which every pixel reaches"):
        found.as_thresholds()


@pytest.mark.parametrize("distance", [0.0, 1e-300, 1e300])
def test_a_distance_that_no_scale_fits_is_refused(distance: float) -> None:
    with pytest.raises(
        CalibrationError, match=r"the classification threshold would lie at a distance of .*no score can tell"
    ):
        estimate_anomaly_thresholds(scores([distance]), HALCON)


@pytest.mark.parametrize(("count", "words"), [(1, "leak: 1 test image was used"), (2, "leak: 2 test images were used")])
def test_test_images_that_were_used_are_warned_of(count: int, words: str) -> None:
    of_test = scores([1.0, 2.0], [5.0])
    of_test.n_test = count
    (warning,) = estimate_anomaly_thresholds(of_test, HALCON).warnings
    assert warning.startswith(words)


def test_what_took_part_is_kept_beside_the_thresholds() -> None:
    given = CalibrationScores(ok=OK, groups=[0, 0, 1, 2], nok=[9.0], spots=SPOTS, fold_factor=0.9, folds=5)
    found = estimate_anomaly_thresholds(given)
    assert (found.method, found.n_ok, found.n_nok, found.ok_groups) == ("ok_only", 4, 0, (0, 0, 1, 2))
    assert found.fold_factor == 0.9
    assert found.estimate is not None
    assert (found.estimate.folds, found.warnings) == (5, found.estimate.warnings)
    assert found.warnings, "of three groups little is known"
    assert [found.scale.to_distance(score) for score in found.ok_scores] == pytest.approx(OK)
    plain = estimate_anomaly_thresholds(CalibrationScores(ok=OK))
    assert (plain.ok_groups, plain.fold_factor) == ((), 1.0)
    assert (plain.as_thresholds().min_area, plain.as_thresholds(min_area=5).min_area) == (1, 5)
    assert plain.as_thresholds().classification == plain.classification


def test_maps_may_be_cut_by_pixels_with_any_method_and_at_the_image_threshold_with_any() -> None:
    by_pixels = estimate_anomaly_thresholds(scores([1.0, 3.0]), ThresholdParam(segmentation="halcon"))
    assert cut(by_pixels) == pytest.approx(1.5 + 4 * math.sqrt(0.5))
    at_image = ThresholdParam(method="halcon_corrected", segmentation="classification")
    found = estimate_anomaly_thresholds(scores([1.0, 3.0], [5.0]), at_image)
    assert found.segmentation == found.classification
    assert [param.is_pixel_rule for param in (ThresholdParam(), HALCON, at_image)] == [False, True, False]


def test_a_raw_score_of_zero_is_one() -> None:
    assert estimate_anomaly_thresholds(scores([0.0, 3.0], [5.0]), HALCON).ok_scores[0] == 0.0


def test_no_image_of_the_test_split_is_no_leak() -> None:
    assert estimate_anomaly_thresholds(scores([1.0, 2.0], [5.0]), HALCON).warnings == ()
