"""compute_dl_anomaly_thresholds: scores a data set's validation images, sets the thresholds, and gives them to the model."""

from __future__ import annotations

import copy
from contextlib import closing
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.domain.mask import cells_inside
from inspector.anomaly.model.model import AnomalyModel, apply_dl_model
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.types import DLResult, ImageGeometry
from trainer.calibration.spots import highest_spot, least_spot, tiles_seen
from trainer.dataset.dataset import DLDataset, DLDatasetSample
from trainer.errors import CalibrationError
from trainer.listing.listing import SplitName
from trainer.pictures.files import read_samples
from trainer.progress import StageProgress
from trainer.thresholds.estimate import AnomalyThresholds, ThresholdParam, estimate_anomaly_thresholds
from trainer.thresholds.scores import CalibrationScores

_MENDS: dict[SplitName, str] = {
    "validation": (
        "give split_dl_dataset a validation_percent, such as 20 (with overwrite_split=True if the folders or the "
        "manifest divide the images), or train with train_and_score_folds, which scores each image with a model "
        "trained on the others, and pass what it returns as unseen"
    ),
    "test": "lower training_percent in split_dl_dataset, or take image_split='validation'",
}


def compute_dl_anomaly_thresholds(
    model: AnomalyModel,
    dataset: DLDataset,
    param: ThresholdParam | None = None,
    *,
    unseen: CalibrationScores | None = None,
    min_area: int | None = None,
    set_in_model: bool = True,
    progress: StageProgress | None = None,
) -> AnomalyThresholds:
    """Estimate thresholds from the images of a divided data set, as HALCON's procedure of that name, and give them to the model.

    The model gets the scale too by which the classification threshold is a score of one half: from then on a score says at a
    glance on which side it lies, and which image or pixel is nok is as found. What is found depends on distances alone and
    not on the scale that the model had, so doing it again gives the same. So HALCON's values are also set in
    distances: midway between two, or four deviations above the mean.

    ok images are those of `param.ok_split`. HALCON's methods take nok images from any split. Where the segmentation
    threshold comes from pixels, those inside the model's own domain count: of all validation images with the method
    "halcon", of ok ones with the others.

    If there are too few ok images for a validation split, use `train_and_score_folds`, which trains the model and
    returns `unseen`.

    Args:
        model: Trained; it must not be used elsewhere meanwhile.
        dataset: Divided by `split_dl_dataset`, so that the model has not seen the images of these splits.
        param: The defaults where None.
        unseen: Scores of images that the model was trained on, by models that had not seen them, as
            `train_and_score_folds` gives them; they count beside those of the splits, which need no image then.
        min_area: Smallest spot that counts in a region, in pixels of the picture; `least_area` by default, of the
            smallest ok picture outside the test set where the model takes pictures of any size.
        set_in_model: False leaves the model as it is; the values are then scores by the scale that it has.
        progress: Told of each batch.

    Returns:
        What was found, in scores by the scale that the model has afterwards.

    Raises:
        CalibrationError: `model` is not a trained AnomalyModel, the data set is not divided, a split has no ok image, or a
            score is not a positive finite number. The message says what to do; the model is unchanged.
        GeometryError: An image is unlike those that the model was trained with; names it.
        DatasetError: An image can no longer be read.
    """
    param = ThresholdParam() if param is None else param
    if not isinstance(model, AnomalyModel):
        raise CalibrationError(
            "thresholds can only be computed for a trained model of type anomaly_detection, got "
            f"{type(model).__name__}; train it first"
        )
    if min_area is not None and min_area < 1:
        raise CalibrationError(f"min_area must be at least 1 pixel, got {min_area}")
    samples = samples_to_score(dataset, param, is_enough=unseen is not None)
    # A copy: what the caller gave stays as it was.
    found = (
        CalibrationScores()
        if unseen is None
        else replace(unseen, ok=[], groups=[], nok=[], spots=[], pixels=copy.copy(unseen.pixels))
    )
    view = model.preprocess_param.view
    inside = None if view is None or view.is_all else cells_inside(view, *model.input_size)
    done = 0
    paths = [dataset.image_path(sample) for sample in samples]
    with closing(read_samples(paths, model.preprocess_param)) as batches:
        for batch in batches:
            chosen = samples[done : done + len(batch)]
            for image, sample in zip(batch, chosen, strict=True):
                image.image_file_name = sample.image_file_name
            for sample, result in zip(chosen, apply_dl_model(model, batch), strict=True):
                _count(found, sample, result, param, model, inside)
            done += len(batch)
            if progress is not None:
                progress("thresholds", done, len(samples))
    found.groups += dataset.groups_of(sample for sample in samples if _is_ok_scored(sample, param))
    if unseen is not None:
        found.ok += unseen.ok
        # Without those of all images there is nothing to say of regions.
        found.spots = found.spots + unseen.spots if len(unseen.spots) == len(unseen.ok) else []
        found.groups += unseen.groups or range(-len(unseen.ok), 0)
        found.nok += unseen.nok
    thresholds = estimate_anomaly_thresholds(found, param, scale=None if set_in_model else model.scale)
    if set_in_model:
        area = least_area(model.preprocess_param, _least_picture(model, dataset)) if min_area is None else min_area
        model.calibrate(thresholds.as_thresholds(min_area=area), thresholds.scale)
    return thresholds


