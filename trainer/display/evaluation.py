"""dev_display_anomaly_detection_evaluation: what an evaluation found, and the error of a training, as pictures.

Colours are those of the report, on white: these files go into mails and slides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trainer.display.plots import (
    draw_histogram,
    draw_legend,
    draw_matrix,
    draw_pies,
    draw_training,
    finite,
    least_epoch,
    render_plot,
)
from trainer.errors import SettingsError
from trainer.evaluation.confusion import Matrix, check_matrix, precision_shares, recall_shares
from trainer.parameters import StageParameters

DisplayMode = Literal[
    "score_histogram",
    "score_legend",
    "absolute_confusion_matrix",
    "relative_confusion_matrix",
    "pie_charts_precision",
    "pie_charts_recall",
]
DISPLAY_MODES: tuple[DisplayMode, ...] = (
    "score_histogram",
    "score_legend",
    "absolute_confusion_matrix",
    "relative_confusion_matrix",
    "pie_charts_precision",
    "pie_charts_recall",
)

_MOST_ESTIMATED = 3
_AUTO = -1.0


class EvaluationDisplayParam(StageParameters):
    """What is drawn of an evaluation, with HALCON's names.

    Attributes:
        display_mode: The pictures; "all" draws every one.
        classification_threshold_index: Which threshold the matrices and pies belong to.
        histogram_min: Left end of the score axis.
        histogram_max: Its right end; -1 chooses it from the scores.
    """

    refusal: ClassVar[type[SettingsError]] = SettingsError

    display_mode: tuple[DisplayMode | Literal["all"], ...] = ("score_histogram", "score_legend")
    classification_threshold_index: int = Field(default=0, ge=0)
    histogram_min: float = 0.0
    histogram_max: float = -1.0

    def check_consistency(self) -> None:
        """Refuse a range that ends before it begins."""
        if self.histogram_max != _AUTO and self.histogram_max <= self.histogram_min:
            raise SettingsError(
                f"histogram_max must exceed histogram_min ({self.histogram_min}) or be -1, got {self.histogram_max}"
            )


@dataclass(frozen=True, slots=True)
class EvaluationFigures:
    """The numbers of an evaluation.

    Attributes:
        ok_scores: anomaly_score of ok test images.
        nok_scores: The same of nok ones.
        thresholds: Classification thresholds that were judged.
        matrices: The confusion matrix at each of them.
        estimated_thresholds: At most three more, such as [max ok, min nok, intermediate].
    """

    ok_scores: Sequence[float]
    nok_scores: Sequence[float]
    thresholds: Sequence[float]
    matrices: Sequence[Matrix]
    estimated_thresholds: Sequence[float] = ()


def dev_display_anomaly_detection_evaluation(
    figures: EvaluationFigures, *, param: EvaluationDisplayParam | None = None
) -> dict[DisplayMode, NDArray[np.uint8]]:
    """Draw a picture for each display mode.

    Returns:
        (H, W, 3) RGB uint8 for each.

    Raises:
        SettingsError: There are no scores, more than three estimated thresholds, no matrix for a threshold, or no
            threshold of the index asked for.
    """
    param = EvaluationDisplayParam() if param is None else param
    _check(figures, param)
    modes = DISPLAY_MODES if "all" in param.display_mode else tuple(m for m in param.display_mode if m != "all")
    return {mode: _draw_mode(mode, figures, param) for mode in modes}


def training_error_curve(errors: Sequence[float], *, best_epoch: int | None = None) -> NDArray[np.uint8]:
    """Draw the error of each epoch with the best one marked.

    Args:
        errors: One an epoch; those that are not finite leave a gap.
        best_epoch: Counted from 1; the one with the least error where None.

    Returns:
        (H, W, 3) RGB uint8.

    Raises:
        SettingsError: There is no finite error, or `best_epoch` is none of the epochs.
    """
    best = least_epoch(errors, best_epoch)
    return render_plot(lambda axes: draw_training(axes, errors, best), "Training error", (8, 4.2))


def _check(figures: EvaluationFigures, param: EvaluationDisplayParam) -> None:
    if not finite(figures.ok_scores) and not finite(figures.nok_scores):
        raise SettingsError("there is no finite score to draw; evaluate on one test image or more")
    if len(figures.estimated_thresholds) > _MOST_ESTIMATED:
        raise SettingsError(f"at most 3 estimated thresholds can be shown, got {len(figures.estimated_thresholds)}")
    if len(figures.matrices) != len(figures.thresholds):
        raise SettingsError(
            f"each threshold has its confusion matrix, got {len(figures.thresholds)} thresholds and "
            f"{len(figures.matrices)} matrices; evaluate again with the measure absolute_confusion_matrix"
        )
    index, count = param.classification_threshold_index, len(figures.thresholds)
    if not set(param.display_mode) <= {"score_histogram", "score_legend"} and index >= count:
        raise SettingsError(f"classification_threshold_index is {index}, and {count} thresholds were judged")
    for matrix in figures.matrices:
        check_matrix(matrix)


def _draw_mode(mode: DisplayMode, figures: EvaluationFigures, param: EvaluationDisplayParam) -> NDArray[np.uint8]:
    ok, nok, marks = figures.ok_scores, figures.nok_scores, (figures.thresholds, figures.estimated_thresholds)
    if mode == "score_histogram":
        x_range = _score_range(figures, param)
        return render_plot(lambda axes: draw_histogram(axes, ok, nok, marks, x_range), "Anomaly scores", (8, 4.8))
    if mode == "score_legend":
        return render_plot(
            lambda axes: draw_legend(axes, ok, nok, marks), "Scores and thresholds", (5.6, 3.4), is_plain=True
        )
    index = param.classification_threshold_index
    matrix, threshold = figures.matrices[index], f"threshold {figures.thresholds[index]:.4g}"
    if mode in {"absolute_confusion_matrix", "relative_confusion_matrix"}:
        is_relative = mode == "relative_confusion_matrix"
        title = f"{'Shares of each class' if is_relative else 'Confusion matrix'}, {threshold}"
        return render_plot(
            lambda axes: draw_matrix(axes, matrix, is_relative=is_relative), title, (5.6, 4.6), is_plain=True
        )
    is_precision = mode == "pie_charts_precision"
    shares = precision_shares(matrix) if is_precision else recall_shares(matrix)
    title = f"{'Precision' if is_precision else 'Recall'}, {threshold}"
    return render_plot(lambda axes: draw_pies(axes, shares), title, (6.4, 3.8), is_plain=True)


def _score_range(figures: EvaluationFigures, param: EvaluationDisplayParam) -> tuple[float, float]:
    low, high = param.histogram_min, param.histogram_max
    if high == _AUTO:
        every = finite([*figures.ok_scores, *figures.nok_scores, *figures.thresholds, *figures.estimated_thresholds])
        high = 1.05 * max(every)
    return low, high if high > low else low + 1.0
