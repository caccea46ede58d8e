from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from inspector.anomaly.score import ScoreRule
from inspector.anomaly.threshold import threshold_dl_anomaly_results
from inspector.anomaly.types import DLResult, DLSample
from trainer.calibrate import (
    compute_dl_anomaly_thresholds,
    image_distances,
    out_of_fold_distances,
    scale_and_thresholds,
)
from trainer.errors import CalibrationError
from trainer.fit import DLTrainParam, train_dl_model

Distances = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int]], Distances]

DISTRIBUTIONS: dict[str, tuple[Draw, Callable[[Distances], Distances]]] = {
    # How to draw, and the probability of more than x.
    "normal": (lambda rng, shape: rng.normal(20, 2, shape), stats.norm(20, 2).sf),
    "lognormal": (lambda rng, shape: rng.lognormal(0, 0.5, shape), stats.lognorm(0.5).sf),
    "heavy tail": (lambda rng, shape: 1 + rng.pareto(1.5, shape), stats.pareto(1.5).sf),
    "two kinds": (
        lambda rng, shape: np.where(rng.random(shape) < 0.9, rng.normal(20, 1, shape), rng.normal(40, 1, shape)),
        lambda x: 0.9 * stats.norm(20, 1).sf(x) + 0.1 * stats.norm(40, 1).sf(x),
    ),
}


def test_the_threshold_lies_just_above_an_order_statistic() -> None:
    distances = np.random.default_rng(0).permutation(np.arange(1.0, 201.0))
    estimate = compute_dl_anomaly_thresholds(distances, max_false_rejects=0.05, confidence=0.95)
    assert estimate.rule == "order_statistic"
    assert (estimate.n, estimate.exceeding) == (200, 4)
    assert 196.0 < estimate.distance < 196.0 * 1.0001
    assert estimate.false_reject_bound == 0.05
    assert estimate.warning is None
    assert "all but 4 of 200" in estimate.explanation


@given(
    n=st.integers(2, 3000),
    rate=st.floats(0.005, 0.5),
    confidence=st.floats(0.5, 0.999),
)
def test_as_many_ok_images_are_given_up_as_the_bound_allows(n: int, rate: float, confidence: float) -> None:
    """Against scipy: the largest r with P(Binomial(n, rate) <= r) <= 1 - confidence."""
    estimate = compute_dl_anomaly_thresholds(np.arange(1.0, n + 1), max_false_rejects=rate, confidence=confidence)
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
    estimate = compute_dl_anomaly_thresholds(distances, max_false_rejects=0.05, confidence=0.95)
    assert stats.binom.cdf(estimate.exceeding, n, 0.05) <= 0.05 < stats.binom.cdf(estimate.exceeding + 1, n, 0.05)


@pytest.mark.parametrize("n", [59, 100, 400])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_stated_bound_holds_as_often_as_it_says_whatever_the_distribution(name: str, n: int) -> None:
    draw, tail = DISTRIBUTIONS[name]
    runs, confidence = 800, 0.95
    estimates = [
        compute_dl_anomaly_thresholds(row, max_false_rejects=0.05, confidence=confidence)
        for row in draw(np.random.default_rng(n), (runs, n))
    ]
    true_rates = tail(np.array([estimate.distance for estimate in estimates]))
    broken = int((true_rates > [estimate.false_reject_bound for estimate in estimates]).sum())
    # Binomial noise of the simulation itself: more than this happens once in ten thousand.
    assert broken <= stats.binom.ppf(1 - 1e-4, runs, 1 - confidence)
    assert all(estimate.false_reject_bound <= 0.05 for estimate in estimates)
    assert broken >= stats.binom.ppf(1e-4, runs, 0.005), "a bound that is never broken is a threshold set too high"


@given(
    distances=st.lists(st.floats(1e-3, 1e6), min_size=59, max_size=120),
    share=st.floats(0.05, 0.5),
)
def test_an_image_that_is_allowed_passes_and_only_those_given_up_do_not(distances: list[float], share: float) -> None:
    """The verdict is given in scores, where neighbouring distances may round to the same number."""
    estimate = compute_dl_anomaly_thresholds(distances, max_false_rejects=share, confidence=0.9)
    scale, thresholds = scale_and_thresholds(estimate, min_area=1)
    assert scale.to_score(estimate.distance) == thresholds.classification
    allowed = sorted(distances)[len(distances) - 1 - estimate.exceeding]
    assert allowed < estimate.distance
    # Also where the batch moves the score by as much as it may.
    assert scale.to_score(allowed * (1 + 1e-5)) < thresholds.classification
    rejected = [d for d in distances if scale.to_score(d) >= thresholds.classification]
    assert len(rejected) == estimate.exceeding


def test_an_image_at_the_threshold_is_nok() -> None:
    estimate = compute_dl_anomaly_thresholds(np.arange(1.0, 101.0))
    scale, thresholds = scale_and_thresholds(estimate, min_area=7)
    assert thresholds.min_area == 7
    picture = np.zeros((8, 8), np.uint8)
    for distance, expected in ((estimate.distance, "nok"), (estimate.distance * (1 - 1e-5), "ok")):
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
    estimate = compute_dl_anomaly_thresholds(np.exp(5 + symmetric_logs(n)), max_false_rejects=0.05, confidence=0.95)
    assert estimate.rule == "tail_model"
    exact = stats.nct.ppf(0.95, n - 1, stats.norm.ppf(0.95) * math.sqrt(n)) / math.sqrt(n)
    assert math.log(estimate.distance) - 5 == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 30, 58])
