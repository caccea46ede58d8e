"""Give a model the thresholds that were found, and the scale by which the first is a score of one half."""

from __future__ import annotations

from inspector.anomaly.model.model import AnomalyModel
from inspector.anomaly.types import ScoreScale, Thresholds
from trainer.thresholds.compute import AnomalyThresholds


def apply_thresholds(model: AnomalyModel, found: AnomalyThresholds, *, min_area: int) -> None:
    """Give a model its thresholds, and the scale by which the classification threshold is a score of one half.

    Which image is nok, and which pixel, does not change: both thresholds stay at their distances.

    Args:
        model: Changed in place; the thresholds were found in scores of its present scale.
        found: By `compute_dl_anomaly_thresholds`.
        min_area: See `Thresholds`.

    Raises:
        CalibrationError: A threshold is 0.
    """
    model.scale, model.thresholds = scale_and_thresholds(found, model.scale, min_area=min_area)


def scale_and_thresholds(found: AnomalyThresholds, old: ScoreScale, *, min_area: int) -> tuple[ScoreScale, Thresholds]:
    """The scale by which the classification threshold is a score of one half, and both thresholds by that scale.

    Raises:
        CalibrationError: A threshold is 0.
    """
    given = found.as_thresholds(min_area=min_area)
    scale = ScoreScale(s=old.to_distance(given.classification))
    segmentation = rescaled(given.segmentation, old, scale)
    return scale, Thresholds(classification=0.5, segmentation=segmentation, min_area=min_area)


def rescaled(score: float, old: ScoreScale, new: ScoreScale) -> float:
    """The score that an image, or a pixel, has by another scale."""
    return new.to_score(old.to_distance(score))
