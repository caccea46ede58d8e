"""How candidates are compared: by how well their scores part synthetic defects from ok pictures, and how sure a difference is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

ERRORS_AHEAD: Final = 1.0
"""A candidate replaces the default where it is better by so many standard errors of the difference."""

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SyntheticScores:
    """Raw scores of pictures that a candidate has not learnt from; larger is less like the ok ones.

    Attributes:
        ok: (n,) float64, of the held-out pictures.
        defects: (n, k) float64, of k defects that were painted into each of these.
    """

    ok: Scores
    defects: Scores

    @property
    def auroc(self) -> float:
        """Probability that a defect scores above an ok picture, of any two; ties count one half."""
        return float(_wins(self).mean())


@dataclass(frozen=True, slots=True)
class Gain:
    """How much better one candidate is than another.

    Attributes:
        difference: Of the two AUROC.
        error: Its standard error.
    """

    difference: float
    error: float

    @property
    def is_sure(self) -> bool:
        """Whether it is more than chance, by `ERRORS_AHEAD`."""
        return self.difference > 0 and self.difference > ERRORS_AHEAD * self.error


def gain_over(candidate: SyntheticScores, default: SyntheticScores) -> Gain:
    """Compare two candidates on the same pictures.

    The error is that of the jackknife over the held-out pictures, each left out together with its defects: both
    candidates judged the same ones, so what makes a picture hard for both cancels (Efron and Tibshirani 1993, chapter 11).

    Raises:
        ValueError: They did not judge the same number of pictures, or fewer than two.
    """
    if candidate.defects.shape != default.defects.shape or len(candidate.ok) < 2:  # noqa: PLR2004 - one less is left
        raise ValueError("candidates are compared on the same pictures, two or more")
    wins = _wins(candidate) - _wins(default)  # (n, k, n): picture of the defect, defect, ok picture
    total, (n, k, _) = float(wins.sum()), wins.shape
    # Without picture i: its defects against all, and all others' against it, are gone.
    own = wins.sum(axis=(1, 2)) + wins.sum(axis=(0, 1)) - wins[np.arange(n), :, np.arange(n)].sum(axis=1)
    without = (total - own) / ((n - 1) ** 2 * k)
    error = np.sqrt((n - 1) / n * np.square(without - without.mean()).sum())
    return Gain(total / (n * n * k), float(error))


def _wins(scores: SyntheticScores) -> NDArray[np.float64]:
    """(n, k, n): 1 where a defect scores above an ok picture, 0 below, one half for a tie."""
    defects, ok = scores.defects[:, :, None], scores.ok[None, None, :]
    return np.asarray(np.where(defects == ok, 0.5, (defects > ok).astype(np.float64)))