def test_few_images_are_warned_of_with_the_bound_that_they_prove(n: int) -> None:
    distances = np.random.default_rng(n).lognormal(0, 0.2, n)
    estimate = compute_dl_anomaly_thresholds(distances, max_false_rejects=0.05, confidence=0.95)
    assert estimate.rule == "tail_model"
    assert estimate.distance > np.median(distances)
    assert math.isfinite(estimate.distance)
    r = estimate.exceeding
    assert r == int((distances >= estimate.distance).sum())
    assert estimate.false_reject_bound == pytest.approx(float(stats.beta.ppf(0.95, r + 1, n - r)), rel=1e-6)
    assert estimate.false_reject_bound > 0.05
    assert estimate.warning is not None
    assert f"{n} ok images prove" in estimate.warning
    assert "collect 59 or more" in estimate.warning
    assert "too few to prove a rate of 5.0% (that takes 59)" in estimate.explanation


@pytest.mark.parametrize("n", [15, 30, 50])
def test_the_bound_of_few_images_holds_too(n: int) -> None:
    draw, tail = DISTRIBUTIONS["lognormal"]
    runs = 800
    estimates = [compute_dl_anomaly_thresholds(row) for row in draw(np.random.default_rng(n), (runs, n))]
    true_rates = tail(np.array([estimate.distance for estimate in estimates]))
    broken = int((true_rates > [estimate.false_reject_bound for estimate in estimates]).sum())
    assert broken <= stats.binom.ppf(1 - 1e-4, runs, 0.05)


@pytest.mark.parametrize("n", [2, 30, 100])
def test_equal_distances_have_a_threshold_just_above(n: int) -> None:
    estimate = compute_dl_anomaly_thresholds([3.0] * n)
    assert 3.0 < estimate.distance < 3.001
    assert estimate.exceeding == 0


@given(factor=st.floats(1e-3, 1e3), n=st.sampled_from([5, 30, 80]))
def test_the_unit_of_the_distances_does_not_matter(factor: float, n: int) -> None:
    distances = np.random.default_rng(n).lognormal(0, 0.3, n)
    one, other = compute_dl_anomaly_thresholds(distances), compute_dl_anomaly_thresholds(distances * factor)
    assert other.distance == pytest.approx(one.distance * factor, rel=1e-9)
    assert other.exceeding == one.exceeding


@pytest.mark.parametrize(
    "distances", [[], [1.0], [1.0, math.nan], [1.0, math.inf], [0.0, 1.0], [-1.0, 1.0, 2.0]], ids=str
)
def test_distances_that_are_none_are_refused(distances: list[float]) -> None:
    with pytest.raises(CalibrationError, match="at least 2 finite, positive distances"):
        compute_dl_anomaly_thresholds(distances)


@pytest.mark.parametrize(("rate", "confidence"), [(0.0, 0.9), (1.0, 0.9), (math.nan, 0.9), (0.1, 0.0), (0.1, 1.0)])
def test_arguments_out_of_range_are_refused(rate: float, confidence: float) -> None:
    with pytest.raises(CalibrationError, match="max_false_rejects and confidence lie between 0 and 1"):
        compute_dl_anomaly_thresholds([1.0, 2.0], max_false_rejects=rate, confidence=confidence)


# ---------------------------------------------------------------------------------------------------------- out of fold


def ignore(stage: str, done: int, total: int) -> None:
    """Nobody watches."""


def of_folds(embedded: torch.Tensor, folds: Sequence[int], param: DLTrainParam) -> Distances:
    return out_of_fold_distances(embedded, folds, param, ignore)


PARAM = DLTrainParam(detector="padim", neighbourhood=1, regularization=0.1, top_share=0.25)


def embedded(n: int) -> torch.Tensor:
    return torch.randn(n, 2, 4, 8, generator=torch.Generator().manual_seed(0))


def test_each_image_is_scored_by_a_detector_that_never_saw_it() -> None:
    images, folds = embedded(7), [2, 0, 1, 0, 2, 1, 0]
    told: list[tuple[str, int, int]] = []
    found = out_of_fold_distances(images, folds, PARAM, lambda *progress: told.append(progress))
    for index, fold in enumerate(folds):
        others = torch.tensor([other != fold for other in folds])
        detector = train_dl_model(images[others], PARAM, ignore)
        expected = PARAM.rule.apply(detector.distances(images[index : index + 1]))
        assert found[index] == pytest.approx(float(expected[0]), rel=1e-5)
    assert told == [("calibrate", 1, 3), ("calibrate", 2, 3), ("calibrate", 3, 3)]


def test_an_odd_image_does_not_make_itself_normal() -> None:
    images = embedded(10)
    images[4] += 20.0
    found = of_folds(images, [i % 5 for i in range(10)], PARAM)
    seen = image_distances(train_dl_model(images, PARAM, ignore).distances(images), PARAM.rule)
    assert found.argmax() == 4
    assert found[4] > 3 * seen[4]


def test_image_distances_are_those_of_the_rule() -> None:
    maps = torch.arange(16.0).reshape(2, 2, 4)
    found = image_distances(maps, ScoreRule(top_share=0.25))
    assert found.dtype == np.float64
    assert found.tolist() == [6.5, 14.5]
