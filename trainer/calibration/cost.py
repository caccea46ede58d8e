"""What a threshold costs: the share of defects that it finds, and what other rates of false rejects would find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from trainer.rates import Rate, binomial_rate
from trainer.thresholds.estimate import AnomalyThresholds
from trainer.thresholds.ok_only import OkOnlyParam, estimate_threshold
from trainer.wording import as_percent

COST_RATES: Final = (0.01, 0.02, 0.05, 0.1)
"""Shares of ok images, rejected on average, that the shipped threshold is compared with."""
_NOTABLE = 0.15
"""So much more of the defects is worth a warning."""

DefectSource = Literal["test", "synthetic"]
"""Where the defects come from that are counted."""


@dataclass(frozen=True, slots=True)
class RateCost:
    """What a share of false rejects buys.

    Attributes:
        false_rejects: Share of ok images that is rejected on average.
        threshold: The threshold for it, in the model's scores, by the rule and the scores of the shipped one.
        found: Defects that reach it.
        rejected: ok test images that reach it.
    """

    false_rejects: float
    threshold: float
    found: Rate
    rejected: Rate


@dataclass(frozen=True, slots=True)
class ThresholdCost:
    """What the shipped threshold finds, and what others would.

    Attributes:
        source: Where the defects come from.
        found: Defects that reach the shipped threshold.
        false_rejects: Share of ok images that it rejects on average; None where a bound was asked for instead.
        rates: What the rates that are listed buy, the lowest first.
    """

    source: DefectSource
    found: Rate
    false_rejects: float | None
    rates: tuple[RateCost, ...]

    @property
    def sentence(self) -> str:
        """What is found, and what would be at the other rates."""
        first, *others = [one for one in self.rates if one.false_rejects != self.false_rejects]
        rest = "".join(f", {as_percent(one.found.rate)} at {as_percent(one.false_rejects)}" for one in others)
        return (
            f"finds {as_percent(self.found.rate)} of the {self.found.total} {self.source} defects; "
            f"{as_percent(first.found.rate)} would be found at {as_percent(first.false_rejects)} false rejects{rest}"
        )

    @property
    def warning(self) -> str | None:
        """Where a rate of false rejects among those that are listed would find far more; None elsewhere."""
        shipped = self.found.rate or 0.0
        better = [one for one in self.rates if (one.found.rate or 0.0) >= shipped + _NOTABLE]
        if not better:
            return None
        return (
            f"the threshold finds {as_percent(shipped)} of the {self.found.total} {self.source} defects; "
            f"{as_percent(better[0].found.rate)} would be found if {as_percent(better[0].false_rejects)} of ok parts were rejected on "
            f"average (--false-rejects {better[0].false_rejects:g})"
        )


def threshold_cost(
    found: AnomalyThresholds, defects: Sequence[float], ok: Sequence[float], source: DefectSource = "test"
) -> ThresholdCost | None:
    """Compare the shipped threshold with those for other shares of false rejects.

    Args:
        found: The thresholds, laid from ok scores in any way.
        defects: Scores of defects by the final model, none of which were used to set the threshold.
        ok: The same of ok images, to see what is rejected; there may be none.
        source: Where the defects come from.

    Returns:
        None if there is no defect, or if HALCON's rules set the threshold.
    """
    if not defects or found.estimate is None:
        return None
    distances = [found.scale.to_distance(score) for score in found.ok_scores]

    def cost(rate: float) -> RateCost:
        laid = estimate_threshold(distances, OkOnlyParam(false_rejects=rate), groups=found.ok_groups or None)
        threshold = found.scale.to_score(laid.distance)
        return RateCost(rate, threshold, _reaching(defects, threshold), _reaching(ok, threshold))

    return ThresholdCost(
        source,
        found=_reaching(defects, found.classification),
        false_rejects=found.estimate.false_rejects,
        rates=tuple(map(cost, COST_RATES)),
    )


def _reaching(scores: Sequence[float], threshold: float) -> Rate:
    """Scores at or above a threshold; what is not a number is nok."""
    return binomial_rate(sum(not score < threshold for score in scores), len(scores))
