"""A threshold with a guarantee: at a given confidence, no more than a given share of ok images is rejected.

With n ok scores, a threshold just above the (r + 1)-th highest rejects at most a share b of all ok images, at confidence c,
where b solves Binomial(n, b) <= r with probability 1 - c: the distribution-free tolerance bound of Wilks (1941). For b = 5 %
at 95 % this needs 59 images (or 59 groups, if images come in groups). With fewer, the threshold comes from a tail model (one-sided
normal tolerance limit of the log distances, robustly estimated, Natrella's factor), and the bound that can be stated is higher than the wanted one.
"""

from __future__ import annotations

import math
import sys
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from trainer.choices import ThresholdRule, ThresholdRuleChoice
from trainer.thresholds.ranked import JUST_ABOVE, RankedScores

_LARGEST_FACTOR = 10.0
_MAD_TO_DEVIATION = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


def scores_needed(rate: float, confidence: float) -> int:
    """The number of scores that prove a rate at a confidence by their order alone, if none may be above the threshold."""
    # 1 - rate is 1 where the rate is tiny, and the number then beyond a float64.
    return math.ceil(min(math.log1p(-confidence) / math.log1p(-rate), sys.float_info.max))


def guaranteed_threshold(
    ranked: RankedScores, rate: float, confidence: float, choice: ThresholdRuleChoice
) -> tuple[float, ThresholdRule]:
    """Lay a threshold that no more than this share of ok images reaches, at a confidence.

    Args:
        ranked: Scores of unseen ok images.
        rate: The share, above 0 and below 1.
        confidence: Of it.
        choice: "auto" takes the order of the scores where these are enough, else the tail model.

    Returns:
        The threshold, and the rule that it was found by.
    """
    is_enough = ranked.n_groups >= scores_needed(rate, confidence)
    rule: ThresholdRule = "order_statistic" if is_enough else "tail_model"
    if choice != "auto":
        rule = choice
    if rule == "tail_model":
        return ranked.clear(_log_normal_limit(ranked.distances, rate, confidence)), rule
    allowed = _allowed_exceedances(ranked.n_groups, rate, confidence) if is_enough else 0
    return ranked.above_all_but(allowed), rule


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


def _log_normal_limit(distances: NDArray[np.float64], rate: float, confidence: float) -> float:
    """Upper limit that all but `rate` of a log-normal lies below, at `confidence`: Natrella (1963), one-sided factors.

    Median and median absolute deviation stand for mean and standard deviation: among thirty images that somebody
    called ok one is often odd, and it alone would move the threshold beyond most defects. The price: the share is met less often
    than at `confidence` (six of seven log-normal draws, fewer on heavier tails), which is why the stated bound is another.
    """
    logs = np.log(distances)
    n = len(logs)
    z_share, z_confidence = -NormalDist().inv_cdf(rate), NormalDist().inv_cdf(confidence)
    a = 1 - z_confidence**2 / (2 * (n - 1))
    b = z_share**2 - z_confidence**2 / n
    # With a handful of images the factor has no solution; the stated bound then says how little is known.
    factor = (z_share + math.sqrt(max(z_share**2 - a * b, 0.0))) / a if a > 0 else _LARGEST_FACTOR
    middle = float(np.median(logs))
    spread = _MAD_TO_DEVIATION * float(np.median(np.abs(logs - middle)))
    highest = float(distances.max()) * JUST_ABOVE
    return math.exp(middle + min(factor, _LARGEST_FACTOR) * spread) if spread > 0 else highest
