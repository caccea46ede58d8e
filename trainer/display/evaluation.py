"""dev_display_anomaly_detection_evaluation: what an evaluation found, and the error of a training, as pictures.

Colours are those of the report, on white: these files go into mails and slides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from trainer.charts.canvas import finite, render_pixels
from trainer.charts.epochs import draw_training, least_epoch
from trainer.charts.scores import JudgedScores, draw_histogram, draw_score_table
from trainer.charts.shares import draw_matrix, draw_pies
from trainer.errors import SettingsError
from trainer.evaluation.confusion import ConfusionMatrix, precision_shares, recall_shares
from trainer.evaluation.result import EvaluationResult
from trainer.parameters import StageParameters

ScoreMode = Literal["score_histogram", "score_legend"]
VerdictMode = Literal[
    "absolute_confusion_matrix", "relative_confusion_matrix", "pie_charts_precision", "pie_charts_recall"
]
DisplayMode = ScoreMode | VerdictMode
SCORE_MODES: tuple[ScoreMode, ...] = get_args(ScoreMode)
DISPLAY_MODES: tuple[DisplayMode, ...] = (*SCORE_MODES, *get_args(VerdictMode))

_MOST_ESTIMATED = 3
_AUTO = -1.0
_HISTOGRAM, _TABLE, _MATRIX, _PIES, _TRAINING = (800, 500), (560, 340), (560, 460), (640, 370), (800, 420)


class EvaluationDisplayParam(StageParameters):
    """What is drawn of an evaluation; the names are HALCON's.

    Attributes:
        display_mode: The pictures, or one; "all" draws every one.
        classification_threshold_index: Which of the thresholds judged the matrices and pies belong to.
        histogram_min: Left end of the score axis.
        histogram_max: Its right end; -1 chooses it from the scores.
        estimated_thresholds: At most three more to show, such as [max ok, min nok, intermediate].
    """

    refusal: ClassVar[type[SettingsError]] = SettingsError

    display_mode: tuple[DisplayMode | Literal["all"], ...] | DisplayMode | Literal["all"] = SCORE_MODES
    classification_threshold_index: int = Field(default=0, ge=0)
    histogram_min: float = 0.0
    histogram_max: float = _AUTO
    estimated_thresholds: tuple[float, ...] = ()

    @property
    def modes(self) -> tuple[DisplayMode, ...]:
        """The pictures to draw."""
        asked = (self.display_mode,) if isinstance(self.display_mode, str) else self.display_mode
        return DISPLAY_MODES if "all" in asked else tuple(mode for mode in asked if mode != "all")

    @field_validator("estimated_thresholds", mode="before")
    @classmethod
    def _tuple_of_one(cls, value: Any) -> Any:  # noqa: ANN401 - whatever a caller gives
        """HALCON makes no difference between a value and a tuple of it."""
        return (value,) if isinstance(value, int | float) else value

    def check_consistency(self) -> None:
        """Refuse a range that ends before it begins, and more thresholds than can be told apart."""
        if self.histogram_max != _AUTO and self.histogram_max <= self.histogram_min:
            raise SettingsError(
                f"histogram_max must exceed histogram_min ({self.histogram_min}) or be -1, got {self.histogram_max}"
            )
        if len(self.estimated_thresholds) > _MOST_ESTIMATED:
            raise SettingsError(f"at most 3 estimated thresholds can be shown, got {len(self.estimated_thresholds)}")


def dev_display_anomaly_detection_evaluation(
    evaluation_result: EvaluationResult, *, param: EvaluationDisplayParam | None = None
) -> dict[DisplayMode, NDArray[np.uint8]]:
    """Draw a picture for each display mode.

    Args:
        evaluation_result: As `evaluate_dl_model` returns it. Matrices and pies are of the thresholds that it was asked to
            judge by, of the model's own where it was asked none.
        param: The defaults where None.

    Returns:
        (H, W, 3) RGB uint8 for each.

    Raises:
        SettingsError: There is no finite score, or no threshold of the index asked for.
    """
    param = EvaluationDisplayParam() if param is None else param
    judged, index = evaluation_result.judged, param.classification_threshold_index
    scores = JudgedScores(
        ok=evaluation_result.scores_of("ok"),
        nok=evaluation_result.scores_of("nok"),
        curves=evaluation_result.anomaly_score_histogram,
        thresholds=[matrix.threshold for matrix in judged],
        estimated=param.estimated_thresholds,
    )
    if not finite([*scores.ok, *scores.nok]):
        raise SettingsError("there is no finite score to draw; evaluate on one test image or more")
    if index >= len(judged) and not set(param.modes) <= set(SCORE_MODES):
        raise SettingsError(
            f"classification_threshold_index is {index}, but {len(judged)} thresholds were evaluated; they are "
            "numbered from 0"
        )
    pictures: dict[DisplayMode, NDArray[np.uint8]] = {}
    for mode in param.modes:
        if mode == "score_histogram" or mode == "score_legend":  # noqa: PLR1714 - narrows the type
            pictures[mode] = _draw_scores(mode, scores, param)
        else:
            pictures[mode] = _draw_verdicts(mode, judged[index])
    return pictures


def training_error_curve(errors: Sequence[float], *, best_epoch: int | None = None) -> NDArray[np.uint8]:
    """Draw the error of each epoch with the best one marked.

    Args:
        errors: One an epoch; those that are not finite leave a gap.
        best_epoch: Counted from 1; the one with the least error where None.

    Returns:
        (H, W, 3) RGB uint8.

    Raises:
        SettingsError: There is no finite error, or `best_epoch` is not one of the epochs.
    """
    best = least_epoch(errors, best_epoch)
    return render_pixels(lambda axes: draw_training(axes, errors, best), "Training error", _TRAINING)


def _draw_scores(mode: ScoreMode, scores: JudgedScores, param: EvaluationDisplayParam) -> NDArray[np.uint8]:
    if mode == "score_legend":
        return render_pixels(lambda axes: draw_score_table(axes, scores), "Scores and thresholds", _TABLE)
    x_range = _score_range(scores, param)
    return render_pixels(lambda axes: draw_histogram(axes, scores, x_range), "Anomaly scores", _HISTOGRAM)


def _draw_verdicts(mode: VerdictMode, matrix: ConfusionMatrix) -> NDArray[np.uint8]:
    counts, threshold = matrix.absolute, f"threshold {matrix.threshold:.4g}"
    if mode == "absolute_confusion_matrix" or mode == "relative_confusion_matrix":  # noqa: PLR1714 - narrows the type
        is_relative = mode == "relative_confusion_matrix"
        title = f"{'Shares of each class' if is_relative else 'Confusion matrix'}, {threshold}"
        return render_pixels(lambda axes: draw_matrix(axes, counts, is_relative=is_relative), title, _MATRIX)
    is_precision = mode == "pie_charts_precision"
    shares = precision_shares(counts) if is_precision else recall_shares(counts)
    title = f"{'Precision' if is_precision else 'Recall'}, {threshold}"
    return render_pixels(lambda axes: draw_pies(axes, shares), title, _PIES)


def _score_range(scores: JudgedScores, param: EvaluationDisplayParam) -> tuple[float, float]:
    low, high = param.histogram_min, param.histogram_max
    if high == _AUTO:
        high = 1.05 * max(finite([*scores.ok, *scores.nok, *scores.thresholds, *scores.estimated]))
    return low, high if high > low else low + 1.0
