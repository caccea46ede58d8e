from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from trainer.errors import CalibrationError
from trainer.thresholds.ok_only import OkOnlyParam, estimate_threshold


@pytest.mark.parametrize(
    "distances", [[], [1.0], [1.0, math.nan], [1.0, math.inf], [0.0, 1.0], [-1.0, 1.0, 2.0]], ids=str
)
def test_distances_that_are_none_are_refused(distances: list[float]) -> None:
    with pytest.raises(CalibrationError, match="at least 2 finite, positive distances"):
        estimate_threshold(distances)


@pytest.mark.parametrize(("rate", "confidence"), [(0.0, 0.9), (1.0, 0.9), (math.nan, 0.9), (0.1, 0.0), (0.1, 1.0)])
def test_parameters_out_of_range_are_refused(rate: float, confidence: float) -> None:
    with pytest.raises(CalibrationError, match=r"max_false_rejects|confidence"):
        OkOnlyParam(max_false_rejects=rate, confidence=confidence)
    with pytest.raises(CalibrationError, match=r"false_rejects|confidence"):
        OkOnlyParam(false_rejects=rate, confidence=confidence)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"false_rejects": 0.05, "max_false_rejects": 0.05},
            "false_rejects sets the average share and max_false_rejects the maximum",
        ),
        ({"rule": "tail_model"}, "rule needs max_false_rejects"),
    ],
)
def test_a_share_on_average_goes_with_no_guarantee(given: dict[str, Any], words: str) -> None:
    with pytest.raises(CalibrationError, match=words):
        OkOnlyParam(**given)


def test_the_default_is_a_share_on_average() -> None:
    found = estimate_threshold(np.arange(1.0, 100.0))
    assert (found.rule, found.false_rejects, found.max_false_rejects) == ("quantile", 0.05, None)
    assert (found.n, found.exceeding) == (99, 4), "just above the fifth: a new one is above that in 5 of 100 cases"
    assert found.false_reject_bound == pytest.approx(0.0901, abs=1e-4)


def test_a_guarantee_costs_what_the_share_on_average_does_not() -> None:
    """The 59th score does not double the false rejects, nor halve them: the mode decides, not the number."""
    scores = np.random.default_rng(0).lognormal(0, 0.3, 80)
    mean, bound = (estimate_threshold(scores, param) for param in (OkOnlyParam(), OkOnlyParam(max_false_rejects=0.05)))
    assert (mean.exceeding, bound.exceeding) == (4, 0)
    assert (bound.false_rejects, bound.max_false_rejects, bound.false_reject_bound) == (None, 0.05, 0.05)


@pytest.mark.parametrize(
    ("groups", "words"),
    [([0, 0, 1], "4 distances and 3 groups"), ([2, 2, 2, 2], "all come from one group")],
)
def test_groups_that_say_nothing_are_refused(groups: list[int], words: str) -> None:
    with pytest.raises(CalibrationError, match=words):
        estimate_threshold([1.0, 2.0, 3.0, 4.0], groups=groups)


def test_a_guarantee_counts_groups() -> None:
    """100 images are enough for 5 % at 95 %, 50 groups are not; the bound is that of 50."""
    scores, groups = np.random.default_rng(0).lognormal(0, 0.2, 100), [place // 2 for place in range(100)]
    param = OkOnlyParam(max_false_rejects=0.05)
    assert estimate_threshold(scores, param).rule == "order_statistic"
    found = estimate_threshold(scores, param, groups=groups)
    assert (found.rule, found.n_groups) == ("tail_model", 50)
    assert "collect 59 or more" in found.warnings[0]
    assert "50 groups of ok images" in found.warnings[0]
    assert "too few for a bound of 5\u00a0% (that takes 59 groups)" in found.explanation


def test_a_guarantee_with_groups_enough_gives_up_shares_of_them() -> None:
    """Of 100 groups the first may exceed with both of its images, and the second with one of two: 1.5 of 1 are too many."""
    scores = np.arange(200.0, 0.0, -1.0)
    groups = [place // 2 for place in range(200)]
    allowed = estimate_threshold(scores[::2], OkOnlyParam(max_false_rejects=0.05)).exceeding
    found = estimate_threshold(scores, OkOnlyParam(max_false_rejects=0.05), groups=groups)
    assert (found.rule, found.exceeding, found.false_reject_bound) == ("order_statistic", 2 * allowed, 0.05)


def test_a_bound_rests_on_an_assumed_tail_where_the_scores_are_too_few() -> None:
    scores = np.random.default_rng(5).lognormal(size=200)
    param = OkOnlyParam(max_false_rejects=0.05)
    few, enough = estimate_threshold(scores[:20], param), estimate_threshold(scores, param)
    assert (few.is_extrapolated, enough.is_extrapolated) == (True, False)
    assert few.asked == enough.asked == 0.05
