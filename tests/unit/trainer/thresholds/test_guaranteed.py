from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from inspector.anomaly.types import DLResult, DLSample, ScoreScale, Thresholds
from inspector.anomaly.verdict.threshold import threshold_dl_anomaly_results
from tests.unit.trainer.thresholds.distributions import DISTRIBUTIONS, Distances, most_by_chance
from trainer.thresholds.estimate import ThresholdParam, estimate_anomaly_thresholds
from trainer.thresholds.ok_only import OkOnlyParam, estimate_threshold
from trainer.thresholds.scores import CalibrationScores
from trainer.thresholds.statement import ThresholdEstimate

GUARANTEE = OkOnlyParam(max_false_rejects=0.05)


def calibrated(
    distances: Sequence[float] | Distances, param: ThresholdParam, *, min_area: int = 1
) -> tuple[ScoreScale, Thresholds]:
    """What a model is given."""
    found = estimate_anomaly_thresholds(CalibrationScores(ok=[float(distance) for distance in distances]), param)
    return found.scale, found.as_thresholds(min_area=min_area)


def test_the_threshold_lies_just_above_an_order_statistic() -> None:
    distances = np.random.default_rng(0).permutation(np.arange(1.0, 201.0))
    estimate = estimate_threshold(distances, OkOnlyParam(max_false_rejects=0.05, confidence=0.95))
    assert estimate.rule == "order_statistic"
    assert (estimate.n, estimate.exceeding) == (200, 4)
    assert 196.0 < estimate.distance < 196.0 * 1.0001
    assert estimate.false_reject_bound == 0.05
    assert not estimate.warnings
    assert "all but 4 of 200" in estimate.explanation


@pytest.mark.parametrize("rate", [1e-17, 1e-300, 5e-324])
def test_a_rate_that_no_number_of_images_supports_is_extrapolated(rate: float) -> None:
    estimate = estimate_threshold(np.arange(1.0, 101.0), OkOnlyParam(max_false_rejects=rate))
    assert estimate.rule == "tail_model"
    assert 100.0 < estimate.distance < math.inf
    assert estimate.n_needed >= 0.999 * min(math.log(20) / rate, sys.float_info.max)
    assert estimate.warnings


@given(
    n=st.integers(2, 3000),
    rate=st.floats(0.005, 0.5),
    confidence=st.floats(0.5, 0.999),
)
def test_as_many_ok_images_are_given_up_as_the_bound_allows(n: int, rate: float, confidence: float) -> None:
    """Against scipy: the largest r with P(Binomial(n, rate) <= r) <= 1 - confidence."""
    estimate = estimate_threshold(np.arange(1.0, n + 1), OkOnlyParam(max_false_rejects=rate, confidence=confidence))
    assert (estimate.rule == "order_statistic") == (n >= estimate.n_needed)
    assert stats.binom.cdf(0, estimate.n_needed, rate) <= (1 - confidence) * (1 + 1e-9)
    assert stats.binom.cdf(0, estimate.n_needed - 1, rate) >= (1 - confidence) * (1 - 1e-9)
    r = estimate.exceeding
    if estimate.rule == "order_statistic":
        assert stats.binom.cdf(r, n, rate) <= (1 - confidence) * (1 + 1e-9)
        assert stats.binom.cdf(r + 1, n, rate) >= (1 - confidence) * (1 - 1e-9)
        assert estimate.false_reject_bound == rate
    else:
        expected = 1.0 if r == n else float(stats.beta.ppf(confidence, r + 1, n - r))
        assert estimate.false_reject_bound == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("n", [20_000, 100_000])
def test_a_large_archive_is_no_trouble(n: int) -> None:
    """0.95 ** 20000 is too small for a float64."""
    distances = np.geomspace(1.0, 1e30, n)
    estimate = estimate_threshold(distances, OkOnlyParam(max_false_rejects=0.05, confidence=0.95))
    assert stats.binom.cdf(estimate.exceeding, n, 0.05) <= 0.05 < stats.binom.cdf(estimate.exceeding + 1, n, 0.05)


def broken_bounds(name: str, n: int, param: OkOnlyParam, runs: int) -> tuple[int, list[ThresholdEstimate]]:
    """How often the true false-reject rate exceeds the bound that the estimate states."""
    draw, tail = DISTRIBUTIONS[name]
    estimates = [estimate_threshold(row, param) for row in draw(np.random.default_rng(n), (runs, n))]
    true_rates = tail(np.array([estimate.distance for estimate in estimates]))
    return int((true_rates > [estimate.false_reject_bound for estimate in estimates]).sum()), estimates


@pytest.mark.parametrize(
    ("rate", "confidence", "n"),
    [(0.05, 0.95, 59), (0.05, 0.95, 100), (0.05, 0.95, 400), (0.01, 0.95, 299), (0.01, 0.9, 700), (0.2, 0.99, 40)],
)
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_stated_bound_holds_as_often_as_it_says_whatever_the_distribution(
    name: str, n: int, rate: float, confidence: float
) -> None:
    runs = 800
    broken, estimates = broken_bounds(name, n, OkOnlyParam(max_false_rejects=rate, confidence=confidence), runs)
    assert broken <= most_by_chance(runs, 1 - confidence)
    assert {(e.rule, e.false_reject_bound, e.warnings) for e in estimates} == {("order_statistic", rate, ())}
    if confidence == 0.95 and rate == 0.05:
        assert broken >= stats.binom.ppf(1e-4, runs, 0.005), "a bound that is never broken is a threshold set too high"


