"""How candidates are compared: how well their scores separate synthetic defects from ok pictures, and how certain a difference is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

ERRORS_AHEAD: Final = 2.0
"""A candidate replaces the default if it is better by this many standard errors of the difference."""

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SyntheticScores:
    """Raw scores of pictures that a candidate has not learnt from; larger is less like the ok ones.

    Attributes:
        ok: (n,) float64, of ok pictures, each by a model of the other folds.
        defects: (n, k) float64, of k defects that were painted into each of these, by the same model.
        folds: (n,) int64; scores of different folds are of different models, and are not compared.
        units: (n,) int64, the group that each picture is of.
    """

    ok: Scores
    defects: Scores
    folds: NDArray[np.int64]
    units: NDArray[np.int64]

    @property
    def auroc(self) -> float:
        """Probability that a defect scores above an ok picture, of any two in a fold; ties count one half."""
        wins, counted = _wins(self), _counted(self)
        return float((wins * counted).sum() / counted.sum() / wins.shape[1])


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

    The error is that of the jackknife over the groups of pictures, each left out together with its defects: both
    candidates judged the same ones, so what makes a picture hard for both cancels (Efron and Tibshirani 1993, chapter 11).

    Raises:
        ValueError: They did not judge the same pictures, or pictures of a single group.
    """
    units = np.unique(candidate.units)
    if candidate.defects.shape != default.defects.shape or len(units) < 2:  # noqa: PLR2004 - one less is left
        raise ValueError("candidates are compared on the same pictures, of two groups or more")
    counted = _counted(candidate)[:, 0]  # (n, n)
    wins = (_wins(candidate) - _wins(default)).mean(axis=1) * counted  # (n, n): picture with defects, ok picture

    def without(left_out: NDArray[np.bool_]) -> float:
        pairs = np.outer(~left_out, ~left_out)
        return float(wins[pairs].sum() / counted[pairs].sum())

    values = np.array([without(candidate.units == unit) for unit in units])
    difference = without(np.zeros(len(candidate.ok), np.bool_))
    error = np.sqrt((len(units) - 1) / len(units) * np.square(values - values.mean()).sum())
    return Gain(difference, float(error))


def _wins(scores: SyntheticScores) -> NDArray[np.float64]:
    """(n, k, n): 1 where a defect scores above an ok picture, 0 below, one half for a tie."""
    defects, ok = scores.defects[:, :, None], scores.ok[None, None, :]
    return np.asarray(np.where(defects == ok, 0.5, (defects > ok).astype(np.float64)))


def _counted(scores: SyntheticScores) -> NDArray[np.float64]:
    """(n, 1, n): 1 where two pictures are of one fold."""
    return np.asarray((scores.folds[:, None] == scores.folds[None, :])[:, None, :].astype(np.float64))
