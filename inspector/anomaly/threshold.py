"""The verdict: score against threshold, and the region where the map passes its own."""

from __future__ import annotations

import math
from typing import Protocol

from inspector.anomaly.errors import ParameterError, UncalibratedError
from inspector.anomaly.region import find_anomaly_region
from inspector.anomaly.types import CLASS_IDS, DLResult, DLSample, Thresholds

__all__ = ["HasThresholds", "Thresholds", "threshold_dl_anomaly_results"]


class HasThresholds(Protocol):
    """A model; `inspector.anomaly.model.AnomalyModel` is one."""

    @property
    def thresholds(self) -> Thresholds | None:
        """None where the model was never calibrated."""
        ...


def threshold_dl_anomaly_results(
    model_or_thresholds: HasThresholds | Thresholds | None,
    sample: DLSample,
    result: DLResult,
    *,
    classification_threshold: float | None = None,
    segmentation_threshold: float | None = None,
) -> DLResult:
    """Add class, region and the thresholds applied to `result`, as the procedure of that name does. Thread safe.

    A score at or above its threshold is nok, and so is one that is not finite, which has no region. Comparisons are in
    float64. Class and region are independent: a nok picture may have no pixel at or above the segmentation threshold,
    and its `anomaly_region` is None then.

    Args:
        model_or_thresholds: Where the thresholds come from.
        sample: The picture that was scored, for its original size.
        result: Changed in place.
        classification_threshold: Instead of the model's, in (0, 1).
        segmentation_threshold: Instead of the model's, in (0, 1).

    Returns:
        `result`.

    Raises:
        UncalibratedError: There are no thresholds.
        ParameterError: A threshold given here is out of its range.
    """
    own = model_or_thresholds
    thresholds = own if own is None or isinstance(own, Thresholds) else own.thresholds
    if thresholds is None:
        raise UncalibratedError("the model has no thresholds; calibrate it before it gives verdicts")
    classification = _checked("classification_threshold", classification_threshold, thresholds.classification)
    segmentation = _checked("segmentation_threshold", segmentation_threshold, thresholds.segmentation)
    score = float(result.anomaly_score)
    is_scored = math.isfinite(score)
    result.anomaly_class = "ok" if is_scored and score < classification else "nok"
    result.anomaly_class_id = CLASS_IDS[result.anomaly_class]
    result.classification_threshold = classification
    result.segmentation_threshold = segmentation
    result.anomaly_region = None
    if is_scored:
        result.anomaly_region = find_anomaly_region(
            result.anomaly_image,
            width=sample.original_width,
            height=sample.original_height,
            threshold=segmentation,
            min_area=thresholds.min_area,
        )
    return result


def _checked(name: str, given: float | None, default: float) -> float:
    if given is None:
        return default
    # NaN is not in the range either.
    if not 0.0 < given < 1.0:
        raise ParameterError(f"{name} must be greater than 0 and less than 1, got {given!r}")
    return float(given)
