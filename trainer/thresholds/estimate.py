"""From raw scores of images that a model has not seen to thresholds: the methods, and the result."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Literal

import numpy as np

from inspector.anomaly.types import ScoreScale, Thresholds
from trainer.choices import ThresholdMethod
from trainer.errors import CalibrationError
from trainer.listing.listing import SplitName
from trainer.thresholds.halcon import halcon_image_thresholds, halcon_segmentation_threshold
from trainer.thresholds.ok_only import OkOnlyParam, estimate_threshold
from trainer.thresholds.scores import CalibrationScores
from trainer.thresholds.statement import ThresholdEstimate


class ThresholdParam(OkOnlyParam):
    """How `compute_dl_anomaly_thresholds` works; rates, confidence and rule are those of "ok_only", and refused with others.

    Attributes:
        method: "ok_only" needs no nok image and states a false-reject bound. "halcon" gives HALCON's values, its
            off-by-one and its rounding included; "halcon_corrected" the same thresholds counted as verdicts are given.
        use_ok_samples_only: HALCON's methods give the highest ok score alone, whatever nok images there are.
        segmentation: "regions" cuts the map where as few ok images show a region as are rejected, or lower where a rejected
            image would show none; "classification" at the image
            threshold; "halcon" at mean + 4 standard deviations of the validation pixels. "auto" follows the method.
        image_split: Where the ok images come from. HALCON takes "test", which the evaluation then uses again: a leak,
            of which the result warns. "auto" is "test" with the method "halcon", "validation" with the others.
    """

    method: ThresholdMethod = "ok_only"
    use_ok_samples_only: bool = False
    segmentation: Literal["auto", "regions", "classification", "halcon"] = "auto"
    image_split: Literal["auto", "validation", "test"] = "auto"

    def check_consistency(self) -> None:
        """Refuse what the method would pass over, as HALCON's promise no rate, and what `OkOnlyParam` refuses."""
        OkOnlyParam.check_consistency(self)
        if self.segmentation == "regions" and self.method != "ok_only":
            raise CalibrationError(
                f"segmentation by regions uses the rate of ok_only, which the method {self.method} does not have; "
                "choose another segmentation"
            )
        given = [name for name in OkOnlyParam.model_fields if name in self.model_fields_set]
        if given and self.method != "ok_only":
            raise CalibrationError(
                f"the method {self.method} knows no {' and no '.join(given)}, which belong to ok_only; leave out one "
                "or the other"
            )

    @property
    def ok_split(self) -> SplitName:
        """Where the ok images come from."""
        if self.image_split == "auto":
            return "test" if self.method == "halcon" else "validation"
        return self.image_split

    @property
    def is_pixel_rule(self) -> bool:
        """Whether the segmentation threshold comes from pixels."""
        return self.segmentation == "halcon" or (self.segmentation == "auto" and self.method != "ok_only")

    @property
    def is_nok_used(self) -> bool:
        """Whether scores of nok images take part."""
        return self.method != "ok_only" and not self.use_ok_samples_only


@dataclass(frozen=True, slots=True)
class AnomalyThresholds:
    """The thresholds found, in scores by `scale`.

    Attributes:
        classification: The one to use, the last of `image_thresholds`.
        image_thresholds: HALCON's tuple, [max ok, min nok, intermediate], or one value.
        estimate: The bound and its reasons; None with HALCON's methods, which have none.
        ok_scores: What took part: the images of the split first, in the data set's order.
        ok_groups: Number of the group of each of these; none where each image was drawn by itself.
        nok_scores: What took part of nok images.
        scale: What makes scores of distances.
        fold_factor: What the scores of folds were multiplied by, to be those of a model of all images.
        warnings: Sentences for the user.
    """

    method: ThresholdMethod
    classification: float
    segmentation: float
    image_thresholds: tuple[float, ...]
    estimate: ThresholdEstimate | None
    ok_scores: tuple[float, ...]
    ok_groups: tuple[int, ...]
    nok_scores: tuple[float, ...]
    scale: ScoreScale
    warnings: tuple[str, ...]
    fold_factor: float = 1.0

    @property
    def n_ok(self) -> int:
        """How many ok images took part."""
        return len(self.ok_scores)

    @property
    def n_nok(self) -> int:
        """How many nok images took part."""
        return len(self.nok_scores)

    def as_thresholds(self, *, min_area: int = 1) -> Thresholds:
        """The thresholds for a model that has this scale.

        Raises:
            CalibrationError: The segmentation threshold is 0, which every pixel reaches.
        """
        if self.segmentation <= 0:
            raise CalibrationError(
                f"the segmentation threshold is {self.segmentation}, which every pixel reaches: the maps of the calibration "
                "images are all 0; check that the model is trained and the images show the part"
            )
        return Thresholds(classification=self.classification, segmentation=self.segmentation, min_area=min_area)


