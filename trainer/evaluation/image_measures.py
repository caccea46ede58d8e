"""How well scores separate nok from ok images: AUROC, average precision, best F1, recall at a rate of false rejects.

None of them needs a threshold, and none chooses the shipped one: they are figures for comparing models. HALCON's own
procedures have none of them; they are defined as in scikit-learn (ties are one step, a score equal to the threshold is nok).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.choices import AnomalyClass
from trainer.errors import EvaluationError
from trainer.rates import Rate, binomial_rate

FALSE_REJECT_RATES = (0.01, 0.05)
"""Rates of false rejects that recall is stated at."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class ImageScores:
    """Scores of the images of each class, ascending float64; what is not finite became infinity: nok, above all others."""

    ok: NDArray[np.float64]
    nok: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BestF1:
    """The largest F1 score, and the lowest score that reaches it as a threshold (infinity where only those do)."""

    value: float
    threshold: float


@dataclass(frozen=True, slots=True)
class RecallAtRate:
    """Share of nok images found if at most `max_rate` of these ok images are rejected.

    Attributes:
        max_rate: The requested rate of false rejects.
        threshold: The lowest threshold that keeps it.
        recall: nok images that reach the threshold.
        false_rejects: ok images that reach it: with few images, or ties, fewer than were allowed.
        n_ok: ok images there are; with fewer than 1 / max_rate none may be rejected.
    """

    max_rate: float
    threshold: float
    recall: Rate
    false_rejects: int
    n_ok: int


def image_scores(scores: Sequence[float], labels: Sequence[AnomalyClass]) -> ImageScores:
    """Separate scores by label.

    Args:
        scores: anomaly_score of each image.
        labels: image_label of each image.

    Raises:
        EvaluationError: There are not as many labels as scores, or a label is neither ok nor nok.
    """
    if len(scores) != len(labels):
        raise EvaluationError(f"got {len(scores)} scores and {len(labels)} labels; give one label for each score")
    strangers = {label for label in labels if label not in ("ok", "nok")}
    if strangers:
        raise EvaluationError(f"label {min(map(repr, strangers))} is neither 'ok' nor 'nok'; give one of the two")
    by_label: dict[str, list[float]] = {"ok": [], "nok": []}
    for score, label in zip(scores, labels, strict=True):
        by_label[label].append(score)
    return class_scores(by_label["ok"], by_label["nok"])


def class_scores(ok: Sequence[float], nok: Sequence[float]) -> ImageScores:
    """Scores that are parted already, anomaly_score of ok images and of nok ones."""
    return ImageScores(_ranked(ok), _ranked(nok))


def _ranked(scores: Sequence[float]) -> NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    return np.sort(np.where(np.isfinite(values), values, np.inf))


def auroc(negatives: NDArray[np.float64], positives: NDArray[np.float64]) -> float | None:
    """Probability that a positive scores above a negative, ties counted half; None where either is empty."""
    if not len(negatives) or not len(positives):
        return None
    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, positives, side="left")
    not_above = np.searchsorted(ordered, positives, side="right")
    return float((below + not_above).sum(dtype=np.float64) / (2 * len(negatives) * len(positives)))


def average_precision(scores: ImageScores) -> float | None:
    """Sum over thresholds of the precision there times the recall gained; None where a class is empty.

    nok is the positive class; nothing is interpolated (scikit-learn's `average_precision_score`).
    """
    if not len(scores.ok) or not len(scores.nok):
        return None
    _, rejected, found = _counts(scores)
    gained = np.diff(found[::-1], prepend=0) / len(scores.nok)
    return float((gained * (found / (found + rejected))[::-1]).sum())


def f1_max(scores: ImageScores) -> BestF1 | None:
    """The best F1 score of nok over all thresholds; None where a class is empty.

    A threshold chosen by the labels of the test set is of no use for a line: the figure is for comparison only.
    """
    if not len(scores.ok) or not len(scores.nok):
        return None
    thresholds, rejected, found = _counts(scores)
    f1 = 2 * found / (found + rejected + len(scores.nok))
    best = int(f1.argmax())
    return BestF1(float(f1[best]), float(thresholds[best]))


def _counts(scores: ImageScores) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Every score as a threshold, ascending, with the ok and the nok images that reach it."""
    thresholds = np.unique(np.concatenate((scores.ok, scores.nok)))
    rejected, found = (len(part) - np.searchsorted(part, thresholds, side="left") for part in (scores.ok, scores.nok))
    return thresholds, rejected.astype(np.int64), found.astype(np.int64)


def recall_at_false_rejects(scores: ImageScores, max_rate: float) -> RecallAtRate | None:
    """Recall where at most floor(max_rate * n) of the n ok images are rejected.

    The threshold lies just above the highest ok score that has to pass. Nothing is interpolated and ties stay together,
    so the rate asked for is never exceeded on these images; which one was used, the result says.

    Returns:
        None where a class is empty, or where more ok images than allowed have a score that is not finite: no threshold
        lets them pass.

    Raises:
        EvaluationError: `max_rate` is not in [0, 1).
    """
    if not 0 <= max_rate < 1:
        raise EvaluationError(f"the rate of false rejects is {max_rate}; give one from 0 up to, but not including, 1")
    n_ok = len(scores.ok)
    if not n_ok or not len(scores.nok):
        return None
    allowed = math.floor(max_rate * n_ok + _ROUNDING)  # 0.05 * 60 is a little less than 3
    limit = scores.ok[n_ok - 1 - allowed]
    if not np.isfinite(limit):
        return None
    found = int((scores.nok > limit).sum())
    return RecallAtRate(
        max_rate=max_rate,
        threshold=float(np.nextafter(limit, np.inf)),
        recall=binomial_rate(found, len(scores.nok)),
        false_rejects=int((scores.ok > limit).sum()),
        n_ok=n_ok,
    )
