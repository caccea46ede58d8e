from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.anomaly.choices import AnomalyClass
from trainer.charts.palette import INK, NOK, OK, as_rgb
from trainer.display.evaluation import (
    DISPLAY_MODES,
    EvaluationDisplayParam,
    dev_display_anomaly_detection_evaluation,
    training_error_curve,
)
from trainer.display.files import show_evaluation, show_training
from trainer.errors import SettingsError
from trainer.evaluation.param import GenParamEval
from trainer.evaluation.result import EvaluationResult, evaluate_scores

OK_SCORES, NOK_SCORES = [0.1, 0.2, 0.3, 0.55], [0.45, 0.6, 0.8]


def result_of(
    ok: list[float] = OK_SCORES, nok: list[float] = NOK_SCORES, threshold: float = 0.5, *more: float
) -> EvaluationResult:
    labels: list[AnomalyClass] = [*["ok"] * len(ok), *["nok"] * len(nok)]  # type: ignore[list-item]
    param = GenParamEval(measures="all", anomaly_classification_thresholds=more) if more else None
    return evaluate_scores([*ok, *nok], labels, threshold, gen_param_eval=param)


def picture(result: EvaluationResult, mode: Any, **param: Any) -> NDArray[np.uint8]:
    shown = EvaluationDisplayParam(display_mode=mode, **param)
    (drawn,) = dev_display_anomaly_detection_evaluation(result, param=shown).values()
    return drawn


def pixels(drawn: NDArray[np.uint8], colour: str) -> int:
    return int((np.abs(drawn.astype(int) - as_rgb(colour)) <= 8).all(axis=2).sum())


def test_every_mode_is_a_file_that_can_be_read(tmp_path: Path) -> None:
    written = show_evaluation(tmp_path, result_of())
    assert [path.stem for path in written] == list(DISPLAY_MODES)
    for path in written:
        shown = cv2.imread(str(path))
        assert shown is not None
        assert min(shown.shape[:2]) > 400
        assert 0.02 < (shown < 250).any(axis=2).mean() < 0.9, "neither empty nor full"


def test_histogram_and_legend_are_the_default() -> None:
    assert set(dev_display_anomaly_detection_evaluation(result_of())) == {"score_histogram", "score_legend"}


def test_modes_are_named_alone_or_together() -> None:
    assert EvaluationDisplayParam(display_mode="score_legend").modes == ("score_legend",)
    assert EvaluationDisplayParam(display_mode=("pie_charts_recall", "score_legend")).modes == (
        "pie_charts_recall",
        "score_legend",
    )
    assert EvaluationDisplayParam(display_mode="all").modes == DISPLAY_MODES
    assert EvaluationDisplayParam(display_mode=("score_legend", "all")).modes == DISPLAY_MODES
    with pytest.raises(SettingsError, match="display_mode"):
        EvaluationDisplayParam(display_mode="pie")  # type: ignore[arg-type]


def test_a_faultless_matrix_has_nothing_in_orange() -> None:
    right = picture(result_of([0.1, 0.2], [0.6, 0.7]), "absolute_confusion_matrix")
    wrong = picture(result_of(), "absolute_confusion_matrix")
    assert pixels(right, NOK) == 0
    assert pixels(right, OK) > 100
    assert pixels(wrong, NOK) > 100


def test_the_slice_of_a_pie_is_as_large_as_its_share() -> None:
    def green(passed: int) -> int:
        return pixels(picture(result_of([0.1] * passed + [0.9] * (8 - passed)), "pie_charts_recall"), OK)

    assert green(4) / green(8) == pytest.approx(0.5, abs=0.04)
    assert green(2) / green(8) == pytest.approx(0.25, abs=0.04)


def test_matrices_and_pies_are_of_the_threshold_asked_for() -> None:
    """Those that the evaluation judged besides the model's own; the model's own where it judged no other."""
    result = result_of([0.1, 0.2], [0.6, 0.7], 0.5, 0.15, 0.65)
    first, second = (
        picture(result, "absolute_confusion_matrix", classification_threshold_index=index) for index in (0, 1)
    )
    assert (first != second).any()
    alone = picture(result_of([0.1, 0.2], [0.6, 0.7], 0.65), "absolute_confusion_matrix")
    np.testing.assert_array_equal(second, alone)


def test_every_threshold_is_in_the_histogram() -> None:
    """The lines of thresholds are the longest of their colour."""

    def lines(result: EvaluationResult, **param: Any) -> int:
        drawn = picture(result, "score_histogram", **param).astype(int)
        ink = (np.abs(drawn - as_rgb(INK)) <= 40).all(axis=2).sum(axis=0)
        return int((np.diff((ink > 0.5 * drawn.shape[0]).astype(int)) == 1).sum())

    assert lines(result_of()) == 1
    assert lines(result_of(OK_SCORES, NOK_SCORES, 0.5, 0.3, 0.5, 0.7)) == 3
    plain, more = (picture(result_of(), "score_histogram", estimated_thresholds=e) for e in ((), (0.55, 0.45, 0.52)))
    assert (plain != more).any()


@pytest.mark.parametrize(
    ("ok", "nok"), [(OK_SCORES, []), ([], NOK_SCORES), ([0.0], [0.0]), ([math.nan, 0.2], [math.inf])]
)
def test_classes_without_scores_are_drawn_too(ok: list[float], nok: list[float]) -> None:
    param = EvaluationDisplayParam(display_mode="all")
    assert len(dev_display_anomaly_detection_evaluation(result_of(ok, nok), param=param)) == len(DISPLAY_MODES)


def test_the_range_of_the_histogram_is_cut_as_asked() -> None:
    whole = picture(result_of(), "score_histogram")
    cut = picture(result_of(), "score_histogram", histogram_min=0.4, histogram_max=0.5)
    assert cut.shape == whole.shape
    assert (cut != whole).any()
    with pytest.raises(SettingsError, match="histogram_max must exceed histogram_min"):
        EvaluationDisplayParam(histogram_min=0.5, histogram_max=0.5)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(SettingsError, match="no finite score to draw"):
        dev_display_anomaly_detection_evaluation(result_of([math.nan], []))
    with pytest.raises(SettingsError, match="at most 3 estimated thresholds can be shown, got 4"):
        EvaluationDisplayParam(estimated_thresholds=(0.1, 0.2, 0.3, 0.4))
    with pytest.raises(SettingsError, match="classification_threshold_index is 1, but 1 thresholds were evaluated"):
        picture(result_of(), "all", classification_threshold_index=1)
    assert picture(result_of(), "score_legend", classification_threshold_index=1).size, "it belongs to none"


def test_one_estimated_threshold_needs_no_tuple() -> None:
    assert EvaluationDisplayParam(estimated_thresholds=0.4).estimated_thresholds == (0.4,)  # type: ignore[arg-type]


def test_training_curve_as_file(tmp_path: Path) -> None:
    shown = cv2.imread(str(show_training(tmp_path, [0.5, 0.2, math.nan, 0.3])))
    assert shown is not None
    assert pixels(np.ascontiguousarray(shown[..., ::-1], dtype=np.uint8), OK) > 50, "the best epoch is marked"
    assert training_error_curve([0.1]).shape == shown.shape
    with pytest.raises(SettingsError, match="no finite"):
        training_error_curve([])
