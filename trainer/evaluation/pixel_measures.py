"""Pixel AUROC, pixel average precision and AUPRO, image by image, in memory that does not grow with the images."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.errors import EvaluationError

FPR_LIMIT = 0.3
"""AUPRO integrates up to this false-positive rate, as MVTec AD's authors do."""

_BIN_SHIFT = 10
"""Bits of a float32 that a bin spans: neighbouring bins differ by 2 ** -13 relative."""
_NUM_BINS = (int(np.float32(np.inf).view(np.uint32)) >> _BIN_SHIFT) + 1
FEW_PIXELS = _NUM_BINS // 2
"""Fewer pixels are counted one by one: a pass over all bins takes longer."""
_CONNECTIVITY = 8
_MAP_DIMENSIONS = 2

Floats = NDArray[np.float64]


class PixelMeasures:
    """Pixels counted by their value, 50 MB in all, whatever the number of images.

    A value v is counted by its odds v / (1 - v), in bins of the float32 number line: resolution is relative at both
    ends of [0, 1), where scores crowd. Pixels of one bin count as ties, and each figure has a bound of the error that
    this can have made on these very pixels.

    The curve of AUPRO needs no region by itself: at a threshold, the mean overlap of the regions is the sum over their
    pixels that reach it of 1 / area, divided by the number of regions. So a third histogram, of 1 / area, is enough.

    Attributes:
        n_images: Images counted.
        n_regions: Regions with pixels inside the domain: 8-connected components of the masks.
    """

    def __init__(self) -> None:
        self._normal = np.zeros(_NUM_BINS, dtype=np.int64)
        self._anomalous = np.zeros(_NUM_BINS, dtype=np.int64)
        self._overlap = np.zeros(_NUM_BINS, dtype=np.float64)
        self._has_normal = False
        self.n_images = 0
        self.n_regions = 0

    def add(
        self, anomaly_image: NDArray[np.float32], mask: NDArray[np.bool_], valid: NDArray[np.bool_] | None = None
    ) -> None:
        """Count an image.

        Args:
            anomaly_image: (H, W) float32 in [0, 1], in the size of the original image; values beyond count as 0 or 1,
                those that are not finite as 1.
            mask: (H, W) bool, True where anomalous.
            valid: (H, W) bool, True inside the domain; None for the whole image. Pixels outside do not count, for
                the area of a region neither; a region that the domain cuts into pieces is still one.

        Raises:
            EvaluationError: Shapes differ, or `mask` or `valid` is not bool.
        """
        _check(anomaly_image, "mask", mask)
        bins = _bins(anomaly_image)
        normal = ~mask
        if valid is not None:
            _check(anomaly_image, "valid", valid)
            normal &= valid
        self._has_normal |= bool(normal.any())
        _count(self._normal, bins[normal])
        self.n_images += 1
        if mask.any():
            self._add_regions(bins, mask, mask if valid is None else mask & valid)

    def _add_regions(self, bins: NDArray[np.uint32], mask: NDArray[np.bool_], marked: NDArray[np.bool_]) -> None:
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=_CONNECTIVITY)
        regions, places = labels[marked], bins[marked]
        areas = np.bincount(regions, minlength=count)
        _count(self._anomalous, places)
        np.add.at(self._overlap, places, 1.0 / areas[regions])
        self.n_regions += int(np.count_nonzero(areas))

    @property
    def has_both(self) -> bool:
        """Whether normal and anomalous pixels were counted; without, every figure is None."""
        return self._has_normal and self.n_regions > 0

    def _steps(self) -> tuple[Floats, Floats, Floats]:
        """Normal pixels, anomalous pixels and overlap of each bin that is not empty, from the highest score down."""
        used = np.flatnonzero((self._normal + self._anomalous) != 0)[::-1]
        normal, anomalous = (counts[used].astype(np.float64) for counts in (self._normal, self._anomalous))
        return normal, anomalous, self._overlap[used]

    def auroc(self) -> tuple[float, float] | None:
        """Probability that an anomalous pixel scores above a normal one, and its bound of error."""
        if not self.has_both:
            return None
        normal, anomalous, _ = self._steps()
        pairs = normal.sum() * anomalous.sum()
        below = normal.sum() - normal.cumsum() + normal / 2
        return float((anomalous * below).sum() / pairs), float((normal * anomalous).sum() / pairs / 2)

    def average_precision(self) -> tuple[float, float] | None:
        """Average precision of anomalous pixels (as scikit-learn's), and its bound of error.

        Within a bin the precision is lowest where all normal pixels come first and the anomalous ones singly, and highest
        where the anomalous ones come first and together.
        """
        if not self.has_both:
            return None
        normal, anomalous, _ = self._steps()
        found, alarms = anomalous.cumsum(), normal.cumsum()
        tied = anomalous * found / np.maximum(found + alarms, 1)
        highest = anomalous * found / np.maximum(found + alarms - normal, 1)
        # The sum of (T + i) / (T + i + F) over i = 1..t is t - F * (a sum of reciprocals, at most a logarithm).
        ratio = (found + alarms) / np.maximum(found - anomalous + alarms, 1)
        lowest = anomalous - alarms * np.log(ratio)
        error = max(float((highest - tied).sum()), float((tied - lowest).sum()))
        return float(tied.sum() / found[-1]), error / float(found[-1])

    def aupro(self, limit: float = FPR_LIMIT) -> tuple[float, float] | None:
        """Area under the per-region overlap curve up to a false-positive rate, divided by it, and its bound of error.

        Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021: the overlap of a region is the share of its
        pixels that reach the threshold, averaged over the regions of all images; the false-positive rate is over the
        normal pixels of all images, ok ones too; the curve is linear between thresholds and cut at the limit.

        Raises:
            EvaluationError: `limit` is not in (0, 1].
        """
        if not 0 < limit <= 1:
            raise EvaluationError(f"the limit of the false-positive rate is {limit}; give one above 0, up to 1")
        if not self.has_both:
            return None
        normal, _, overlap = self._steps()
        total = normal.sum()
        rise = overlap / self.n_regions
        reached = rise.cumsum() - rise
        width = normal / total
        start = (normal.cumsum() - normal) / total
        inside = np.clip(limit - start, 0.0, width)
        # How far the curve got within its step; a step without normal pixels has no area below it.
        share = np.divide(inside, width, out=np.zeros_like(width), where=width > 0)
        area = (inside * (reached + rise * share / 2)).sum() / limit
        # Between its ends the true curve rises anywhere in the rectangle of the step.
        error = (inside * rise * (1 - share / 2)).sum() / limit
        return min(float(area), 1.0), float(error)


