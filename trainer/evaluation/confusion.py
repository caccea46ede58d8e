"""HALCON's measures of verdicts: the step curves of the scores, and confusion matrix, precision and recall at a threshold.

Special values are HALCON's too: -1 stands for a class without labels. To show a figure to people, use
`EvaluationResult`, which has None instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.choices import AnomalyClass
from trainer.errors import SettingsError
from trainer.evaluation.image_measures import ImageScores

UNLABELLED = -1.0
"""Precision and recall of a class that no image has."""

Points = Sequence[tuple[float, float]]

Counts = tuple[tuple[int, int], tuple[int, int]]
Shares = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class ScoreHistogram:
    """Step curves over the score, one point for each different score; empty for a class without images.

    Attributes:
        ok_x: Different scores of ok images, ascending; infinity stands for those that are not finite.
        ok_y: Share of ok images with a score of at least x, falling from 1; it holds up to x, from the point before.
        nok_x: Different scores of nok images, ascending.
        nok_y: Share of nok images with a score of at most x, rising to 1; it holds from x on, up to the next point.
    """

    ok_x: tuple[float, ...]
    ok_y: tuple[float, ...]
    nok_x: tuple[float, ...]
    nok_y: tuple[float, ...]


def anomaly_score_histogram(scores: ImageScores) -> ScoreHistogram:
    """Return the curves whose crossing shows the trade-off between rejected ok and missed nok images."""
    ok_x, nok_x = np.unique(scores.ok), np.unique(scores.nok)
    ok_y = 1 - np.searchsorted(scores.ok, ok_x, side="left") / max(len(scores.ok), 1)
    nok_y = np.searchsorted(scores.nok, nok_x, side="right") / max(len(scores.nok), 1)
    return ScoreHistogram(_floats(ok_x), _floats(ok_y), _floats(nok_x), _floats(nok_y))


def _floats(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(values.tolist())


@dataclass(frozen=True, slots=True)
class ConfusionMatrix:
    """Verdicts at a threshold, and HALCON's measures of them; classes in the order ok, nok.

    Attributes:
        threshold: A score that reaches it is nok.
        absolute: Images: rows are predicted, columns true: ((ok as ok, nok as ok), (ok as nok, nok as nok)).
    """

    threshold: float
    absolute: Counts

    @property
    def relative(self) -> Shares:
        """`absolute` with each column divided by its sum; the column of a class without images stays 0."""
        (ok, missed), (rejected, found) = self.absolute
        n_ok, n_nok = max(ok + rejected, 1), max(missed + found, 1)
        return (ok / n_ok, missed / n_nok), (rejected / n_ok, found / n_nok)

    @property
    def precision_per_class(self) -> tuple[float, float]:
        """Share of the images called so that are: -1 of a class without images, 0 of one that is never predicted."""
        (ok, missed), (rejected, found) = self.absolute
        return _share(ok, ok + missed, ok + rejected), _share(found, rejected + found, missed + found)

    @property
    def recall_per_class(self) -> tuple[float, float]:
        """Share of the images of a class that are called so; -1 of a class without images."""
        (ok, missed), (rejected, found) = self.absolute
        return _share(ok, ok + rejected, ok + rejected), _share(found, missed + found, missed + found)

    @property
    def mean_precision(self) -> float:
        """Mean of `precision_per_class` over the classes that have images; -1 without any."""
        return _mean(self.precision_per_class)

    @property
    def mean_recall(self) -> float:
        """Mean of `recall_per_class` over the classes that have images; -1 without any."""
        return _mean(self.recall_per_class)


def confusion_matrix(scores: ImageScores, threshold: float) -> ConfusionMatrix:
    """Count the verdicts at a threshold; a score that is not finite is nok, whatever the threshold."""
    ok, nok = (int(np.searchsorted(part, threshold, side="left")) for part in (scores.ok, scores.nok))
    return ConfusionMatrix(threshold, ((ok, nok), (len(scores.ok) - ok, len(scores.nok) - nok)))


def _share(count: int, of: int, labelled: int) -> float:
    if not labelled:
        return UNLABELLED
    return count / of if of else 0.0


def _mean(values: tuple[float, float]) -> float:
    known = [value for value in values if value != UNLABELLED]
    return sum(known) / len(known) if known else UNLABELLED


def curve_between(histogram: ScoreHistogram, kind: AnomalyClass, low: float, high: float) -> Points:
    """The curve from `low` to `high`, flat beyond its steps; empty for a class without images."""
    if not (histogram.ok_x if kind == "ok" else histogram.nok_x):
        return []
    start = 1.0 if kind == "ok" else 0.0
    points = step_curve(histogram, kind)
    return [(low, start), *points, (high, points[-1][1] if points else start)]


@dataclass(frozen=True, slots=True)
class Share:
    """`right` of `total`: of the images called so (precision), or of those that are so (recall)."""

    name: AnomalyClass
    right: int
    total: int

    @property
    def rate(self) -> float | None:
        """None if nothing was counted."""
        return self.right / self.total if self.total else None

    @property
    def label(self) -> str:
        """For people."""
        if self.rate is None:
            return "no image"
        percent = f"{100 * self.rate:.1f}".removesuffix(".0")
        return f"{percent}\u00a0% ({self.right} of {self.total})"


def precision_shares(matrix: Counts) -> tuple[Share, Share]:
    """How many of the images called ok, and called nok, are so.

    Raises:
        SettingsError: A count is negative.
    """
    (ok, missed), (rejected, nok) = check_matrix(matrix)
    return Share("ok", ok, ok + missed), Share("nok", nok, rejected + nok)


def recall_shares(matrix: Counts) -> tuple[Share, Share]:
    """How many of the ok images, and of the nok images, are called so.

    Raises:
        SettingsError: A count is negative.
    """
    (ok, missed), (rejected, nok) = check_matrix(matrix)
    return Share("ok", ok, ok + rejected), Share("nok", nok, missed + nok)


def check_matrix(matrix: Counts) -> Counts:
    """The matrix, if its counts are ones.

    Raises:
        SettingsError: A count is negative.
    """
    if min(count for row in matrix for count in row) < 0:
        raise SettingsError(f"a confusion matrix counts images, got {matrix}; give counts of 0 and more")
    return matrix


def step_curve(histogram: ScoreHistogram, kind: AnomalyClass) -> Points:
    """A curve of HALCON's anomaly_score_histogram, to be drawn.

    Returns:
        Corners of the steps, from the lowest score to the highest that is finite. The curve goes on beyond it at the last
        corner's height: not at 0 or 1 where other scores are not finite, as these are nok whatever the threshold.
    """
    if kind == "ok":
        corners = zip(histogram.ok_x, histogram.ok_y, (*histogram.ok_y, 0.0)[1:], strict=True)
    else:
        corners = zip(histogram.nok_x, (0.0, *histogram.nok_y)[:-1], histogram.nok_y, strict=True)
    return [point for x, y, then in corners if math.isfinite(x) for point in ((x, y), (x, then))]
