"""compute_dl_anomaly_thresholds: score a data set's validation images with a trained model and lay the thresholds."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.domain.mask import cells_inside
from inspector.anomaly.model.model import AnomalyModel, apply_dl_model
from inspector.anomaly.types import DLResult, ScoreScale, Thresholds
from trainer.choices import ThresholdMethod
from trainer.dataset.dataset import DLDataset, DLDatasetSample
from trainer.dataset.files import read_samples
from trainer.dataset.listing import SplitName
from trainer.errors import CalibrationError
from trainer.progress import StageProgress
from trainer.thresholds.halcon import halcon_image_thresholds, halcon_segmentation_threshold
from trainer.thresholds.ok_only import OkOnlyParam, ThresholdEstimate, estimate_threshold
from trainer.thresholds.scores import CalibrationScores

_MENDS: dict[SplitName, str] = {
    "validation": (
        "give split_dl_dataset a validation_percent, such as 20, or estimate from folds as `trainer fit` does (scores of "
        "each image by a model of the others, with estimate_anomaly_thresholds)"
    ),
    "test": "lower training_percent in split_dl_dataset, or take image_split='validation'",
}
_BELOW_1 = math.nextafter(1.0, 0.0)


class ThresholdParam(OkOnlyParam):
    """How `compute_dl_anomaly_thresholds` works; rate, confidence and rule are those of "ok_only", and refused with others.

    Attributes:
        method: "ok_only" needs no nok image and states a false-reject bound. "halcon" gives HALCON's values, its
            off-by-one and its rounding included; "halcon_corrected" the same thresholds counted as verdicts are given.
        use_ok_samples_only: HALCON's methods give the highest ok score alone, whatever nok images there are.
        segmentation: "classification" cuts the map at the image threshold; "halcon" at mean + 4 standard deviations
            of the validation pixels. "auto" follows the method.
        image_split: Where the ok images come from. HALCON takes "test", which the evaluation then uses again: a leak,
            of which the result warns. "auto" is "test" with the method "halcon", "validation" with the others.
    """

    method: ThresholdMethod = "ok_only"
    use_ok_samples_only: bool = False
    segmentation: Literal["auto", "classification", "halcon"] = "auto"
    image_split: Literal["auto", "validation", "test"] = "auto"

    def check_consistency(self) -> None:
        """Refuse what the method would pass over: HALCON's promise no rate."""
        given = [name for name in OkOnlyParam.model_fields if name in self.model_fields_set]
        if given and self.method != "ok_only":
            raise CalibrationError(
                f"the method {self.method} knows no {' and no '.join(given)}, which are of ok_only; leave out one or the other"
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
    """The thresholds found, in scores.

    Attributes:
        classification: The one to use, the last of `image_thresholds`.
        image_thresholds: HALCON's tuple, [max ok, min nok, intermediate], or one value.
        estimate: The bound and its reasons; None with HALCON's methods, which have none.
        ok_scores: What took part, in the scale of the model: the images of the split first, in the data set's order.
        nok_scores: The same of nok images.
        warnings: Sentences for the user.
    """

    method: ThresholdMethod
    classification: float
    segmentation: float
    image_thresholds: tuple[float, ...]
    estimate: ThresholdEstimate | None
    ok_scores: tuple[float, ...]
    nok_scores: tuple[float, ...]
    warnings: tuple[str, ...]

    @property
    def n_ok(self) -> int:
        """How many ok images took part."""
        return len(self.ok_scores)

    @property
    def n_nok(self) -> int:
        """How many nok images took part."""
        return len(self.nok_scores)

    def as_thresholds(self, *, min_area: int = 1) -> Thresholds:
        """The thresholds for a model (`model.thresholds`), just below 1 where they reach it.

        Raises:
            CalibrationError: One is 0, which every score reaches.
        """
        for name, value in (("classification", self.classification), ("segmentation", self.segmentation)):
            if value <= 0:
                raise CalibrationError(
                    f"the {name} threshold is {value}, which every score reaches: the calibration scores are all 0; "
                    "check that the model is trained and the images show the part"
                )
        return Thresholds(
            classification=min(self.classification, _BELOW_1),
            segmentation=min(self.segmentation, _BELOW_1),
            min_area=min_area,
        )


def compute_dl_anomaly_thresholds(
    model: AnomalyModel,
    dataset: DLDataset,
    param: ThresholdParam | None = None,
    *,
    unseen: CalibrationScores | None = None,
    progress: StageProgress | None = None,
) -> AnomalyThresholds:
    """Estimate thresholds from the images of a divided data set, as HALCON's procedure of that name.

    ok images are those of `param.ok_split`. HALCON's methods take nok images from any split. Where the segmentation
    threshold comes from pixels, those inside the model's own domain count: of all validation images with the method
    "halcon", of ok ones with the others.

    Where there are too few ok images for a validation split, score them by folds and give the scores to
    `estimate_anomaly_thresholds`.

    Args:
        model: Trained; it need not have thresholds yet, and is not changed.
        dataset: Divided by `split_dl_dataset`, so that the model has not seen the images of these splits.
        param: The defaults where None.
        unseen: Scores, by this model's scale, of ok images that it was trained on, by models that had not seen them; they
            count beside those of the splits, which need no image then.
        progress: Told of each batch.

    Raises:
        CalibrationError: The model is none, the data set is not divided, a split has no ok image, or a score is of no
            use; says the mend.
        GeometryError: An image is unlike those that the model was trained with; names it.
        DatasetError: An image cannot be read any more.
    """
    param = ThresholdParam() if param is None else param
    if not isinstance(model, AnomalyModel):
        raise CalibrationError(
            f"thresholds need a trained model of type anomaly_detection, got {type(model).__name__}; train it first"
        )
    samples = _select(dataset, param, is_enough=unseen is not None)
    # A copy: what the caller gave stays as it was.
    found = CalibrationScores() if unseen is None else replace(unseen, ok=[], nok=[], pixels=copy.copy(unseen.pixels))
    view = model.preprocess_param.view
    inside = None if view is None or view.is_all else cells_inside(view, *model.input_size)
    done = 0
    paths = [dataset.image_path(sample) for sample in samples]
    for batch in read_samples(paths, model.preprocess_param):
        chosen = samples[done : done + len(batch)]
        for image, sample in zip(batch, chosen, strict=True):
            image.image_file_name = sample.image_file_name
        for sample, result in zip(chosen, apply_dl_model(model, batch), strict=True):
            _count(found, sample, result, param, inside)
        done += len(batch)
        if progress is not None:
            progress("thresholds", done, len(samples))
    found.ok += [] if unseen is None else unseen.ok
    return estimate_anomaly_thresholds(found, param, scale=model.scale)


def estimate_anomaly_thresholds(
    scores: CalibrationScores, param: ThresholdParam | None = None, *, scale: ScoreScale
) -> AnomalyThresholds:
    """Estimate thresholds from scores that are there already.

    Args:
        scores: None of an image that the scoring model was fitted on.
        param: The defaults where None.
        scale: Of the model that gave the scores: the tail model works on raw distances.

    Raises:
        CalibrationError: There are too few scores, or one is of no use.
    """
    param = ThresholdParam() if param is None else param
    warnings = [_leak(scores.n_test)] if scores.n_test else []
    estimate: ThresholdEstimate | None = None
    image_thresholds: tuple[float, ...]
    if param.method == "ok_only":
        distances = [scale.to_distance(_finite(score)) for score in scores.ok]
        estimate = estimate_threshold(distances, param, folds=scores.folds)
        image_thresholds = (scale.to_score(estimate.distance),)
        warnings += [estimate.warning] if estimate.warning else []
    else:
        nok = scores.nok if param.is_nok_used else []
        image_thresholds = halcon_image_thresholds(scores.ok, nok, is_parity=param.method == "halcon")
    classification = image_thresholds[-1]
    segmentation = halcon_segmentation_threshold(scores.pixels) if param.is_pixel_rule else classification
    if segmentation >= 1:
        warnings.append("the segmentation threshold is 1, which no pixel reaches: regions will be empty")
    return AnomalyThresholds(
        method=param.method,
        classification=classification,
        segmentation=segmentation,
        image_thresholds=image_thresholds,
        estimate=estimate,
        ok_scores=tuple(scores.ok),
        nok_scores=tuple(scores.nok) if param.is_nok_used else (),
        warnings=tuple(warnings),
    )


def _finite(score: float) -> float:
    if not 0 <= score < 1:
        raise CalibrationError(f"a score of an ok image is {score}; scores lie in [0, 1)")
    return score


def _leak(count: int) -> str:
    images = "image" if count == 1 else "images"
    return (
        f"leak: {count} test {images} took part in the thresholds, so what the test images say of them is too good; "
        "judge them on others, or use the method ok_only on the validation split"
    )


def _select(dataset: DLDataset, param: ThresholdParam, *, is_enough: bool) -> list[DLDatasetSample]:
    """The samples that take part, each once; no split needs any where there are scores enough without."""
    samples = dataset.samples
    if all(sample.split is None for sample in samples):
        raise CalibrationError(f"the data set of {dataset.image_dir} is not divided; call split_dl_dataset first")
    split = param.ok_split
    if not is_enough:
        if param.is_pixel_rule and not any(s.split == "validation" for s in samples):
            raise CalibrationError(f"there is no image in the split validation; {_MENDS['validation']}")
        if not any(s.split == split and s.image_label == "ok" for s in samples):
            raise CalibrationError(f"there is no ok image in the split {split}; {_MENDS[split]}")
    return [s for s in samples if _is_scored(s, param) or _is_pixel_source(s, param)]


def _is_scored(sample: DLDatasetSample, param: ThresholdParam) -> bool:
    if sample.image_label == "ok":
        return sample.split == param.ok_split
    return param.is_nok_used and sample.split is not None


def _is_pixel_source(sample: DLDatasetSample, param: ThresholdParam) -> bool:
    is_counted = sample.image_label == "ok" or param.method == "halcon"
    return param.is_pixel_rule and sample.split == "validation" and is_counted


def _count(
    found: CalibrationScores,
    sample: DLDatasetSample,
    result: DLResult,
    param: ThresholdParam,
    inside: NDArray[np.bool_] | None,
) -> None:
    if _is_scored(sample, param):
        (found.ok if sample.image_label == "ok" else found.nok).append(result.anomaly_score)
        found.n_test += sample.split == "test"
    if _is_pixel_source(sample, param):
        found.pixels.add(result.anomaly_image, inside)