def _count(pixels: NDArray[np.int64], bins: NDArray[np.uint32]) -> None:
    """Add pixels to the counts of their bins."""
    if len(bins) < FEW_PIXELS:
        np.add.at(pixels, bins, 1)
    else:
        pixels += np.bincount(bins, minlength=_NUM_BINS)


def _check(anomaly_image: NDArray[np.float32], name: str, mask: NDArray[np.bool_]) -> None:
    if anomaly_image.ndim != _MAP_DIMENSIONS or anomaly_image.shape != mask.shape:
        raise EvaluationError(
            f"anomaly image {anomaly_image.shape} and {name} {mask.shape} differ in shape, or are not matrices; "
            "resize both to the size of the original image"
        )
    if mask.dtype != np.bool_:
        raise EvaluationError(f"{name} is {mask.dtype}; give bool, such as {name} > 0")


def _bins(anomaly_image: NDArray[np.float32]) -> NDArray[np.uint32]:
    """The bin of each pixel, (H, W), rising with its value."""
    values = np.where(np.isfinite(anomaly_image), anomaly_image, np.float32(1.0)).clip(0.0, 1.0)
    with np.errstate(divide="ignore"):
        odds = (values / (1.0 - values)).astype(np.float32)
    # Bit patterns of non-negative floats are ordered as their values; + 0.0 turns -0.0 into 0.0.
    return (odds + np.float32(0.0)).view(np.uint32) >> np.uint32(_BIN_SHIFT)
