"""An evaluation as JSON: flat figures, as `trainer fit --json` prints them, and HALCON's EvaluationResult."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from trainer.evaluation.image_measures import RecallAtRate
from trainer.evaluation.result import EvaluationResult
from trainer.rates import Rate


def figures_as_json(result: EvaluationResult | None) -> dict[str, Any]:
    """Figures under flat keys, the same keys whatever was measured.

    Args:
        result: None where there were no test images.

    Returns:
        None (null) for what is not known, was not asked or is not finite. Intervals are 95 % Clopper-Pearson.
    """
    best = result and result.image_f1_max
    false_rejects = _known(result.false_rejects if result else None)
    found = _known(result.found if result else None)
    alarms = _known(result.true_alarms if result else None)
    return {
        "image_auroc": result and result.image_auroc,
        "image_ap": result and result.image_ap,
        "image_f1_max": best and best.value,
        "image_f1_max_threshold": best and _finite(best.threshold),
        **_recall_at("recall_at_1pct", result.recall_at_rate(0.01) if result else None),
        **_recall_at("recall_at_5pct", result.recall_at_rate(0.05) if result else None),
        "pixel_auroc": result and result.pixel_auroc,
        "pixel_auroc_error": result and result.pixel_auroc_error,
        "pixel_ap": result and result.pixel_ap,
        "pixel_ap_error": result and result.pixel_ap_error,
        "aupro": result and result.aupro,
        "aupro_error": result and result.aupro_error,
        "n_pixel_images": result.n_pixel_images if result else 0,
        "n_regions": result.n_regions if result else 0,
        "false_rejects": false_rejects and false_rejects.count,
        "false_reject_rate": false_rejects and false_rejects.rate,
        "false_reject_interval": false_rejects and [false_rejects.low, false_rejects.high],
        "recall": found and found.rate,
        "recall_interval": found and [found.low, found.high],
        "precision": alarms and alarms.rate,
        "precision_interval": alarms and [alarms.low, alarms.high],
        "confusion_matrix": result and result.absolute_confusion_matrix,
        "n_test_ok": result.false_rejects.total if result else 0,
        "n_test_nok": result.missed.total if result else 0,
    }


def halcon_as_json(result: EvaluationResult) -> dict[str, Any]:
    """HALCON's measures under HALCON's names, those that were asked; precision and recall flat over the thresholds."""
    histogram, wanted = result.anomaly_score_histogram, result.measures
    document: dict[str, Any] = {
        "anomaly_score_histogram": {
            "ok_x": _all_finite(histogram.ok_x),
            "ok_y": list(histogram.ok_y),
            "nok_x": _all_finite(histogram.nok_x),
            "nok_y": list(histogram.nok_y),
        }
    }
    for kind in ("absolute", "relative"):
        if f"{kind}_confusion_matrix" in wanted:
            document[f"{kind}_confusion_matrix"] = [
                {"confusion_matrix": getattr(matrix, kind), "threshold": matrix.threshold}
                for matrix in result.confusion
            ]
    evaluation: dict[str, list[float]] = {}
    if "precision" in wanted:
        evaluation["precision_per_class"] = [share for m in result.confusion for share in m.precision_per_class]
        evaluation["mean_precision"] = [m.mean_precision for m in result.confusion]
    if "recall" in wanted:
        evaluation["recall_per_class"] = [share for m in result.confusion for share in m.recall_per_class]
        evaluation["mean_recall"] = [m.mean_recall for m in result.confusion]
    return document | ({"global_evaluation": evaluation} if evaluation else {})


def _recall_at(key: str, recall: RecallAtRate | None) -> dict[str, Any]:
    return {
        key: recall and recall.recall.rate,
        f"{key}_interval": recall and [recall.recall.low, recall.recall.high],
        f"{key}_false_rejects": recall and recall.false_rejects,
    }


def _known(rate: Rate | None) -> Rate | None:
    return rate if rate is not None and rate.total else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _all_finite(values: Sequence[float]) -> list[float | None]:
    return [_finite(value) for value in values]
