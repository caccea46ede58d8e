"""Scores of unseen ok images in their order, with their groups: thresholds are set from these.

Images of one lot, day or strip resemble each other, so a hundred of them say less about other lots than a hundred drawn one by one. How
much less is shown by the intraclass correlation of the log distances (one-way analysis of variance, Fisher, 1925); with it n images of
G groups are worth between G and n independent ones (the design effect, Kish, 1965). Every group counts the same, however large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trainer.errors import CalibrationError
from trainer.rates import binomial_upper_limit

JUST_ABOVE: Final = 1 + 2e-5
"""Factor that brings a threshold above a score that must pass: a score at the threshold is nok, a batch may move a score
by 1e-5, and the score of the next float64 rounds to that of the threshold in half of all cases."""

LEAST_SCORES: Final = 2
_TINY_SHARE = 1e-9
"""Of a group: what sums of shares may be off by."""


@dataclass(frozen=True, slots=True)
class RankedScores:
    """Raw distances, the highest first.

    Attributes:
        distances: (n,) float64, descending, positive.
        shares: (n,) float64; of each image its share of its group, 1 over the images in there.
        n_groups: How many groups there are: as many as images where each is one of its own.
        independent: How many images drawn one by one say as much of the distribution: n where each is a group of its own.
    """

    distances: NDArray[np.float64]
    shares: NDArray[np.float64]
    n_groups: int
    independent: float

    def __len__(self) -> int:
        return len(self.distances)

    @property
    def is_grouped(self) -> bool:
        """Whether any two images are of one group."""
        return self.n_groups < len(self)

    def exceeding(self, threshold: float) -> int:
        """How many images lie at or above a threshold."""
        return int((self.distances >= threshold).sum())

    def groups_exceeding(self, threshold: float) -> float:
        """The shares of all groups that lie at or above a threshold, added up: the number of images where each is a group."""
        return float(self.shares[: self.exceeding(threshold)].sum())

    def upper_bound(self, threshold: float, confidence: float) -> float:
        """Upper confidence bound of the share of ok images, of groups not seen, at or above a threshold.

        Clopper and Pearson's (1934), the groups taken for the trials. A group of which a share exceeds counts as that share: shares
        vary less than groups of which all or none exceed (Hoeffding, 1963). Between two numbers it is interpolated.
        """
        count = self.groups_exceeding(threshold)
        below = min(int(count + _TINY_SHARE), self.n_groups)
        low = binomial_upper_limit(below, self.n_groups, confidence=confidence)
        if below == self.n_groups or count - below <= _TINY_SHARE:
            return low
        high = binomial_upper_limit(below + 1, self.n_groups, confidence=confidence)
        return low + (count - below) * (high - low)

    def above_all_but(self, groups: float) -> float:
        """The lowest threshold that no more than this many groups, in shares of them, lie at or above."""
        spent = np.cumsum(self.shares) <= groups + _TINY_SHARE
        # The first one that must pass; where all may be given up, the lowest passes all the same.
        return self.clear(float(self.distances[min(int(spent.sum()), len(self) - 1)]))

    def clear(self, threshold: float) -> float:
        """The threshold, or one just above the scores that lie so near that the rounding of a batch would decide about them."""
        ascending = self.distances[::-1]
        for distance in ascending[np.searchsorted(ascending, threshold / JUST_ABOVE, side="right") :]:
            if distance >= threshold * JUST_ABOVE:
                break
            if distance > threshold / JUST_ABOVE:
                threshold = float(distance) * JUST_ABOVE
        return threshold


def rank_scores(distances: Sequence[float] | NDArray[np.floating], groups: Sequence[int] | None = None) -> RankedScores:
    """Bring raw distances into their order.

    Args:
        distances: One for each image.
        groups: Number of the group of each; None where every image is drawn by itself.

    Raises:
        CalibrationError: Fewer than two distances, or one is not finite and positive; not as many groups as distances, or a
            single group.
    """
    values = np.asarray(distances, dtype=np.float64)
    n = len(values)
    if n < LEAST_SCORES or not np.isfinite(values).all() or values.min() <= 0:
        raise CalibrationError(
            f"thresholds need at least {LEAST_SCORES} finite, positive distances of ok images, got {n}"
        )
    if groups is not None and len(groups) != n:
        raise CalibrationError(f"got {n} distances and {len(groups)} groups; give the group of each distance")
    order = np.argsort(-values, kind="stable")
    if groups is None or len(set(groups)) == n:
        return RankedScores(values[order], np.ones(n), n, float(n))
    _, numbers, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    if len(sizes) < LEAST_SCORES:
        raise CalibrationError(
            f"the {n} ok images used to set the threshold all come from one group, which says nothing about others; "
            "add images of other groups, or use smaller groups"
        )
    correlation = _intraclass_correlation(np.log(values), numbers, sizes)
    independent = len(sizes) / float((correlation + (1 - correlation) / sizes).mean())
    return RankedScores(values[order], 1 / sizes[numbers][order], len(sizes), independent)


def _intraclass_correlation(logs: NDArray[np.float64], numbers: NDArray[np.intp], sizes: NDArray[np.intp]) -> float:
    """Share of the variance that lies between groups, in [0, 1], from the mean squares between and within them."""
    n, count = len(logs), len(sizes)
    means = np.bincount(numbers, logs) / sizes
    within = float(np.square(logs - means[numbers]).sum()) / (n - count)
    between = float((sizes * np.square(means - logs.mean())).sum()) / (count - 1)
    typical_size = (n - float(np.square(sizes).sum()) / n) / (count - 1)
    variance = max(0.0, (between - within) / typical_size)
    return variance / (variance + within) if variance > 0 else 0.0
