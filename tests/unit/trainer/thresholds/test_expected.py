"""The share of ok images that is rejected on average, and how often the bound beside it is exceeded: by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from tests.unit.trainer.thresholds.distributions import DISTRIBUTIONS, most_by_chance
from trainer.thresholds.expected import expected_threshold, images_needed
from trainer.thresholds.ok_only import OkOnlyParam, estimate_threshold
from trainer.thresholds.ranked import rank_scores
from trainer.thresholds.statement import ThresholdEstimate

RUNS = 1500


def simulated(name: str, n: int, rate: float) -> tuple[NDArray[np.float64], list[ThresholdEstimate]]:
    """Realised rates of many draws, and what was said of each."""
    draw, tail = DISTRIBUTIONS[name]
    param = OkOnlyParam(false_rejects=rate)
    estimates = [estimate_threshold(row, param) for row in draw(np.random.default_rng(n), (RUNS, n))]
    return tail(np.array([estimate.distance for estimate in estimates])), estimates


@pytest.mark.parametrize(
    ("n", "rate"), [(20, 0.05), (40, 0.05), (58, 0.05), (60, 0.05), (150, 0.05), (80, 0.02), (150, 0.01)]
)
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_what_is_asked_for_is_rejected_on_average_and_the_bound_holds(name: str, n: int, rate: float) -> None:
    realised, estimates = simulated(name, n, rate)
    noise = 4 * realised.std() / math.sqrt(RUNS)
    assert 0.85 * rate - noise < realised.mean() < 1.15 * rate + noise
    broken = int((realised > [estimate.false_reject_bound for estimate in estimates]).sum())
    assert broken <= most_by_chance(RUNS, 0.05)
    assert not any(estimate.is_extrapolated for estimate in estimates)


@pytest.mark.parametrize(("n", "rate"), [(40, 0.02), (60, 0.01), (12, 0.05)])
@pytest.mark.parametrize("name", ["normal", "lognormal", "gamma", "heavy tail"])
def test_beyond_the_highest_score_the_tail_keeps_the_rate(name: str, n: int, rate: float) -> None:
    realised, estimates = simulated(name, n, rate)
    assert 0.5 * rate < realised.mean() < 1.3 * rate
    broken = int((realised > [estimate.false_reject_bound for estimate in estimates]).sum())
    assert broken <= most_by_chance(RUNS, 0.05)
    assert all(estimate.is_extrapolated for estimate in estimates)


def test_a_pareto_tail_keeps_the_rate_exactly() -> None:
    """For which the factor was derived, the tail's unknown rate included."""
    realised, _ = simulated("heavy tail", 30, 0.005)
    assert realised.mean() == pytest.approx(0.005, abs=4 * realised.std() / math.sqrt(RUNS))


@pytest.mark.parametrize("rate", [0.01, 0.02, 0.05, 0.1])
def test_one_image_more_moves_the_threshold_by_no_jump(rate: float) -> None:
    """Scores at the quantiles of one distribution, with a standard deviation of 0.3 in their logarithms."""

    def threshold(n: int) -> float:
        logs = stats.norm(0, 0.3).ppf((np.arange(n) + 0.5) / n)
        return math.log(expected_threshold(rank_scores(np.exp(logs)), rate).distance)

    steps = np.diff([threshold(n) for n in range(15, 130)])
    assert np.abs(steps).max() < 0.06
    assert np.abs(np.diff(steps)).max() < 0.02, "no step is unlike the one before"


@given(n=st.integers(2, 200), rates=st.tuples(st.floats(0.001, 0.9), st.floats(0.001, 0.9)))
def test_a_higher_rate_has_no_higher_threshold_and_rejects_no_fewer(n: int, rates: tuple[float, float]) -> None:
    ranked = rank_scores(np.random.default_rng(n).lognormal(0, 0.3, n))
    one, other = (expected_threshold(ranked, rate) for rate in sorted(rates))
    assert one.distance >= other.distance * (1 - 1e-9)
    assert ranked.exceeding(one.distance) <= ranked.exceeding(other.distance)


@pytest.mark.parametrize(("n", "rate"), [(99, 0.05), (399, 0.01), (39, 0.5)])
def test_from_the_second_place_on_it_is_a_place_among_the_scores(n: int, rate: float) -> None:
    distances = np.arange(1.0, n + 1)
    place = round(rate * (n + 1))
    found = expected_threshold(rank_scores(distances), rate)
    assert found.distance == pytest.approx(n + 1 - place, rel=1e-4)
    assert found.rate == pytest.approx(rate)
    assert not found.is_extrapolated


@pytest.mark.parametrize(("rate", "needed"), [(0.05, 19), (0.01, 99), (0.02, 49), (0.3, 3)])
def test_from_the_number_named_on_nothing_is_extrapolated(rate: float, needed: int) -> None:
    assert images_needed(rate) == needed
    scores = np.random.default_rng(0).lognormal(0, 0.3, needed)
    assert not expected_threshold(rank_scores(scores), rate).is_extrapolated
    assert expected_threshold(rank_scores(scores[1:]), rate).is_extrapolated


@pytest.mark.parametrize("rate", [1e-3, 1e-17, 1e-300, 5e-324])
def test_a_rate_that_cannot_be_extrapolated_to_is_laid_for_the_least_that_can(rate: float) -> None:
    found = expected_threshold(rank_scores(np.random.default_rng(0).lognormal(0, 0.3, 19)), rate)
    assert found.rate == pytest.approx(0.1 / 20)
    assert 1.0 < found.distance < 20.0


@pytest.mark.parametrize("n", [2, 3, 30, 100])
def test_equal_distances_have_a_threshold_just_above(n: int) -> None:
    found = expected_threshold(rank_scores([3.0] * n), 0.05)
    assert 3.0 < found.distance < 3.001


def test_scores_beyond_a_float_are_no_trouble() -> None:
    assert expected_threshold(rank_scores([1e-300, 1e300]), 0.01).distance < math.inf


@given(factor=st.floats(1e-3, 1e3), n=st.sampled_from([5, 30, 80]))
def test_the_unit_of_the_distances_does_not_matter(factor: float, n: int) -> None:
    distances = np.random.default_rng(n).lognormal(0, 0.3, n)
    one, other = (expected_threshold(rank_scores(each), 0.05) for each in (distances, distances * factor))
    assert other.distance == pytest.approx(one.distance * factor, rel=1e-9)
