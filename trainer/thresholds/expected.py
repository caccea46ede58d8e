"""A threshold that rejects the wanted share of ok images on average, whatever the number of scores.

A new image lies above the k-th highest of n scores with probability k / (n + 1), whatever the distribution: the mean of the beta
distribution of an order statistic, on which conformal prediction rests too (Vovk, Gammerman and Shafer, 2005). So the wanted
rate is a place among the scores, p (n + 1) from the top, interpolated between two scores by their logarithms. Above the highest score, at
less than 1 / (n + 1), the excesses of the logarithms over the fourth highest are assumed to fall off exponentially (a Pareto tail
of the distances, Hill, 1975). The threshold that a new image then exceeds with probability p on average, the tail's unknown rate
included, is u + c S, with S the sum of the m = 3 excesses and c = ((m + 1) / (p (n + 1)))^(1 / m) - 1. Between the highest and
the second highest score one rule passes gradually into the other, so that one more image does not make the threshold jump.

Few excesses are used on purpose: more would steady the threshold, but follow the bulk of the scores instead of their end. This
and the bound were checked by simulation and on real sets: `tests/benchmarks/thresholds`.

If images come in groups, n is `RankedScores.independent`, and places are counted in parts of it.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trainer.thresholds.ranked import RankedScores

_TAIL_SCORES = 3.0
"""Excesses that a tail is estimated from."""
_LEAST_PLACE: Final = 0.1
"""Farthest place that is extrapolated to: where one image in ten such sets would lie."""
_LARGEST_LOG = 700.0
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class ExpectedThreshold:
    """Where a share of ok images is rejected on average.

    Attributes:
        distance: The threshold.
        rate: The share; more than was asked for where the scores are too few to extrapolate so far.
        is_extrapolated: Whether it rests on the tail, which is assumed, rather than on the order of the scores alone.
    """

    distance: float
    rate: float
    is_extrapolated: bool


def expected_threshold(ranked: RankedScores, rate: float) -> ExpectedThreshold:
    """Lay a threshold that this share of ok images reaches on average.

    Args:
        ranked: Scores of unseen ok images.
        rate: The share, above 0 and below 1.
    """
    laid = max(rate, _LEAST_PLACE / (ranked.independent + 1))
    place = laid * (ranked.independent + 1)
    weights = ranked.shares * (ranked.independent / ranked.n_groups)
    above = np.cumsum(weights) - weights
    logs = np.log(ranked.distances)
    found = float(np.interp(place, above + 1, logs))
    # From the second place on nothing is assumed.
    if (assumed := 2 - place) > 0:
        found += min(assumed, 1.0) * (_tail(logs, weights, above, place) - found)
    distance = ranked.clear(math.exp(min(found, _LARGEST_LOG)))
    return ExpectedThreshold(distance, laid, is_extrapolated=place < 1 - _ROUNDING)


def _tail(logs: NDArray[np.float64], weights: NDArray[np.float64], above: NDArray[np.float64], place: float) -> float:
    """The logarithm of the threshold by the tail beyond the score that three lie above, or fewer where there are no more."""
    base = min(int(np.searchsorted(above, _TAIL_SCORES)), len(logs) - 1)
    count = float(above[base])
    excess = float((weights[:base] * (logs[:base] - logs[base])).sum())
    factor = math.pow((count + 1) / place, 1 / count) - 1
    return float(logs[base]) + factor * excess


def images_needed(rate: float) -> int:
    """From how many images on a rate is a place among the scores: at the highest one."""
    return math.ceil(min(1 / rate, sys.float_info.max) * (1 - _ROUNDING)) - 1
