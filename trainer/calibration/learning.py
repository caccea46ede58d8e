"""How much lower a model of all images scores unseen ones than the models of folds, which have seen fewer.

Distances of unseen images fall as a model learns from more images, by about the inverse of their number (the excess error of an
estimated Gaussian or of a fitted network, to first order). One more model, of fewer images, shows how steep this is: the mean of the
logarithms of its distances divided by those of the folds, for the same images. The rest is a short extrapolation: with five
folds, the step from four fifths to all images is a fifth of the step from two fifths to four fifths. On real sets the thresholds of 40 to 150
images reject 0.5 to 1.1 of the 5 % asked for with it, and 0.3 to 0.9 without (`tests/benchmarks/results/thresholds.json`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

LEAST_FEWER: Final = 8
"""Images of which the model of fewer must be, for a curve through it to mean anything."""
_LEAST_FOLDS = 3
_SMALLEST = 1e-300


def fewer_folds(folds: Sequence[int]) -> int:
    """How many of the first folds the model of fewer images learns from; 0 where there are too few folds or images."""
    count = (max(folds) + 1) // 2
    is_enough = max(folds) + 1 >= _LEAST_FOLDS and sum(fold < count for fold in folds) >= LEAST_FEWER
    return count if is_enough else 0


def learning_factor(
    by_folds: Sequence[float] | NDArray[np.floating],
    by_fewer: Sequence[float] | NDArray[np.floating],
    *,
    of_folds: Sequence[int] | NDArray[np.integer],
    of_fewer: int,
    of_all: int,
) -> float:
    """What the distances of the models of folds are to be multiplied by.

    Args:
        by_folds: (n,) distances by models of the other folds.
        by_fewer: (n,) distances of the same images by the model of fewer, which had not seen them either.
        of_folds: (n,) images that the fold's model of each learnt from.
        of_fewer: Images that the model of fewer learnt from; fewer than each of these.
        of_all: Images that the model that ships learns from.

    Returns:
        Above 0; 1 where the model of fewer scores no higher.
    """
    folds, fewer = (np.log(np.maximum(np.asarray(each, dtype=np.float64), _SMALLEST)) for each in (by_folds, by_fewer))
    inverse = 1 / np.asarray(of_folds, dtype=np.float64)
    way = float((inverse - 1 / of_all).mean() / (1 / of_fewer - inverse).mean())
    return math.exp(-max(float((fewer - folds).mean()) * way, 0.0))