@pytest.mark.parametrize("n", [10, 30, 50])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_bound_of_too_few_images_without_a_tail_model(name: str, n: int) -> None:
    runs = 800
    broken, estimates = broken_bounds(name, n, OkOnlyParam(max_false_rejects=0.05, rule="order_statistic"), runs)
    # The bound of the highest score is exact: it must be broken as often as it says, too.
    assert stats.binom.ppf(1e-4, runs, 0.05) <= broken <= most_by_chance(runs, 0.05)
    assert {e.exceeding for e in estimates} == {0}
    assert estimates[0].false_reject_bound == pytest.approx(1 - 0.05 ** (1 / n))
    assert "collect 59 or more" in estimates[0].warnings[0]


@given(
    distances=st.lists(st.floats(1e-3, 1e6), min_size=59, max_size=120),
    share=st.floats(0.05, 0.5),
)
def test_an_image_that_is_allowed_passes_and_only_those_given_up_do_not(distances: list[float], share: float) -> None:
    """The verdict is given in scores, where neighbouring distances may round to the same number."""
    param = ThresholdParam(max_false_rejects=share, confidence=0.9)
    estimate = estimate_threshold(distances, param)
    scale, thresholds = calibrated(distances, param)
    assert scale.to_score(estimate.distance) == pytest.approx(thresholds.classification, rel=1e-9)
    allowed = sorted(distances)[len(distances) - 1 - estimate.exceeding]
    assert allowed < estimate.distance
    # Also where the batch moves the score by as much as it may.
    assert scale.to_score(allowed * (1 + 1e-5)) < thresholds.classification
    rejected = [d for d in distances if scale.to_score(d) >= thresholds.classification]
    assert len(rejected) == estimate.exceeding


def test_scores_that_crowd_above_the_one_allowed_pass_with_room_too() -> None:
    """Nor may the rounding of a batch decide about a score between the one that must pass and the threshold above it."""
    crowded = [900.0 * (1 + 1.5e-5) ** i for i in range(4)]
    distances = [*np.linspace(1.0, 2.0, 100), *crowded, *np.linspace(1000.0, 1001.0, 5)]
    param = OkOnlyParam(max_false_rejects=stats.beta.ppf(0.95, 9, 101), confidence=0.95)
    estimate = estimate_threshold(distances, param)
    assert estimate.exceeding == 5
    assert crowded[-1] * (1 + 1e-5) < estimate.distance < 1000.0


def test_an_image_at_the_threshold_is_nok() -> None:
    estimate = estimate_threshold(np.arange(1.0, 101.0), GUARANTEE)
    param = ThresholdParam(max_false_rejects=0.05)
    scale, thresholds = calibrated(np.arange(1.0, 101.0), param, min_area=7)
    assert thresholds.min_area == 7
    picture = np.zeros((8, 8), np.uint8)
    for distance, expected in ((estimate.distance * (1 + 1e-9), "nok"), (estimate.distance * (1 - 1e-5), "ok")):
        result = DLResult(scale.to_score(distance), np.zeros((8, 8), np.float32))
        sample = DLSample(picture, original_width=8, original_height=8, channels=1)
        assert threshold_dl_anomaly_results(thresholds, sample, result).anomaly_class == expected


# ------------------------------------------------------------------------------------------- fewer images than a proof takes


def symmetric_logs(n: int) -> Distances:
    """Logarithms of mean and median 0 whose deviation is 1, both the usual one and that of the median."""
    inner = 0.6744897501960817
    logs = np.repeat([-inner, inner], n // 2)
    outer = math.sqrt((n - 1 - (n - 2) * inner**2) / 2)
    logs[0], logs[-1] = -outer, outer
    assert logs.std(ddof=1) == pytest.approx(1.0)
    return logs


@pytest.mark.parametrize("n", [12, 20, 30, 50])
def test_the_tail_model_is_the_tolerance_limit_of_a_normal_distribution(n: int) -> None:
    estimate = estimate_threshold(np.exp(5 + symmetric_logs(n)), OkOnlyParam(max_false_rejects=0.05, confidence=0.95))
    assert estimate.rule == "tail_model"
    exact = stats.nct.ppf(0.95, n - 1, stats.norm.ppf(0.95) * math.sqrt(n)) / math.sqrt(n)
    assert math.log(estimate.distance) - 5 == pytest.approx(exact, rel=0.05)


def deviations_above(logs: Distances, confidence: float) -> float:
    """How many robust standard deviations above the median the threshold of 5 % lies."""
    param = OkOnlyParam(max_false_rejects=0.05, confidence=confidence, rule="tail_model")
    middle = float(np.median(logs))
    spread = 1.4826 * float(np.median(np.abs(logs - middle)))
    return (math.log(estimate_threshold(np.exp(logs), param).distance) - middle) / spread


@pytest.mark.parametrize(("n", "confidence"), [(3, 0.8), (5, 0.95), (12, 0.95), (30, 0.99), (50, 0.6)])
def test_the_factor_is_natrellas(n: int, confidence: float) -> None:
    """It solves (k - z_share)² = z_confidence² (1 / n + k² / 2(n - 1)): the variance of mean + k deviations."""
    k = deviations_above(np.random.default_rng(n).normal(2, 0.3, n), confidence)
    z_share, z_confidence = stats.norm.ppf(0.95), stats.norm.ppf(confidence)
    assert k > z_share
    assert (k - z_share) ** 2 == pytest.approx(z_confidence**2 * (1 / n + k**2 / (2 * (n - 1))), rel=1e-6)


@pytest.mark.parametrize(("n", "confidence"), [(2, 0.95), (3, 0.99), (4, 0.99)])
def test_the_factor_of_a_handful_of_images_is_capped(n: int, confidence: float) -> None:
    """Of four at 99 % it would be 33, and of fewer there is none."""
    assert deviations_above(np.linspace(1.0, 1.3, n), confidence) == pytest.approx(10.0)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 30, 58])
