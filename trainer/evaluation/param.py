"""What an evaluation measures: HALCON's GenParamEval, checked before an image is scored."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

from pydantic import field_validator

from trainer.errors import EvaluationError
from trainer.parameters import StageParameters

ThresholdMeasure = Literal["absolute_confusion_matrix", "relative_confusion_matrix", "precision", "recall"]
"""HALCON's measures of verdicts: each of `anomaly_classification_thresholds` gives one."""
PixelMeasure = Literal["pixel_auroc", "pixel_ap", "aupro"]
ScoreMeasure = Literal["anomaly_score_histogram", "image_auroc", "image_ap", "image_f1_max", "recall_at_false_rejects"]
EvalMeasure = Literal[ScoreMeasure, PixelMeasure, ThresholdMeasure]

THRESHOLD_MEASURES: tuple[ThresholdMeasure, ...] = get_args(ThresholdMeasure)
PIXEL_MEASURES: tuple[PixelMeasure, ...] = get_args(PixelMeasure)
WITHOUT_THRESHOLD: tuple[EvalMeasure, ...] = (*get_args(ScoreMeasure), *PIXEL_MEASURES)
ALL_MEASURES: tuple[EvalMeasure, ...] = (*WITHOUT_THRESHOLD, *THRESHOLD_MEASURES)


class GenParamEval(StageParameters):
    """What `evaluate_dl_model` measures. HALCON's keys, and its measures with those that the field expects.

    Attributes:
        measures: Names, one name, or "all". As in HALCON, `anomaly_score_histogram` is always taken; by default so is
            everything else that needs no threshold.
        anomaly_classification_thresholds: Thresholds to judge by besides the model's own; a score that reaches one is nok.
        show_progress: Whether to draw a progress bar on standard error, where the caller draws none itself.
        class_ids: Anomaly detection has these two classes.
        num_classes: Their number.
        evaluation_type: The only one there is.
    """

    refusal: ClassVar[type[EvaluationError]] = EvaluationError

    measures: tuple[EvalMeasure, ...] | Literal["all"] = WITHOUT_THRESHOLD
    anomaly_classification_thresholds: tuple[float, ...] = ()
    show_progress: bool = False
    class_ids: tuple[Literal[0], Literal[1]] = (0, 1)
    num_classes: Literal[2] = 2
    evaluation_type: Literal["anomaly_detection"] = "anomaly_detection"

    @property
    def wanted(self) -> frozenset[EvalMeasure]:
        """The measures to take."""
        return frozenset(ALL_MEASURES if self.measures == "all" else ("anomaly_score_histogram", *self.measures))

    @field_validator("measures", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:  # noqa: ANN401 - whatever a caller gives
        names = (value,) if isinstance(value, str) and value != "all" else value
        if isinstance(names, tuple | list):
            strangers = [name for name in names if name not in ALL_MEASURES]
            if strangers:
                known = ", ".join(ALL_MEASURES)
                raise ValueError(f'unknown measure {strangers[0]!r}; choose from {known}, or give "all" alone')
        return names

    @field_validator("anomaly_classification_thresholds", mode="before")
    @classmethod
    def _tuple_of_one(cls, value: Any) -> Any:  # noqa: ANN401 - whatever a caller gives
        """HALCON makes no difference between a value and a tuple of it."""
        return (value,) if isinstance(value, int | float) else value

    def check_consistency(self) -> None:
        """Refuse measures that need a threshold where none is given."""
        needing = [name for name in THRESHOLD_MEASURES if name in self.wanted]
        if needing and not self.anomaly_classification_thresholds:
            raise EvaluationError(
                f"{', '.join(needing)} {'needs' if len(needing) == 1 else 'need'} a threshold; "
                "give anomaly_classification_thresholds, such as (model.thresholds.classification,)"
            )
