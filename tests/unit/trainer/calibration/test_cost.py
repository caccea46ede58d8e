from __future__ import annotations

import numpy as np
import pytest

from trainer.calibration.cost import COST_RATES, threshold_cost
from trainer.thresholds.estimate import AnomalyThresholds, ThresholdParam, estimate_anomaly_thresholds
from trainer.thresholds.scores import CalibrationScores

OK = np.random.default_rng(0).lognormal(0, 0.2, 80).tolist()


def thresholds(param: ThresholdParam | None = None, groups: list[int] | None = None) -> AnomalyThresholds:
    return estimate_anomaly_thresholds(CalibrationScores(ok=OK, groups=groups or []), param)


def test_the_rates_are_laid_by_the_scores_that_laid_the_threshold() -> None:
    found = thresholds(ThresholdParam(false_rejects=0.02))
    cost = threshold_cost(found, [0.5, 0.9], [])
    assert cost is not None
    assert [one.false_rejects for one in cost.rates] == list(COST_RATES)
    assert cost.rates[1].threshold == pytest.approx(found.classification)
    assert [one.threshold for one in cost.rates] == sorted((one.threshold for one in cost.rates), reverse=True)
    for one in cost.rates:
        own = thresholds(ThresholdParam(false_rejects=one.false_rejects))
        assert found.scale.to_distance(one.threshold) == pytest.approx(own.scale.s)


def test_defects_and_ok_test_images_are_counted_as_verdicts_are() -> None:
    found = thresholds()
    defects = [found.classification, 0.0, 0.99, float("nan")]
    cost = threshold_cost(found, defects, [0.0, 0.99])
    assert cost is not None
    assert (cost.found.count, cost.found.total) == (3, 4)
    at_five = cost.rates[2]
    assert (at_five.found.count, at_five.rejected.count, at_five.rejected.total) == (3, 1, 2)


def test_a_guarantee_that_costs_much_is_warned_of() -> None:
    found = thresholds(ThresholdParam(max_false_rejects=0.05))
    between = (thresholds().scale.s + found.scale.s) / 2
    defects = [found.scale.to_score(between)] * 8 + [0.99] * 2
    cost = threshold_cost(found, defects, [])
    assert cost is not None
    assert cost.sentence.startswith(
        "finds 20\u00a0% of the 10 test defects; 20\u00a0% would be found at 1\u00a0% false rejects"
    )
    assert cost.sentence.endswith("100\u00a0% at 5\u00a0%, 100\u00a0% at 10\u00a0%")
    assert cost.warning is not None
    assert (
        "100\u00a0% would be found if 5\u00a0% of ok parts were rejected on average (--false-rejects 0.05)"
        in cost.warning
    )


def test_the_rate_that_was_chosen_is_not_said_twice() -> None:
    cost = threshold_cost(thresholds(), [0.99] * 10, [])
    assert cost is not None
    assert " at 5\u00a0%" not in cost.sentence


def test_what_costs_little_is_not_warned_of() -> None:
    cost = threshold_cost(thresholds(), [0.99] * 10, [])
    assert cost is not None
    assert cost.warning is None


def test_synthetic_defects_are_called_so() -> None:
    cost = threshold_cost(thresholds(), [0.99], [], "synthetic")
    assert cost is not None
    assert "of the 1 synthetic defects" in cost.sentence


def test_without_defects_or_by_halcons_rule_nothing_is_said() -> None:
    assert threshold_cost(thresholds(), [], [0.1]) is None
    assert (
        threshold_cost(thresholds(ThresholdParam(method="halcon_corrected", segmentation="classification")), [0.9], [])
        is None
    )


def test_groups_lay_the_other_rates_too() -> None:
    groups = [place // 10 for place in range(80)]
    found = thresholds(groups=groups)
    cost = threshold_cost(found, [0.9], [])
    assert cost is not None
    assert cost.rates[2].threshold == pytest.approx(found.classification)
