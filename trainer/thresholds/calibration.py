"""How the thresholds of a model came about, in the model's own scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inspector.anomaly.model.model import AnomalyModel
from trainer.dataset.dataset import CalibrationMethod, DLDataset
from trainer.errors import OutputError
from trainer.rates import binomial_rate
from trainer.thresholds.estimate import AnomalyThresholds, ThresholdParam


@dataclass(frozen=True, slots=True)
class Calibration:
    """How the thresholds came about."""

    method: CalibrationMethod
    scores: Sequence[float]
    """Scores of ok images by models that had not seen them."""
    classification_threshold: float
    segmentation_threshold: float
    false_reject_bound: float
    confidence: float
    max_false_rejects: float | None
    """None where no rate was asked for, with HALCON's methods, which use nok test images too."""
    folds: int = 0
    explanation: str = ""
    """A sentence of the estimator about its rule."""


def calibration_of(
    dataset: DLDataset, model: AnomalyModel, found: AnomalyThresholds, param: ThresholdParam
) -> Calibration:
    """What there is to say of the thresholds, in the model's own scores."""
    thresholds, estimate = model.thresholds, found.estimate
    if thresholds is None or dataset.division is None:
        raise OutputError("the model has no thresholds, or its images are not divided")
    if estimate is None:
        # HALCON states no bound; what the scores prove of its threshold can be said all the same.
        exceeding = sum(score >= found.classification for score in found.ok_scores)
        bound = binomial_rate(exceeding, found.n_ok, confidence=2 * param.confidence - 1).high
        values = ", ".join(f"{v:.4f}" for v in found.image_thresholds)
        explanation = (
            f"HALCON's thresholds ({found.method}): {values}; the last is used. They were laid by {found.n_ok} ok and "
            f"{found.n_nok} nok images; HALCON states no bound, this one is what the ok scores prove."
        )
    else:
        bound, explanation = estimate.false_reject_bound, estimate.explanation
    return Calibration(
        method=dataset.division.method,
        scores=found.ok_scores,
        classification_threshold=thresholds.classification,
        segmentation_threshold=thresholds.segmentation,
        false_reject_bound=bound,
        confidence=param.confidence,
        max_false_rejects=None if estimate is None else param.max_false_rejects,
        folds=dataset.num_folds,
        explanation=explanation,
    )
