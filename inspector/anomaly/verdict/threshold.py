"""The verdict: compares the score with its threshold, and finds the region where the map is above its own threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, overload

from inspector.anomaly.errors import ParameterError, UncalibratedError
from inspector.anomaly.types import CLASS_IDS, AnomalyRegion, DLResult, DLSample, Thresholds
from inspector.anomaly.verdict.region import find_anomaly_region

__all__ = ["HasThresholds", "RegionSize", "Thresholds", "threshold_dl_anomaly_results"]

RegionSize = Literal["original", "model"]


class HasThresholds(Protocol):
    """A model; `inspector.anomaly.model.model.AnomalyModel` is one."""

    @property
    def thresholds(self) -> Thresholds | None:
        """None where the model was never calibrated."""
        ...


@dataclass(frozen=True, slots=True)
class _Rule:
    """What is applied to each result; `min_area` is None where it is that of the thresholds."""

    thresholds: Thresholds
    region_size: RegionSize
    min_area: int | None


@overload
def threshold_dl_anomaly_results(
    model_or_thresholds: HasThresholds | Thresholds | None,
    sample: DLSample,
    result: DLResult,
    *,
    classification_threshold: float | None = None,
    segmentation_threshold: float | None = None,
    region_size: RegionSize = "original",
    min_area: int | None = None,
) -> DLResult: ...


@overload
def threshold_dl_anomaly_results(
    model_or_thresholds: HasThresholds | Thresholds | None,
    sample: DLSample | Sequence[DLSample],
    result: Sequence[DLResult],
    *,
    classification_threshold: float | None = None,
    segmentation_threshold: float | None = None,
    region_size: RegionSize = "original",
    min_area: int | None = None,
) -> Sequence[DLResult]: ...


def threshold_dl_anomaly_results(
    model_or_thresholds: HasThresholds | Thresholds | None,
    sample: DLSample | Sequence[DLSample],
    result: DLResult | Sequence[DLResult],
    *,
    classification_threshold: float | None = None,
    segmentation_threshold: float | None = None,
    region_size: RegionSize = "original",
    min_area: int | None = None,
) -> DLResult | Sequence[DLResult]:
    """Add class, region and the applied thresholds to results, like HALCON's procedure of this name. Thread safe.

    A score at or above its threshold is nok, and so is one that is not finite, which has no region. Comparisons are in
    float64. Class and region are independent: a nok picture may have no pixel at or above the segmentation threshold,
    and its `anomaly_region` is None then.

    HALCON takes segmentation thresholds from 0 to 1 and classification thresholds from 0 on. Here both lie between 0 and 1,
    exclusive, as the scores do: 0 would call every picture nok, and 1 none. HALCON's region is in the model's size, and has
    the halos of strong defects that ours leaves out.

    Args:
        model_or_thresholds: Where the thresholds come from; may be None, or a model without thresholds, if both are
            given here.
        sample: The picture that was scored, for its original size; or as many as there are results.
        result: Changed in place; one or several.
        classification_threshold: Instead of the model's, in (0, 1), by the scale that the model scored with.
        segmentation_threshold: The same of the map.
        region_size: `original` finds the region in the picture as taken, whatever part of it the model saw; `model` in
            the map's own pixels, which with crop_domain show the crop.
        min_area: Smaller components are left out, in pixels of `region_size`. By default the model's, which is in original
            pixels and is brought to the map's; 1 if it has none.

    Returns:
        `result`.

    Raises:
        UncalibratedError: The model has no thresholds, and not both are given here.
        ParameterError: A parameter given here is out of its range, or there are not as many samples as results. No
            result is changed then.
    """
    rule = _rule(model_or_thresholds, classification_threshold, segmentation_threshold, region_size, min_area)
    if isinstance(result, DLResult) and isinstance(sample, DLSample):
        _apply(rule, sample, result)
        return result
    if isinstance(result, DLResult):
        raise ParameterError("give one sample with one result, or as many samples as results")
    if isinstance(sample, DLSample):  # as apply_dl_model takes one and returns a list
        sample = [sample]
    if len(sample) != len(result):
        raise ParameterError(
            f"{len(sample)} samples do not match {len(result)} results; give one result for each sample"
        )
    for one_sample, one_result in zip(sample, result, strict=True):
        _apply(rule, one_sample, one_result)
    return result


def _rule(
    source: HasThresholds | Thresholds | None,
    classification: float | None,
    segmentation: float | None,
    region_size: RegionSize,
    min_area: int | None,
) -> _Rule:
    if source is not None and not isinstance(source, Thresholds) and not hasattr(source, "thresholds"):
        raise ParameterError(f"a {type(source).__name__} has no thresholds; give a trained model or Thresholds")
    thresholds = source if source is None or isinstance(source, Thresholds) else source.thresholds
    if thresholds is None and (classification is None or segmentation is None):
        raise UncalibratedError(
            "the model has no thresholds; calibrate it first, or give both classification_threshold and "
            "segmentation_threshold"
        )
    if region_size not in ("original", "model"):
        raise ParameterError(f"region_size must be original or model, got {region_size!r}")
    if min_area is not None and min_area < 1:
        raise ParameterError(f"min_area must be at least 1 pixel, got {min_area}")
    return _Rule(
        thresholds=Thresholds(
            classification=_checked("classification_threshold", classification, thresholds, "classification"),
            segmentation=_checked("segmentation_threshold", segmentation, thresholds, "segmentation"),
            min_area=1 if thresholds is None else thresholds.min_area,
        ),
        region_size=region_size,
        min_area=min_area,
    )


def _apply(rule: _Rule, sample: DLSample, result: DLResult) -> None:
    score = float(result.anomaly_score)
    is_scored = math.isfinite(score)
    result.anomaly_class = "ok" if is_scored and score < rule.thresholds.classification else "nok"
    result.anomaly_class_id = CLASS_IDS[result.anomaly_class]
    result.classification_threshold = rule.thresholds.classification
    result.segmentation_threshold = rule.thresholds.segmentation
    result.anomaly_region = _region(rule, sample, result) if is_scored else None


def _region(rule: _Rule, sample: DLSample, result: DLResult) -> AnomalyRegion | None:
    min_area = rule.thresholds.min_area if rule.min_area is None else rule.min_area
    if rule.region_size == "original":
        return find_anomaly_region(
            result.anomaly_image,
            width=sample.original_width,
            height=sample.original_height,
            threshold=rule.thresholds.segmentation,
            min_area=min_area,
            view=result.view,
        )
    height, width = result.anomaly_image.shape
    if rule.min_area is None:
        box = result.box(sample.original_width, sample.original_height)
        min_area = max(1, round(min_area * (width * height) / (box.width * box.height)))
    # The map is 0 outside the domain already, and lies where it lies.
    return find_anomaly_region(
        result.anomaly_image, width=width, height=height, threshold=rule.thresholds.segmentation, min_area=min_area
    )


def _checked(
    name: str, given: float | None, thresholds: Thresholds | None, field: Literal["classification", "segmentation"]
) -> float:
    """What is given, or else the field of the thresholds."""
    value: float = getattr(thresholds, field) if given is None else given
    # NaN is not in the range either.
    if not 0.0 < value < 1.0:
        raise ParameterError(f"{name} must be greater than 0 and less than 1, got {value!r}")
    return float(value)
