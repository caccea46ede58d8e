"""Measure a model on labelled test images: image AUROC, pixel AUROC, and what its verdicts would have cost.

Nothing here chooses a threshold: the shipped one is judged. HALCON's own procedures know neither AUROC nor pixel
measures; these are additions, defined as the literature does (ties count half).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.layout import ImageLabel

_BIN_SHIFT = 10
"""Bits of a float32 that a bin spans: neighbouring bins differ by 2 ** -13 relative."""
_NUM_BINS = (int(np.float32(np.inf).view(np.uint32)) >> _BIN_SHIFT) + 1
_INTERVAL_PRECISION = 1e-12


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` of `total`, with the 95 % Clopper-Pearson interval of the rate."""

    count: int
    total: int
    low: float
    high: float

    @property
    def rate(self) -> float | None:
        """Observed share, None of nothing."""
        return self.count / self.total if self.total else None


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """What `evaluate_dl_model` found; None where the test set cannot say."""

    image_auroc: float | None
    pixel_auroc: float | None
    pixel_auroc_error: float | None
    """Largest error of `pixel_auroc` that the binning can have made on these very pixels."""
    aupro: float | None
    classification_threshold: float
    false_rejects: Rate
    """ok images that are called nok."""
    missed: Rate
    """nok images that are called ok."""
    recall: float | None
    precision: float | None
    n_pixel_images: int
    """Images that took part in `pixel_auroc`: all ok ones and the nok ones with a mask."""

    @property
    def absolute_confusion_matrix(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Rows are predicted, columns are true: ((ok as ok, nok as ok), (ok as nok, nok as nok)), as HALCON has it."""
        ok, nok = self.false_rejects, self.missed
        return (ok.total - ok.count, nok.count), (ok.count, nok.total - nok.count)


def evaluate_dl_model(
    scores: Sequence[float],
    labels: Sequence[ImageLabel],
    classification_threshold: float,
    pixels: PixelAuroc | None = None,
) -> EvaluationResult:
    """Judge the verdicts at a threshold.

    Args:
        scores: anomaly_score of each test image; a non-finite one is nok and ranks above all others.
        labels: image_label of each test image.
        classification_threshold: The threshold that ships; a score that reaches it is nok.
        pixels: Filled with the anomaly images, where there are masks.
    """
    values = np.asarray(scores, dtype=np.float64)
    values = np.where(np.isfinite(values), values, np.inf)
    is_nok = np.asarray([label == "nok" for label in labels], dtype=np.bool_)
    rejected = values >= classification_threshold
    n_nok, hits = int(is_nok.sum()), int((rejected & is_nok).sum())
    return EvaluationResult(
        image_auroc=auroc(values[~is_nok], values[is_nok]),
        pixel_auroc=pixels.value if pixels else None,
        pixel_auroc_error=pixels.error_bound if pixels else None,
        aupro=None,
        classification_threshold=classification_threshold,
        false_rejects=binomial_rate(int((rejected & ~is_nok).sum()), int((~is_nok).sum())),
        missed=binomial_rate(n_nok - hits, n_nok),
        recall=hits / n_nok if n_nok else None,
        precision=hits / int(rejected.sum()) if rejected.any() else None,
        n_pixel_images=pixels.n_images if pixels else 0,
    )


def auroc(negatives: NDArray[np.float64], positives: NDArray[np.float64]) -> float | None:
    """Probability that a positive scores above a negative, ties counted half; None where either is empty."""
    if not len(negatives) or not len(positives):
        return None
    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, positives, side="left")
    not_above = np.searchsorted(ordered, positives, side="right")
    return float((below + not_above).sum(dtype=np.float64) / (2 * len(negatives) * len(positives)))


def binomial_rate(count: int, total: int, *, confidence: float = 0.95) -> Rate:
    """The exact two-sided interval of a rate (Clopper & Pearson 1934); [0, 1] of nothing."""
    tail = (1 - confidence) / 2
    # P(at least `count`) rises with the rate, P(at most `count`) falls: each limit is where its tail is met.
    low = _bisect(lambda rate: _binomial_cdf(count - 1, total, rate) < 1 - tail) if count else 0.0
    high = _bisect(lambda rate: _binomial_cdf(count, total, rate) < tail) if count < total else 1.0
    return Rate(count, total, low, high)


def _binomial_cdf(count: int, total: int, rate: float) -> float:
    """P(at most `count` of `total`), for a rate strictly between 0 and 1."""
    log_terms = [
        math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1)
        + k * math.log(rate) + (total - k) * math.log1p(-rate)
        for k in range(count + 1)
    ]  # fmt: skip
    return math.fsum(map(math.exp, log_terms))


def _bisect(is_above: Callable[[float], bool]) -> float:
    """The rate in (0, 1) from which on `is_above` holds."""
    low, high = 0.0, 1.0
    while (middle := (low + high) / 2) not in (low, high) and high - low > _INTERVAL_PRECISION:
        low, high = (low, middle) if is_above(middle) else (middle, high)
    return high


class PixelAuroc:
    """Pixel AUROC in bounded memory (33 MB), fed one anomaly image at a time.

    A value v is counted by its odds v / (1 - v), in bins of the float32 number line: resolution is relative at both
    ends of [0, 1), where scores crowd. Pixels of one bin count as ties: the true value differs by at most
    `error_bound`.
    """

    def __init__(self) -> None:
        self._normal = np.zeros(_NUM_BINS, dtype=np.int64)
        self._anomalous = np.zeros(_NUM_BINS, dtype=np.int64)
        self.n_images = 0

    def add(self, anomaly_image: NDArray[np.float32], mask: NDArray[np.bool_]) -> None:
        """Count an image.

        Args:
            anomaly_image: (H, W) float32 in [0, 1]; non-finite values count as 1.
            mask: (H, W), True where anomalous.

        Raises:
            ValueError: The shapes differ.
        """
        if anomaly_image.shape != mask.shape:
            raise ValueError(f"anomaly image {anomaly_image.shape} and mask {mask.shape} differ in shape")
        values = np.where(np.isfinite(anomaly_image), anomaly_image, np.float32(1.0)).clip(0.0, 1.0)
        with np.errstate(divide="ignore"):
            odds = (values / (1.0 - values)).astype(np.float32)
        # Bit patterns of non-negative floats are ordered as their values; + 0.0 turns -0.0 into 0.0.
        bins = (odds + np.float32(0.0)).view(np.uint32) >> _BIN_SHIFT
        self._anomalous += np.bincount(bins[mask], minlength=_NUM_BINS)
        self._normal += np.bincount(bins[~mask], minlength=_NUM_BINS)
        self.n_images += 1

    @property
    def value(self) -> float | None:
        """The AUROC; None until there were normal and anomalous pixels."""
        pairs = float(self._normal.sum()) * float(self._anomalous.sum())
        if not pairs:
            return None
        below = np.cumsum(self._normal, dtype=np.float64) - self._normal / 2
        return float((self._anomalous * below).sum() / pairs)

    @property
    def error_bound(self) -> float | None:
        """Half the share of pairs whose order the bins cannot tell."""
        pairs = float(self._normal.sum()) * float(self._anomalous.sum())
        if not pairs:
            return None
        return float((self._normal.astype(np.float64) * self._anomalous).sum() / pairs / 2)
