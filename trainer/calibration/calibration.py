"""How the thresholds of a model were found, in the model's own scores."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from inspector.anomaly.model.model import AnomalyModel
from trainer.dataset.dataset import CalibrationMethod, DLDataset, DLDatasetSample
from trainer.errors import OutputError
from trainer.rates import binomial_upper_limit
from trainer.thresholds.estimate import AnomalyThresholds, ThresholdParam
from trainer.thresholds.ranked import LEAST_SCORES, rank_scores
from trainer.wording import as_percent


@dataclass(frozen=True, slots=True)
class CalibrationImage:
    """An ok image that the thresholds come from, with its score by a model that had not seen it."""

    sample: DLDatasetSample
    anomaly_score: float


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
    """None where no bound was asked for: with a share on average, and with HALCON's methods."""
    false_rejects: float | None = None
    """Share of ok images that is rejected on average; None where that was not asked for."""
    n_groups: int | None = None
    """Groups that the images are of, which the bound then counts; None where each image counts by itself."""
    folds: int = 0
    explanation: str = ""
    """What the estimator says of its rule."""
    above: Sequence[CalibrationImage] = ()
    """Those at or above the threshold, the highest score first."""


def calibration_of(
    dataset: DLDataset, model: AnomalyModel, found: AnomalyThresholds, param: ThresholdParam
) -> Calibration:
    """What there is to say of the thresholds, in the model's own scores."""
    thresholds, estimate = model.thresholds, found.estimate
    if thresholds is None or dataset.division is None:
        raise OutputError("the model has no thresholds, or its images have not been split")
    images = [CalibrationImage(*one) for one in zip(calibration_samples(dataset), found.ok_scores, strict=True)]
    above = [image for image in images if image.anomaly_score >= thresholds.classification]
    if estimate is None:
        bound, explanation = _bound_of_halcon(found, param.confidence), _explanation_of_halcon(found)
    else:
        bound, explanation = estimate.false_reject_bound, f"{estimate.explanation}{_of_learning(found.fold_factor)}"
    return Calibration(
        method=dataset.division.method,
        scores=found.ok_scores,
        classification_threshold=thresholds.classification,
        segmentation_threshold=thresholds.segmentation,
        false_reject_bound=bound,
        confidence=param.confidence,
        max_false_rejects=None if estimate is None else estimate.max_false_rejects,
        false_rejects=None if estimate is None else estimate.false_rejects,
        n_groups=None if estimate is None else estimate.n_groups,
        folds=dataset.num_folds,
        explanation=explanation,
        above=sorted(above, key=lambda image: -image.anomaly_score),
    )


def calibration_samples(dataset: DLDataset) -> list[DLDatasetSample]:
    """The ok images that the thresholds of a fit come from, held out, judged by folds, or both: in the order of their scores."""
    samples = [sample for sample in dataset.validation if sample.image_label == "ok"]
    return [*samples, *(dataset.train if dataset.folds else ())]


def _of_learning(factor: float) -> str:
    """A sentence on what was done to the scores of folds, where anything was."""
    if factor == 1:
        return ""
    return (
        " Models trained on fewer images give higher scores, so these scores were lowered by "
        f"{as_percent(1 - factor)}; the amount was estimated with another model, trained on even fewer images."
    )


def _bound_of_halcon(found: AnomalyThresholds, confidence: float) -> float:
    """HALCON states no bound; what the scores prove of its threshold can be said all the same."""
    if found.n_ok < LEAST_SCORES:
        exceeding = sum(score >= found.classification for score in found.ok_scores)
        return binomial_upper_limit(exceeding, found.n_ok, confidence=confidence)
    positive = [max(score, sys.float_info.min) for score in found.ok_scores]
    return rank_scores(positive, found.ok_groups or None).upper_bound(found.classification, confidence)


def _explanation_of_halcon(found: AnomalyThresholds) -> str:
    values = ", ".join(f"{value:.4f}" for value in found.image_thresholds)
    return (
        f"HALCON's thresholds ({found.method}): {values}; the last one is used. They were set from {found.n_ok} ok "
        f"and {found.n_nok} nok images. HALCON gives no bound; the bound here is what the ok scores prove."
    )
