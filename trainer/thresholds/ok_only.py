"""A threshold from the scores of unseen ok images alone: for an average share of false rejects, or with a guaranteed bound.

In both cases the upper bound of that share is stated that the scores support, without an assumption about their distribution. It is
proven if the scores are those of the shipped model, for held-out images that are drawn like future ones, one by one or by groups.
Scores from folds come from models fitted on a part of the images. Their bound is an estimate for the model that is then fitted on
all images; usually that model scores unseen ok images no higher, because it has seen more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trainer.choices import ThresholdRuleChoice
from trainer.errors import CalibrationError
from trainer.parameters import StageParameters
from trainer.thresholds.expected import expected_threshold, images_needed
from trainer.thresholds.guaranteed import guaranteed_threshold, scores_needed
from trainer.thresholds.ranked import RankedScores, rank_scores
from trainer.thresholds.statement import ThresholdEstimate

_LEAST_FOLDS = 2


class OkOnlyParam(StageParameters):
    """How a threshold is estimated from ok scores alone: for a share on average, or with a guarantee.

    Attributes:
        false_rejects: Share of ok images that is rejected on average.
        max_false_rejects: Share of ok images that is not exceeded at `confidence`; given instead of `false_rejects`. The threshold
            then lies higher, and finds less: of 80 images none may lie above it for 5 %, so 1.2 % are rejected on average.
        confidence: Probability that the bound holds: the one asked for, or the one that is stated beside the share.
        rule: Of `max_false_rejects`. "auto" takes order statistics where there are enough scores for the bound asked for, else
            the tail model. "order_statistic" assumes nothing even with too few scores: the threshold then lies just above the
            highest. "tail_model" extrapolates even where the scores would do.
    """

    refusal: ClassVar[type[CalibrationError]] = CalibrationError

    false_rejects: float = Field(default=0.05, gt=0, lt=1)
    max_false_rejects: float | None = Field(default=None, gt=0, lt=1)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    rule: ThresholdRuleChoice = "auto"

    def check_consistency(self) -> None:
        """Refuse a share on average together with a guarantee, and a rule without one."""
        if self.max_false_rejects is None and "rule" in self.model_fields_set:
            raise CalibrationError("rule needs max_false_rejects; give both, or leave rule out")
        if self.max_false_rejects is not None and "false_rejects" in self.model_fields_set:
            raise CalibrationError(
                "false_rejects sets the average share and max_false_rejects the maximum; give only one of them"
            )


def estimate_threshold(
    distances: Sequence[float] | NDArray[np.floating],
    param: OkOnlyParam | None = None,
    *,
    groups: Sequence[int] | None = None,
    folds: int = 0,
) -> ThresholdEstimate:
    """Estimate the classification threshold from the raw image distances of unseen ok images.

    Args:
        distances: One for each image, positive; none of an image that the scoring model was fitted on.
        param: Rate, confidence and rule; the defaults where None.
        groups: Number of the group that each image is of (a lot, a day); None where each was drawn by itself. The rate and the
            bound are then of images of groups not seen, and each group counts the same.
        folds: Number of folds where any of the distances is of a model of the other folds; 0 where all are of held-out
            images by the model that ships. It changes what is said of the bound, not the numbers.

    Raises:
        CalibrationError: Fewer than two distances, or one is not finite and positive; not as many groups, or a single one; or there
            is a single fold.
    """
    param = OkOnlyParam() if param is None else param
    if folds and folds < _LEAST_FOLDS:
        raise CalibrationError(f"folds is {folds}; give 2 or more, or 0 for scores of held-out images")
    ranked = rank_scores(distances, groups)
    if param.max_false_rejects is None:
        return _on_average(ranked, param, folds)
    return _guaranteed(ranked, param, param.max_false_rejects, folds)


def _on_average(ranked: RankedScores, param: OkOnlyParam, folds: int) -> ThresholdEstimate:
    found = expected_threshold(ranked, param.false_rejects)
    return ThresholdEstimate(
        distance=found.distance,
        rule="tail" if found.is_extrapolated else "quantile",
        asked=param.false_rejects,
        false_rejects=found.rate,
        max_false_rejects=None,
        false_reject_bound=ranked.upper_bound(found.distance, param.confidence),
        confidence=param.confidence,
        n=len(ranked),
        exceeding=ranked.exceeding(found.distance),
        n_needed=images_needed(param.false_rejects),
        is_extrapolated=found.is_extrapolated,
        n_groups=ranked.n_groups if ranked.is_grouped else None,
        folds=folds,
    )


def _guaranteed(ranked: RankedScores, param: OkOnlyParam, rate: float, folds: int) -> ThresholdEstimate:
    distance, rule = guaranteed_threshold(ranked, rate, param.confidence, param.rule)
    n_needed = scores_needed(rate, param.confidence)
    # Where there are enough, the bound is the one asked for. Else it is what the scores support.
    is_reached = rule == "order_statistic" and ranked.n_groups >= n_needed
    return ThresholdEstimate(
        distance=distance,
        rule=rule,
        asked=rate,
        false_rejects=None,
        max_false_rejects=rate,
        false_reject_bound=rate if is_reached else ranked.upper_bound(distance, param.confidence),
        confidence=param.confidence,
        n=len(ranked),
        exceeding=ranked.exceeding(distance),
        n_needed=n_needed,
        is_extrapolated=rule == "tail_model",
        n_groups=ranked.n_groups if ranked.is_grouped else None,
        folds=folds,
    )
