"""A threshold from the scores of unseen ok images alone, with a false-reject bound that their number supports.

With n ok scores, a threshold just above the (r + 1)-th largest rejects at most a share b of all ok images, at confidence c,
where b solves Binomial(n, b) <= r with probability 1 - c: the distribution-free tolerance bound of Wilks (1941). For b = 5 %
at 95 % that takes 59 images. With fewer, the threshold comes from a tail model (one-sided normal tolerance limit of the log
distances, robustly estimated, Natrella's factor), and the bound that is stated remains the distribution-free one.

The bound is proven for scores of the very model that ships, of held-out images that are drawn one by one like those to come:
images of one group are fewer than they look, and `split_dl_dataset` warns of them. Scores from folds are those of models fitted
on a part of the images. Their bound is an estimate for the model that is then fitted on all; usually that one scores unseen ok
images no higher, as it has seen more.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trainer.choices import ThresholdRule, ThresholdRuleChoice
from trainer.errors import CalibrationError
from trainer.parameters import StageParameters
from trainer.rates import binomial_rate

_PARTS = {2: "half", 3: "two thirds", 4: "three quarters", 5: "four fifths"}
"""Share of the images that the model of each fold has seen, in words."""
_LEAST_FOLDS = 2

JUST_ABOVE = 1 + 2e-5
"""Factor that brings a threshold above a score that must pass: a score at the threshold is nok, a batch may move a score
by 1e-5, and the score of the next float64 rounds to that of the threshold in half of all cases."""

_LEAST_SCORES = 2
_LARGEST_FACTOR = 10.0
_MAD_TO_DEVIATION = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


class OkOnlyParam(StageParameters):
    """How a threshold is estimated from ok scores alone.

    Attributes:
        max_false_rejects: Share of ok images that may be rejected.
        confidence: Probability that the bound holds.
        rule: "auto" takes order statistics where there are enough scores for the bound asked for, else the tail
            model. "order_statistic" assumes nothing even with too few scores: the threshold then lies just above the
            highest. "tail_model" extrapolates even where the scores would do.
    """

    refusal: ClassVar[type[CalibrationError]] = CalibrationError

    max_false_rejects: float = Field(default=0.05, gt=0, lt=1)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    rule: ThresholdRuleChoice = "auto"


@dataclass(frozen=True, slots=True)
class ThresholdEstimate:
    """Where the threshold lies, and what can be said of it.

    Attributes:
        distance: The threshold in raw distances; at or above it an image is nok.
        rule: How it was found.
        false_reject_bound: Distribution-free upper bound of the share of ok images rejected, at `confidence`.
        max_false_rejects: What was asked for.
        exceeding: How many of the `n` scores lie at or above the threshold.
        n_needed: Scores that support `max_false_rejects` at `confidence` without a tail model.
        folds: Number of folds that the scores are from; 0 where they are of held-out images by the model that ships.
    """

    distance: float
    rule: ThresholdRule
    false_reject_bound: float
    confidence: float
    max_false_rejects: float
    n: int
    exceeding: int
    n_needed: int
    folds: int = 0

    @property
    def is_proven(self) -> bool:
        """Whether the bound is proven, rather than estimated from models of folds."""
        return not self.folds

    @property
    def explanation(self) -> str:
        """One sentence for people."""
        scores = "scores of unseen ok images" if self.is_proven else _of_folds(self.folds)
        if self.rule == "order_statistic":
            bound = (
                "assumes nothing about how scores are distributed" if self.is_proven else f"is estimated: {_ANOTHER}"
            )
            return f"The threshold lies just above all but {self.exceeding} of {self.n} {scores}; the bound {bound}."
        if self.n < self.n_needed:
            verb = "prove" if self.is_proven else "support"
            reason = f"are too few to {verb} a rate of {self.max_false_rejects:.1%} (that takes {self.n_needed}), so"
        else:
            reason = "would do without, but a tail model was asked for:"
        says = "what the scores prove" if self.is_proven else "estimated"
        but = "" if self.is_proven else f": {_ANOTHER}"
        return (
            f"{self.n} {scores} {reason} the threshold extrapolates their logarithms as normally distributed; the bound is "
            f"{says} without that assumption{but}."
        )

    @property
    def warning(self) -> str | None:
        """What the user should do, where the bound that was asked for is not reached."""
        if self.false_reject_bound <= self.max_false_rejects:
            return None
        bound, asked = f"{self.false_reject_bound:.1%}", f"the {self.max_false_rejects:.1%} asked for"
        if self.is_proven:
            said = f"{self.n} ok images prove a false-reject rate of at most {bound}, not {asked}"
        else:
            said = f"{self.n} ok images put the false-reject rate at {bound} at most, by estimate, not at {asked}"
        if self.n < self.n_needed:
            return f"{said}: collect {self.n_needed} or more"
        return f"{said}: the tail model gave up {self.exceeding} of them; use the rule order_statistic"


_ANOTHER = "the model that ships is another one, fitted on all"


def _of_folds(folds: int) -> str:
    return f"scores of models fitted on {_PARTS.get(folds, f'{folds - 1}/{folds}')} of the images"


def estimate_threshold(
    distances: Sequence[float] | NDArray[np.floating], param: OkOnlyParam | None = None, *, folds: int = 0
) -> ThresholdEstimate:
    """Estimate the classification threshold from the raw image distances of unseen ok images.

    Args:
        distances: One for each image, positive; none of an image that the scoring model was fitted on.
        param: Rule, rate and confidence; the defaults where None.
        folds: Number of folds where any of the distances is of a model of the other folds; 0 where all are of held-out
            images by the model that ships. It changes what is said of the bound, not the numbers.

    Raises:
        CalibrationError: Fewer than two distances, or one is not finite and positive; or there is a single fold.
    """
    param = OkOnlyParam() if param is None else param
    if folds and folds < _LEAST_FOLDS:
        raise CalibrationError(f"folds is {folds}; give 2 or more, or 0 for scores of held-out images")
    rate, confidence = param.max_false_rejects, param.confidence
    ordered = np.sort(np.asarray(distances, dtype=np.float64))
    if len(ordered) < _LEAST_SCORES or not np.isfinite(ordered).all() or ordered[0] <= 0:
        raise CalibrationError(
            f"thresholds need at least {_LEAST_SCORES} finite, positive distances of ok images, got {len(ordered)}"
        )
    n = len(ordered)
    # 1 - rate is 1 where the rate is tiny, and the number then beyond a float64.
    n_needed = math.ceil(min(math.log1p(-confidence) / math.log1p(-rate), sys.float_info.max))
    is_enough = n >= n_needed
    rule: ThresholdRule = "order_statistic" if is_enough else "tail_model"
    if param.rule != "auto":
        rule = param.rule
    if rule == "order_statistic":
        allowed = _allowed_exceedances(n, rate, confidence) if is_enough else 0
        threshold = _just_above(ordered, n - 1 - allowed)
    else:
        threshold = _log_normal_limit(ordered, rate, confidence)
    exceeding = int((ordered >= threshold).sum())
    # Where there are enough, the bound is the one asked for. Else it is what the scores support: the upper end of a
    # two-sided interval at 2c - 1 is the one-sided bound at c (Clopper and Pearson, 1934).
    supported = binomial_rate(exceeding, n, confidence=2 * confidence - 1).high
    return ThresholdEstimate(
        distance=threshold,
        rule=rule,
        false_reject_bound=rate if rule == "order_statistic" and is_enough else supported,
        confidence=confidence,
        max_false_rejects=rate,
        n=n,
        exceeding=exceeding,
        n_needed=n_needed,
        folds=folds,
    )


def _just_above(ordered: NDArray[np.float64], index: int) -> float:
    """A threshold above a score that must pass, and above those that crowd behind it: no batch may decide about them."""
    threshold = float(ordered[index]) * JUST_ABOVE
    for score in ordered[index + 1 :]:
        if score >= threshold:
            break
        threshold = float(score) * JUST_ABOVE
    return threshold


def _allowed_exceedances(n: int, rate: float, confidence: float) -> int:
    """The largest r with P(Binomial(n, rate) <= r) <= 1 - confidence."""
    # In logarithms: with 15 000 images the first terms are too small for a float64.
    log_term = n * math.log1p(-rate)
    log_odds = math.log(rate) - math.log1p(-rate)
    total = math.exp(log_term)
    for allowed in range(n):
        log_term += math.log((n - allowed) / (allowed + 1)) + log_odds
        total += math.exp(log_term)
        if total > 1 - confidence:
            return allowed
    return n - 1


def _log_normal_limit(ordered: NDArray[np.float64], rate: float, confidence: float) -> float:
    """Upper limit that all but `rate` of a log-normal lies below, at `confidence`: Natrella (1963), one-sided factors.

    Median and median absolute deviation stand for mean and standard deviation: among thirty images that somebody
    called ok one is often odd, and it alone would move the threshold beyond most defects. The price: the share is met less often
    than at `confidence` (six of seven log-normal draws, fewer on heavier tails), which is why the stated bound is another.
    """
    logs = np.log(ordered)
    n = len(logs)
    z_share, z_confidence = -NormalDist().inv_cdf(rate), NormalDist().inv_cdf(confidence)
    a = 1 - z_confidence**2 / (2 * (n - 1))
    b = z_share**2 - z_confidence**2 / n
    # With a handful of images the factor has no solution; the stated bound then says how little is known.
    factor = (z_share + math.sqrt(max(z_share**2 - a * b, 0.0))) / a if a > 0 else _LARGEST_FACTOR
    middle = float(np.median(logs))
    spread = _MAD_TO_DEVIATION * float(np.median(np.abs(logs - middle)))
    return math.exp(middle + min(factor, _LARGEST_FACTOR) * spread) if spread > 0 else float(ordered[-1]) * JUST_ABOVE
