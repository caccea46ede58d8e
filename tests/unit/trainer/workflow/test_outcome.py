"""What a fit prints, as JSON and as a table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from inspector.anomaly.choices import AnomalyClass
from trainer.calibration.calibration import Calibration, CalibrationImage
from trainer.calibration.cost import threshold_cost
from trainer.dataset.dataset import DLDatasetSample
from trainer.evaluation.result import evaluate_scores
from trainer.thresholds.estimate import estimate_anomaly_thresholds
from trainer.thresholds.scores import CalibrationScores
from trainer.workflow.outcome import FitOutcome


def outcome(*, labels: list[AnomalyClass], scores: list[float]) -> FitOutcome:
    return FitOutcome(
        name="cookie",
        bundle=Path("out/cookie"),
        report=Path("out/cookie/report.html"),
        detector="patchcore",
        backbone="efficientnet_lite0",
        image_width=256,
        image_height=352,
        seed=0,
        n_train=31,
        n_test=len(labels),
        calibration=Calibration("out_of_fold", [0.1] * 31, 0.5, 0.6, 0.092, 0.95, 0.01, folds=5),
        evaluation=evaluate_scores(scores, labels, 0.5) if labels else None,
        num_epochs=1,
        best_epoch=1,
        best_error=0.25,
        fit_seconds=12.3456,
        job_seconds=20.0,
        peak_rss_mb=812.34,
        warnings=("few",),
        notes=(),
    )


PROMISED = {
    "image_auroc", "image_ap", "image_f1_max", "pixel_auroc", "aupro", "recall_at_1pct", "recall_at_5pct", "false_rejects", "recall", "n_train", "n_calibration", "n_test",
    "threshold", "false_reject_bound", "fit_seconds", "peak_rss_mb", "bundle",
}  # fmt: skip


def test_json_has_the_promised_keys() -> None:
    answer = outcome(labels=["ok", "ok", "nok"], scores=[0.1, 0.6, 0.9]).as_json()
    assert set(answer) >= PROMISED
    assert (answer["image_auroc"], answer["false_rejects"], answer["recall"]) == (1.0, 1, 1.0)
    assert (answer["n_train"], answer["n_calibration"], answer["n_test"]) == (31, 31, 3)
    assert (answer["n_test_ok"], answer["n_test_nok"]) == (2, 1)
    assert (answer["fit_seconds"], answer["peak_rss_mb"]) == (12.346, 812.3)
    assert (answer["image_ap"], answer["image_f1_max"], answer["recall_at_1pct"]) == (1.0, 1.0, 1.0)
    assert answer["aupro"] is None, "there are no masks"


def test_json_without_test_images_is_null_where_nothing_is_known() -> None:
    answer = outcome(labels=[], scores=[]).as_json()
    assert set(answer) >= PROMISED
    unknown = [
        "image_auroc",
        "image_ap",
        "aupro",
        "recall_at_5pct",
        "false_rejects",
        "false_reject_rate",
        "recall",
        "precision",
    ]
    assert [answer[key] for key in unknown] == [None] * len(unknown)
    assert answer["n_test"] == 0


def test_no_false_reject_is_zero_and_not_null() -> None:
    answer = outcome(labels=["ok", "nok"], scores=[0.1, 0.2]).as_json()
    assert (answer["false_rejects"], answer["false_reject_rate"], answer["recall"]) == (0, 0.0, 0.0)
    only_nok = outcome(labels=["nok"], scores=[0.2]).as_json()
    assert only_nok["false_rejects"] is None


def test_summary_says_what_is_not_known() -> None:
    rows = dict(outcome(labels=[], scores=[]).summary())
    assert rows["test"] == "no test images, so it is not known how many defects the model finds"
    rows = dict(outcome(labels=["ok", "nok"], scores=[0.1, 0.9]).summary())
    assert rows["nok found"].startswith("1 of 1")
    assert rows["ok rejected"].startswith("0 of 1")


def test_what_the_threshold_costs_is_printed_with_the_images_above_it() -> None:
    found = estimate_anomaly_thresholds(CalibrationScores(ok=[1 + place / 100 for place in range(31)]))
    plain = outcome(labels=["ok", "nok"], scores=[0.1, 0.9])
    odd = CalibrationImage(DLDatasetSample(0, "train/odd.png", "ok", 8, 8, 1, "", ""), 0.7)
    calibration = replace(plain.calibration, max_false_rejects=None, false_rejects=0.05, n_groups=12, above=(odd,))
    full = replace(plain, calibration=calibration, cost=threshold_cost(found, [0.9, 0.1], [0.1]))
    rows = dict(full.summary())
    assert rows["false rejects"] == (
        "5\u00a0% on average; 9.2\u00a0% at most with 95\u00a0% confidence, estimated, for images of other groups "
        "(from 12 groups)"
    )
    assert rows["ok above threshold"] == "1 of these 31: train/odd.png"
    assert rows["what that costs"].startswith(
        "finds 50\u00a0% of the 2 test defects; 50\u00a0% would be found at 1\u00a0%"
    )
    answer = json.loads(json.dumps(full.as_json()))
    assert answer["above_threshold"] == [{"image_file_name": "train/odd.png", "anomaly_score": 0.7}]
    assert (answer["false_rejects_on_average"], answer["n_groups"]) == (0.05, 12)
    assert (answer["cost"]["defects"], answer["cost"]["found"]) == ("test", 0.5)
    assert [rate["false_rejects_on_average"] for rate in answer["cost"]["rates"]] == [0.01, 0.02, 0.05, 0.1]
    assert answer["cost"]["rates"][0]["ok_test_rejected"] == 0.0


def test_a_guarantee_is_printed_without_an_average() -> None:
    rows = dict(outcome(labels=[], scores=[]).summary())
    assert rows["false rejects"] == "9.2\u00a0% at most with 95\u00a0% confidence, estimated"
    assert "ok above threshold" not in rows
    assert outcome(labels=[], scores=[]).as_json()["cost"] is None