def least_area(preprocess_param: DLPreprocessParam, geometry: ImageGeometry) -> int:
    """The default size of the smallest spot that counts, in pixels of the picture as taken."""
    is_crop = preprocess_param.domain_handling == "crop_domain"
    seen = geometry.cropped(preprocess_param.domain) if is_crop else geometry
    tiles = tiles_seen(preprocess_param, seen.width, seen.height)
    return least_spot(seen.height, seen.width, tiles=tiles)


def _least_picture(model: AnomalyModel, dataset: DLDataset) -> ImageGeometry:
    """Of what the least area is a share: the model's typical picture; where sizes vary, the smallest ok one to learn from.

    A spot that would count in a small picture then counts in all of them: regions may be lost in none.
    """
    if model.geometry.rule == "one-camera":
        return model.geometry
    learnt = [s.geometry for s in dataset.samples if s.image_label == "ok" and s.split != "test"]
    return min(learnt, key=lambda picture: picture.width * picture.height, default=model.geometry)


def samples_to_score(dataset: DLDataset, param: ThresholdParam, *, is_enough: bool) -> list[DLDatasetSample]:
    """The samples that take part, each once; no split needs any where there are scores enough without.

    Raises:
        CalibrationError: A split lacks the images that it takes.
    """
    samples = dataset.samples
    if all(sample.split is None for sample in samples):
        raise CalibrationError(f"the data set of {dataset.image_dir} has not been split; call split_dl_dataset first")
    split = param.ok_split
    if not is_enough:
        if param.is_pixel_rule and not any(s.split == "validation" for s in samples):
            raise CalibrationError(f"there is no image in the split validation; {_MENDS['validation']}")
        if not any(s.split == split and s.image_label == "ok" for s in samples):
            raise CalibrationError(f"there is no ok image in the split {split}; {_MENDS[split]}")
    return [s for s in samples if _is_scored(s, param) or _is_pixel_source(s, param)]


def _is_scored(sample: DLDatasetSample, param: ThresholdParam) -> bool:
    if sample.image_label == "ok":
        return _is_ok_scored(sample, param)
    return param.is_nok_used and sample.split is not None


def _is_ok_scored(sample: DLDatasetSample, param: ThresholdParam) -> bool:
    return sample.image_label == "ok" and sample.split == param.ok_split


def _is_pixel_source(sample: DLDatasetSample, param: ThresholdParam) -> bool:
    is_counted = sample.image_label == "ok" or param.method == "halcon"
    return param.is_pixel_rule and sample.split == "validation" and is_counted


def _count(
    found: CalibrationScores,
    sample: DLDatasetSample,
    result: DLResult,
    param: ThresholdParam,
    model: AnomalyModel,
    inside: NDArray[np.bool_] | None,
) -> None:
    scale = model.scale
    if _is_scored(sample, param):
        raw_scores = found.ok if sample.image_label == "ok" else found.nok
        raw_scores.append(scale.to_distance(result.anomaly_score))
        found.n_test += sample.split == "test"
        if sample.image_label == "ok":
            raw = scale.map_to_distances(result.anomaly_image)
            seen = result.box(sample.width, sample.height)
            tiles = tiles_seen(model.preprocess_param, seen.width, seen.height)
            found.spots.append(highest_spot(raw, least_spot(*raw.shape, tiles=tiles), inside))
    if _is_pixel_source(sample, param):
        found.pixels.add(scale.map_to_distances(result.anomaly_image), inside)
