"""Whatever parameter object refuses, it refuses as its stage does."""

from __future__ import annotations

from typing import Any

import pytest

from trainer.display.evaluation import EvaluationDisplayParam
from trainer.display.sample import DisplayParam
from trainer.display.tiles import TiledParam
from trainer.errors import CalibrationError, DatasetError, EvaluationError, SettingsError, SplitError, TrainerError
from trainer.evaluation.param import GenParamEval
from trainer.listing.folders import DatasetParam
from trainer.parameters import StageParameters
from trainer.prepare.split import SplitParam
from trainer.thresholds.estimate import ThresholdParam
from trainer.thresholds.ok_only import OkOnlyParam

REFUSALS: list[tuple[type[StageParameters], type[TrainerError], dict[str, Any], str]] = [
    (DatasetParam, DatasetError, {"image_list": 3}, "image_list: input should be a valid tuple, got 3"),
    (SplitParam, SplitError, {"folds": 0}, "folds: input should be greater than or equal to 2, got 0"),
    (OkOnlyParam, CalibrationError, {"confidence": 1.0}, "confidence: input should be less than 1, got 1.0"),
    (ThresholdParam, CalibrationError, {"method": "x"}, "method: input should be 'ok_only', 'halcon' or"),
    (GenParamEval, EvaluationError, {"measures": "x"}, "^measures: unknown measure 'x'; choose from"),
    (GenParamEval, EvaluationError, {"measures": "recall"}, "^recall needs a threshold; give anomaly_classification"),
    (DisplayParam, SettingsError, {"min_area": 0}, "min_area: input should be greater than or equal to 1, got 0"),
    (
        DisplayParam,
        SettingsError,
        {"anomaly_region_label_color": "red"},
        "a colour is #rrggbb or #rrggbbaa, got 'red'$",
    ),
    (TiledParam, SettingsError, {"columns": 0}, "columns: input should be greater than or equal to 1, got 0"),
    (
        EvaluationDisplayParam,
        SettingsError,
        {"histogram_max": -2.0},
        r"^histogram_max must exceed histogram_min \(0.0\)",
    ),
]


@pytest.mark.parametrize(("kind", "error", "values", "message"), REFUSALS)
def test_a_value_that_is_none_is_refused_by_the_stage(
    kind: type[StageParameters], error: type[TrainerError], values: dict[str, Any], message: str
) -> None:
    with pytest.raises(error, match=message):
        kind(**values)


@pytest.mark.parametrize(
    ("kind", "error"), dict.fromkeys((kind, error) for kind, error, _, _ in REFUSALS), ids=lambda one: one.__name__
)
def test_an_unknown_name_is_refused_with_those_that_are_known(
    kind: type[StageParameters], error: type[TrainerError]
) -> None:
    with pytest.raises(error, match=f"unknown parameter treshold; {kind.__name__} knows .*{[*kind.model_fields][-1]}"):
        kind.model_validate({"treshold": 0.5})