def test_few_images_are_warned_of_with_the_bound_that_they_prove(n: int) -> None:
    distances = np.random.default_rng(n).lognormal(0, 0.2, n)
    estimate = estimate_threshold(distances, OkOnlyParam(max_false_rejects=0.05, confidence=0.95))
    assert estimate.rule == "tail_model"
    assert estimate.distance > np.median(distances)
    assert math.isfinite(estimate.distance)
    r = estimate.exceeding
    assert r == int((distances >= estimate.distance).sum())
    assert estimate.false_reject_bound == pytest.approx(float(stats.beta.ppf(0.95, r + 1, n - r)), rel=1e-6)
    assert estimate.false_reject_bound > 0.05
    (warning,) = estimate.warnings
    assert f"{n} ok images prove" in warning
    assert "collect 59 or more" in warning
    assert "too few for a bound of 5\u00a0% (that takes 59 images)" in estimate.explanation


@pytest.mark.parametrize("n", [15, 30, 50])
@pytest.mark.parametrize("name", ["lognormal", "gamma", "normal"])
def test_the_bound_of_the_tail_model_holds(name: str, n: int) -> None:
    runs = 800
    broken, _ = broken_bounds(name, n, GUARANTEE, runs)
    assert broken <= most_by_chance(runs, 0.05)


@pytest.mark.parametrize(("rate", "confidence", "needed"), [(0.05, 0.95, 59), (0.01, 0.95, 299), (0.001, 0.99, 4603)])
def test_the_warning_names_the_number_of_images_needed(rate: float, confidence: float, needed: int) -> None:
    param = OkOnlyParam(max_false_rejects=rate, confidence=confidence)
    distances = np.random.default_rng(0).lognormal(0, 0.2, needed)
    assert f"collect {needed} or more" in estimate_threshold(distances[:40], param).warnings[0]
    assert estimate_threshold(distances[:-1], param).warnings
    assert not estimate_threshold(distances, param).warnings


def test_a_tail_model_that_is_asked_for_is_used_whatever_the_number() -> None:
    param = OkOnlyParam(max_false_rejects=0.05, rule="tail_model")
    distances = 1 + np.random.default_rng(1).pareto(1.5, 400)
    estimate = estimate_threshold(distances, param)
    assert (estimate.rule, estimate.n_needed) == ("tail_model", 59)
    assert "a tail model was requested" in estimate.explanation
    # The tail of this set is much heavier than the model's: the bound says what the scores prove all the same.
    assert estimate.exceeding > 0.05 * 400
    assert estimate.false_reject_bound > estimate.exceeding / 400
    assert "use the rule order_statistic" in estimate.warnings[0]
    assert estimate_threshold(distances, GUARANTEE).rule == "order_statistic"


@pytest.mark.parametrize("n", [2, 30, 100])
def test_equal_distances_have_a_threshold_just_above(n: int) -> None:
    estimate = estimate_threshold([3.0] * n, GUARANTEE)
    assert 3.0 < estimate.distance < 3.001
    assert estimate.exceeding == 0


@given(factor=st.floats(1e-3, 1e3), n=st.sampled_from([5, 30, 80]))
def test_the_unit_of_the_distances_does_not_matter(factor: float, n: int) -> None:
    distances = np.random.default_rng(n).lognormal(0, 0.3, n)
    one, other = (estimate_threshold(each, GUARANTEE) for each in (distances, distances * factor))
    assert other.distance == pytest.approx(one.distance * factor, rel=1e-9)
    assert other.exceeding == one.exceeding


def test_a_tail_without_a_spread_begins_at_the_highest_score() -> None:
    found = estimate_threshold([1.0, 1.0, 1.0, 1.0, 5.0], OkOnlyParam(max_false_rejects=0.05, rule="tail_model"))
    assert 5.0 < found.distance < 5.001
