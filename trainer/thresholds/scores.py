"""Scores of images that a model has not seen: what thresholds are estimated from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trainer.errors import CalibrationError


class PixelStatistics:
    """Mean and standard deviation of all pixels of many anomaly images, fed one at a time, in float64.

    The parts are joined as Chan, Golub and LeVeque (1979) do, so nothing cancels and no image is kept.
    """

    def __init__(self) -> None:
        self.n_images = 0
        self.n_pixels = 0
        self._mean = 0.0
        self._squares = 0.0

    def add(self, anomaly_image: NDArray[np.floating], domain: NDArray[np.bool_] | None = None) -> None:
        """Count an image.

        Args:
            anomaly_image: (H, W); scores, or distances.
            domain: (H, W), True where pixels count; None counts all.

        Raises:
            CalibrationError: Domain and image differ in shape, or a value is not finite.
        """
        if domain is not None and domain.shape != anomaly_image.shape:
            raise CalibrationError(
                f"the domain is {domain.shape}, but the anomaly image is {anomaly_image.shape}; resize the domain to "
                "the model's size"
            )
        values = (anomaly_image if domain is None else anomaly_image[domain]).astype(np.float64)
        if not np.isfinite(values).all():
            raise CalibrationError("an anomaly image has values that are not finite; check the image and the model")
        self.n_images += 1
        if not values.size:
            return
        mean = float(values.mean())
        squares = float(np.square(values - mean).sum())
        n = self.n_pixels + values.size
        shift = mean - self._mean
        self._squares += squares + shift * shift * self.n_pixels * values.size / n
        self._mean += shift * values.size / n
        self.n_pixels = n

    def scaled(self, factor: float) -> PixelStatistics:
        """Return the statistics of all values times a factor."""
        found = PixelStatistics()
        found.n_images, found.n_pixels = self.n_images, self.n_pixels
        found._mean, found._squares = factor * self._mean, factor**2 * self._squares
        return found

    @property
    def mean(self) -> float:
        """Mean of all pixels; 0 before there is one."""
        return self._mean

    @property
    def deviation(self) -> float:
        """Standard deviation with n - 1; 0 before there are two pixels."""
        return math.sqrt(self._squares / (self.n_pixels - 1)) if self.n_pixels >= _MEAN_AND_DEVIATION else 0.0


_MEAN_AND_DEVIATION = 2


@dataclass(slots=True)
class CalibrationScores:
    """What thresholds are estimated from: raw scores of images that the model was not fitted on.

    They are distances, before any scale brings them to [0, 1): thresholds are the same whatever scale the model has by then.

    Attributes:
        ok: Of each ok image, finite and not negative (`ScoreScale.to_distance` of its anomaly_score).
        groups: Number of the group of each ok image, as many as of these; none where each was drawn by itself.
        nok: As `ok`, of nok images.
        spots: Of each ok image, the highest distance that a connected spot of the least area reaches (`highest_spot`), in the order of
            `ok`; none where nobody looked at the maps.
        pixels: Statistics of the maps, in distances too, where the segmentation threshold comes from them.
        n_test: How many of the scores are of test images.
        fold_factor: What scores of models of the other folds were multiplied by, so that they are those of a model of all images.
        folds: Number of folds where ok scores are of models of the other folds; 0 where the model that ships gave all.
    """

    ok: list[float] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    nok: list[float] = field(default_factory=list)
    spots: list[float] = field(default_factory=list)
    pixels: PixelStatistics = field(default_factory=PixelStatistics)
    n_test: int = 0
    folds: int = 0
    fold_factor: float = 1.0
