from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.metrics import average_precision_score, roc_auc_score

from inspector.anomaly.choices import AnomalyClass
from trainer.errors import EvaluationError
from trainer.evaluation.as_json import figures_as_json, halcon_as_json
from trainer.evaluation.param import ALL_MEASURES, WITHOUT_THRESHOLD, GenParamEval
from trainer.evaluation.pixel_measures import PixelMeasures
from trainer.evaluation.result import EvaluationResult, evaluate_scores

SCORES = [0.1, 0.2, 0.5, 0.3, 0.5, 0.6, 0.9]
LABELS: list[AnomalyClass] = ["ok", "ok", "ok", "nok", "nok", "nok", "nok"]
TRUTH = [0, 0, 0, 1, 1, 1, 1]


def some_pixels() -> PixelMeasures:
    pixels = PixelMeasures()
    pixels.add(np.array([[0.1, 0.9, 0.2]], np.float32), np.array([[False, True, False]]))
    return pixels


def everything(*thresholds: float) -> EvaluationResult:
    param = GenParamEval(measures="all", anomaly_classification_thresholds=thresholds)
    return evaluate_scores(SCORES, LABELS, 0.5, some_pixels(), gen_param_eval=param, image_ids=range(7))


# ----------------------------------------------------------------------------------------------------------- GenParamEval


def test_default_asks_for_all_that_needs_no_threshold() -> None:
    assert GenParamEval().wanted == set(WITHOUT_THRESHOLD)


def test_all_is_everything_and_the_histogram_is_always_taken() -> None:
    assert GenParamEval(measures="all", anomaly_classification_thresholds=(0.5,)).wanted == set(ALL_MEASURES)
    assert GenParamEval(measures=("image_ap",)).wanted == {"anomaly_score_histogram", "image_ap"}
    assert GenParamEval(measures=()).wanted == {"anomaly_score_histogram"}


def test_one_value_is_a_tuple_of_it() -> None:
    param = GenParamEval.model_validate({"measures": "precision", "anomaly_classification_thresholds": 0.4})
    assert param == GenParamEval(measures=("precision",), anomaly_classification_thresholds=(0.4,))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"measures": ("mean_iou",)}, "unknown measure 'mean_iou'; choose from anomaly_score_histogram"),
        ({"measures": "auc"}, "unknown measure 'auc'"),
        ({"measures": ("all", "recall")}, 'give "all" alone'),
        ({"measures": (3,)}, "unknown measure 3"),
        ({"measures": None}, "measures"),
        ({"measures": "all"}, "precision, recall need a threshold; give anomaly_classification_thresholds"),
        ({"measures": ("recall",)}, "recall needs a threshold"),
        ({"measures": ("relative_confusion_matrix", "aupro")}, "relative_confusion_matrix needs a threshold"),
        ({"anomaly_classification_thresholds": (math.nan,)}, "finite number"),
        ({"anomaly_classification_thresholds": ("high",)}, "valid number"),
        ({"class_ids": (1, 0)}, "class_ids"),
        ({"num_classes": 3}, "num_classes"),
        ({"evaluation_type": "segmentation"}, "anomaly_detection"),
        ({"show_progress": "perhaps"}, "show_progress"),
        ({"treshold": 0.5}, "unknown parameter treshold"),
    ],
)
def test_what_does_not_fit_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        GenParamEval.model_validate(values)


def test_parameters_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        GenParamEval().num_classes = 2  # type: ignore[misc]


# ---------------------------------------------------------------------------------------------------------------- figures


def test_verdicts_at_the_shipped_threshold() -> None:
    result = evaluate_scores(SCORES, LABELS, 0.5)
    assert result.absolute_confusion_matrix == ((2, 1), (1, 3))
    assert (result.false_rejects.count, result.false_rejects.total) == (1, 3), "a score that reaches it is nok"
    assert (result.missed.count, result.missed.total) == (1, 4)
    assert (result.recall, result.precision) == (0.75, 0.75)
    assert result.found.low < 0.75 < result.found.high
    assert result.image_auroc == pytest.approx(roc_auc_score(TRUTH, SCORES))
    assert result.image_ap == pytest.approx(average_precision_score(TRUTH, SCORES))
    assert [(r.max_rate, r.recall.count, r.false_rejects) for r in result.recall_at] == [(0.01, 2, 0), (0.05, 2, 0)]
    assert (result.pixel_auroc, result.pixel_ap, result.aupro, result.n_pixel_images) == (None, None, None, 0)
    assert result.confusion == ()


def test_scores_are_kept_by_label_and_the_models_own_threshold_is_judged_where_no_other_was_asked() -> None:
    result = evaluate_scores([0.3, 0.7, 0.1], ["nok", "nok", "ok"], 0.5)
    assert (result.scores_of("ok"), result.scores_of("nok")) == ((0.1,), (0.3, 0.7))
    assert [(m.threshold, m.absolute) for m in result.judged] == [(0.5, ((1, 1), (0, 1)))]
    asked = GenParamEval(measures="all", anomaly_classification_thresholds=(0.2, 0.6))
    others = evaluate_scores([0.3, 0.7, 0.1], ["nok", "nok", "ok"], 0.5, gen_param_eval=asked)
    assert [m.threshold for m in others.judged] == [0.2, 0.6]