def estimate_anomaly_thresholds(
    scores: CalibrationScores, param: ThresholdParam | None = None, *, scale: ScoreScale | None = None
) -> AnomalyThresholds:
    """Estimate thresholds from scores that are there already.

    A model gets them by `model.calibrate(found.as_thresholds(), found.scale)`.

    Args:
        scores: None of an image that the scoring model was fitted on.
        param: The defaults where None.
        scale: What the values are given in; by default the one by which the classification threshold is a score of one half.

    Raises:
        CalibrationError: There are too few scores, one is of no use, or they are so small or large that no scale fits them.
    """
    param = ThresholdParam() if param is None else param
    warnings = [_leak(scores.n_test)] if scores.n_test else []
    for score in scores.ok:
        if not 0 <= score < math.inf:
            raise CalibrationError(f"a raw score of an ok image is {score}; raw scores must be finite and not negative")
    estimate: ThresholdEstimate | None = None
    found: tuple[float, ...]
    if param.method == "ok_only":
        estimate = estimate_threshold(scores.ok, param, groups=scores.groups or None, folds=scores.folds)
        found = (estimate.distance,)
        warnings += estimate.warnings
    else:
        nok = scores.nok if param.is_nok_used else []
        found = halcon_image_thresholds(scores.ok, nok, is_parity=param.method == "halcon")
    segmentation = _segmentation(scores, param, found[-1])
    scale = _scale_of(found[-1]) if scale is None else scale
    image_thresholds = tuple(scale.to_score(distance) for distance in found)
    return AnomalyThresholds(
        method=param.method,
        classification=image_thresholds[-1],
        segmentation=scale.to_score(segmentation),
        image_thresholds=image_thresholds,
        estimate=estimate,
        ok_scores=tuple(scale.to_score(score) for score in scores.ok),
        ok_groups=tuple(scores.groups),
        nok_scores=tuple(scale.to_score(score) for score in scores.nok) if param.is_nok_used else (),
        scale=scale,
        warnings=tuple(warnings),
        fold_factor=scores.fold_factor,
    )


def _segmentation(scores: CalibrationScores, param: ThresholdParam, classification: float) -> float:
    """The distance at which maps are cut.

    By regions it is laid like the one for images, from the strongest spot of each ok image instead of its score: an ok part then
    shows a region as rarely as it is rejected. But it lies no higher than that an image at the classification threshold, whose
    spot is as many times as high as its score as in the median ok image, has one: a part that is rejected is to show why. On five
    sets (sketch, means) 10 % of the ok images were outlined so and 3 % of the rejected defects were not; by the rate alone 7 and 14 %,
    cut at the image threshold 39 and 0 %. Where the spots are not known the images' own threshold is taken.
    """
    if param.is_pixel_rule:
        return halcon_segmentation_threshold(scores.pixels)
    is_known = len(scores.spots) == len(scores.ok)
    if param.method != "ok_only" or param.segmentation == "classification" or not is_known:
        return classification
    spots = [max(spot, sys.float_info.min) for spot in scores.spots]
    laid = estimate_threshold(spots, param, groups=scores.groups or None, folds=scores.folds).distance
    times = np.median(np.divide(spots, np.maximum(scores.ok, sys.float_info.min)))
    return min(laid, classification * float(times))


def _scale_of(distance: float) -> ScoreScale:
    """The scale by which this distance is a score of one half."""
    try:
        return ScoreScale(s=distance)
    except ValueError as exc:
        raise CalibrationError(
            f"the classification threshold would lie at a distance of {distance:g}, which no score can tell: check that the model "
            "is trained and the images show the part"
        ) from exc


def _leak(count: int) -> str:
    images = "image was" if count == 1 else "images were"
    return (
        f"leak: {count} test {images} used to set the thresholds, so the results on the test images are too "
        "good; evaluate on other images, or use the method ok_only on the validation split"
    )
