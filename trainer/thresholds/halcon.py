"""HALCON's thresholds from labelled scores: [max ok, min nok, intermediate], and mean + 4 deviations for pixels.

Two traps of the original are kept only on request. It multiplies the highest ok score by 1 + 1e-15, which
float32 cannot represent; everything here is float64. And its search counts a sample at the threshold as ok, although the
verdict "score >= threshold" makes it nok; the corrected search counts as the verdict does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trainer.errors import CalibrationError
from trainer.thresholds.ranked import JUST_ABOVE
from trainer.thresholds.scores import _MEAN_AND_DEVIATION, PixelStatistics

Scores = Sequence[float] | NDArray[np.floating]

PARITY_FACTOR = 1 + 1e-15
"""What HALCON raises the highest ok score by."""
SEGMENTATION_DEVIATIONS = 4.0


def halcon_image_thresholds(
    ok_scores: Scores, nok_scores: Scores = (), *, is_parity: bool = False
) -> tuple[float] | tuple[float, float, float]:
    """The image thresholds in HALCON's order: highest ok, lowest nok, intermediate.

    The highest ok score is raised, so that this image passes: by `PARITY_FACTOR`, or by more than the rounding
    of a batch (`JUST_ABOVE`). The intermediate one lies midway where the classes are separable. Where they overlap it
    is the lowest score, from the lowest nok score on, for which the rates of false rejects and of missed nok images
    have the least sum.

    Args:
        ok_scores: Of ok images, finite and not negative; any order. Midway between two distances is not midway between
            their scores: `compute_dl_anomaly_thresholds` gives distances.
        nok_scores: The same of nok images; none gives the first threshold only.
        is_parity: Sweep and raise as HALCON does: an image at the threshold counts as ok.

    Returns:
        One value, or three.

    Raises:
        CalibrationError: There is no ok score, or a score is negative or not finite.
    """
    ok, nok = _checked("ok", ok_scores), _checked("nok", nok_scores)
    if not len(ok):
        raise CalibrationError("there is no score of an ok image from which to set the threshold; score at least one")
    highest = float(ok[-1])
    above = highest * PARITY_FACTOR if is_parity else max(highest * JUST_ABOVE, math.nextafter(highest, math.inf))
    if not len(nok):
        return (above,)
    lowest = float(nok[0])
    middle = above + (lowest - above) / 2 if above < lowest else _sweep(ok, nok, is_parity=is_parity)
    return above, lowest, middle


def _sweep(ok: NDArray[np.float64], nok: NDArray[np.float64], *, is_parity: bool) -> float:
    """The lowest score from min nok on with the least sum of both error rates; both arrays ascending."""
    candidates = np.union1d(ok, nok)
    candidates = candidates[candidates >= nok[0]]
    # "left": an image at the threshold is above it, so nok, as the verdict has it. "right": it counts as ok.
    side: Literal["left", "right"] = "right" if is_parity else "left"
    # Whole numbers of common denominator: equal sums must not differ by rounding.
    rejected = (len(ok) - np.searchsorted(ok, candidates, side=side)) * len(nok)
    missed = np.searchsorted(nok, candidates, side=side) * len(ok)
    return float(candidates[np.argmin(rejected + missed)])


def _checked(name: str, scores: Scores) -> NDArray[np.float64]:
    """The scores in float64, ascending."""
    values = np.sort(np.asarray(scores, dtype=np.float64).reshape(-1))
    if len(values) and not (np.isfinite(values).all() and values[0] >= 0):
        wrong = next(float(v) for v in values if not (math.isfinite(v) and v >= 0))
        raise CalibrationError(f"a score of a {name} image is {wrong}; scores must be finite and not negative")
    return values


def halcon_segmentation_threshold(pixels: PixelStatistics) -> float:
    """Mean + 4 standard deviations of the pixels of unseen ok images.

    HALCON's procedure stops at 1, the largest value of its maps; distances have none, and become a score below 1 afterwards.

    Raises:
        CalibrationError: Fewer than two pixels were counted.
    """
    if pixels.n_pixels < _MEAN_AND_DEVIATION:
        raise CalibrationError(
            f"a segmentation threshold needs anomaly images of the validation split, got {pixels.n_images} with "
            f"{pixels.n_pixels} pixels inside the domain; raise the validation percentage or widen the domain"
        )
    return pixels.mean + SEGMENTATION_DEVIATIONS * pixels.deviation