def test_pixel_figures_come_from_the_counted_pixels() -> None:
    result = evaluate_scores(SCORES, LABELS, 0.5, some_pixels())
    assert (result.pixel_auroc, result.pixel_ap, result.aupro) == (1.0, 1.0, 1.0)
    assert (result.pixel_auroc_error, result.pixel_ap_error, result.aupro_error) == (0.0, 0.0, 0.0)
    assert (result.n_pixel_images, result.n_regions) == (1, 1)


def test_only_what_is_asked_is_measured() -> None:
    result = evaluate_scores(SCORES, LABELS, 0.5, some_pixels(), gen_param_eval=GenParamEval(measures=("aupro",)))
    assert result.aupro == 1.0
    assert (result.image_auroc, result.image_ap, result.image_f1_max, result.recall_at) == (None, None, None, ())
    assert (result.pixel_auroc, result.pixel_ap) == (None, None)
    assert result.anomaly_score_histogram.ok_x == (0.1, 0.2, 0.5)


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_non_finite_score_is_nok_and_ranks_highest(score: float) -> None:
    result = evaluate_scores([0.1, score, 0.4], ["ok", "ok", "nok"], 0.9)
    assert result.absolute_confusion_matrix == ((1, 1), (1, 0))
    assert result.image_auroc == 0.5
    assert result.anomaly_scores[1] is not None


def test_measures_without_nok_images_are_unknown() -> None:
    result = evaluate_scores([0.1, 0.2], ["ok", "ok"], 0.5)
    assert (result.image_auroc, result.image_ap, result.image_f1_max) == (None, None, None)
    assert (result.recall, result.precision, result.recall_at) == (None, None, ())
    assert result.recall_at_rate(0.01) is None
    assert result.false_rejects.total == 2


def test_threshold_that_is_no_number_is_refused() -> None:
    with pytest.raises(EvaluationError, match="calibrate the model first"):
        evaluate_scores([0.1], ["ok"], math.nan)


def test_ids_that_do_not_fit_the_scores_are_refused() -> None:
    with pytest.raises(EvaluationError, match="1 scores and 2 image_ids"):
        evaluate_scores([0.1], ["ok"], 0.5, image_ids=(1, 2))


# ------------------------------------------------------------------------------------------------------------------- JSON


def test_json_of_halcon_is_flat_over_the_thresholds() -> None:
    document = halcon_as_json(everything(0.5, 0.55))
    assert document["absolute_confusion_matrix"] == [
        {"confusion_matrix": ((2, 1), (1, 3)), "threshold": 0.5},
        {"confusion_matrix": ((3, 2), (0, 2)), "threshold": 0.55},
    ]
    assert document["relative_confusion_matrix"][1]["confusion_matrix"] == ((1.0, 0.5), (0.0, 0.5))
    evaluation = document["global_evaluation"]
    assert evaluation["precision_per_class"] == pytest.approx([2 / 3, 3 / 4, 3 / 5, 1.0])
    assert evaluation["mean_precision"] == pytest.approx([17 / 24, 4 / 5])
    assert evaluation["recall_per_class"] == pytest.approx([2 / 3, 3 / 4, 1.0, 1 / 2])
    assert evaluation["mean_recall"] == pytest.approx([17 / 24, 3 / 4])
    assert document["anomaly_score_histogram"]["nok_y"] == [0.25, 0.5, 0.75, 1.0]


def test_json_of_halcon_has_only_what_was_asked() -> None:
    assert set(halcon_as_json(evaluate_scores(SCORES, LABELS, 0.5))) == {"anomaly_score_histogram"}
    param = GenParamEval(measures=("recall",), anomaly_classification_thresholds=(0.5,))
    document = halcon_as_json(evaluate_scores(SCORES, LABELS, 0.5, gen_param_eval=param))
    assert set(document["global_evaluation"]) == {"recall_per_class", "mean_recall"}
    assert "absolute_confusion_matrix" not in document


def test_figures_have_the_same_keys_whatever_is_known() -> None:
    full = figures_as_json(everything(0.5))
    assert set(full) == set(figures_as_json(None)) == set(figures_as_json(evaluate_scores([0.1], ["ok"], 0.5)))
    assert (full["aupro"], full["image_ap"], full["recall_at_1pct"]) == (1.0, pytest.approx(0.8875), 0.5)
    assert full["recall_at_5pct_false_rejects"] == 0
    assert full["recall_at_1pct_interval"][0] < 0.5 < full["recall_at_1pct_interval"][1]
    unknown = figures_as_json(None)
    assert {unknown.pop(key) for key in ("n_pixel_images", "n_regions", "n_test_ok", "n_test_nok")} == {0}
    assert set(unknown.values()) == {None}


def test_json_holds_no_number_that_json_has_not() -> None:
    result = evaluate_scores([math.nan, 0.1, math.inf], ["ok", "ok", "nok"], 0.5)
    only_infinite = evaluate_scores([0.1, math.inf], ["ok", "nok"], 0.5)
    for found in (result, only_infinite, replace(only_infinite, recall_at=())):
        json.dumps([figures_as_json(found), halcon_as_json(found)], allow_nan=False)
    assert figures_as_json(only_infinite)["image_f1_max_threshold"] is None
    assert halcon_as_json(result)["anomaly_score_histogram"]["ok_x"] == [0.1, None]
