"""choose_dl_model_param: the candidate that best separates synthetic defects from ok images of this data set."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import Final

from inspector.anomaly.errors import ParameterError
from inspector.anomaly.model.param import DLModelParam, InitialModel
from inspector.anomaly.preprocess.param import DLPreprocessParam, create_dl_preprocess_param_from_model
from trainer.dataset.dataset import DLDataset
from trainer.errors import DatasetError
from trainer.progress import StageProgress, silent
from trainer.selection.costs import nominal_cost_ms
from trainer.selection.criterion import gain_over
from trainer.selection.pictures import FOLDS, LEAST_IMAGES, TrialImages, trial_images
from trainer.selection.result import ModelSelection, ShownDefect, TriedModel, reason_for
from trainer.selection.trial import Preprocessing, Trial
from trainer.training.train_param import DLTrainParam, create_dl_train_param

_SHOWN: Final = 10


def choose_dl_model_param(
    dataset: DLDataset,
    candidates: Sequence[DLModelParam],
    *,
    preprocessing: Preprocessing = create_dl_preprocess_param_from_model,
    camera_tolerance: float | None = None,
    min_fps: float | None = None,
    seed: int = 0,
    progress: StageProgress | None = None,
) -> ModelSelection:
    """Choose a model for a data set by its ok images alone.

    Small defects are painted into up to 240 ok images (`trainer.synthesis`). Each candidate learns from the ok images of two folds, and
    scores those of the third and the defects in them; so with each fold. The one that parts them best is chosen where it is surely better
    than the first one (`Gain`); else the first one is kept. Nok images and test images are not looked at. With the same arguments the choice is the same on every machine,
    as costs are reckoned and not measured; with `min_fps` it depends on the machine's speed.

    Args:
        dataset: Divided by `split_dl_dataset`, or by its source.
        candidates: Complete parameters, none of a student, which would take too long; the first one is the default.
        preprocessing: Makes the preprocessing parameters of each.
        camera_tolerance: Of those candidates that have one; see `DLTrainParam`.
        min_fps: Frames a second that the chosen one has to reach on one core of this machine. By default it may cost twice what the
            first one costs.
        seed: Decides which images are taken, the folds, the defects and the trainings.
        progress: Told of each picture, as stage "choose".

    Raises:
        ParameterError: There is no candidate, one is a student, or nothing is known of a backbone's speed.
        DatasetError: The data set is not divided, an image cannot be read, or is too small for a defect.
        WeightsError: A backbone's weights are missing or altered.
        OutputError: The features do not fit on the disk.
    """
    started = time.perf_counter()
    priced = _priced(candidates)
    if not dataset.train:
        raise DatasetError(
            f"no image of {dataset.image_dir} is in the split train; call split_dl_dataset before choosing a model"
        )
    images = trial_images(dataset, seed=seed)
    if images is None:
        return _too_few(dataset, priced)

    def learning(model: InitialModel) -> DLTrainParam:
        tolerance = None if model.param.detector == "patchcore" else camera_tolerance
        return create_dl_train_param(model, camera_tolerance=tolerance, seed=seed)

    trial = Trial(images, preprocessing, learning, progress or silent, min_fps)
    tried, chosen, reason = _decide(trial.run(priced), min_fps)
    return ModelSelection(
        chosen.param,
        tuple(tried),
        reason,
        image_ids=tuple(sample.image_id for sample in images.samples),
        n_defects=images.defects_each * len(images),
        min_fps=min_fps,
        fps=trial.fps,
        shown=_shown(images, preprocessing(InitialModel(chosen.param))),
        seconds=time.perf_counter() - started,
    )


def _priced(candidates: Sequence[DLModelParam]) -> list[TriedModel]:
    """The candidates with their costs.

    Raises:
        ParameterError: As `choose_dl_model_param`.
    """
    if not candidates:
        raise ParameterError("there are no candidates to choose from; give the parameters of at least one model")
    if any(param.detector == "student" for param in candidates):
        raise ParameterError(
            "a student cannot be a candidate, because its training takes too long; choose it with --detector"
        )
    try:
        costs = [nominal_cost_ms(param) for param in candidates]
    except ValueError as error:
        raise ParameterError(f"{error}; choose among models on efficientnet_lite0, 1 and 2") from error
    return [TriedModel(param, cost / costs[0]) for param, cost in zip(candidates, costs, strict=True)]


def _too_few(dataset: DLDataset, priced: Sequence[TriedModel]) -> ModelSelection:
    count = len(dataset.train)
    return ModelSelection(
        priced[0].param,
        tuple(replace(one, left_out="not tried: too few images") for one in priced),
        f"the default, because comparing models takes at least {LEAST_IMAGES} different images from at least {FOLDS} "
        f"groups, and there are {count}",
    )


def _decide(tried: Sequence[TriedModel], min_fps: float | None) -> tuple[list[TriedModel], TriedModel, str]:
    """All with their gain over the first one that may be chosen; the chosen one; and why."""
    allowed = [one for one in tried if one.scores is not None and not one.left_out]
    if not allowed or allowed[0].scores is None:
        cheapest = min(tried, key=lambda one: one.cost)
        return (
            list(tried),
            cheapest,
            f"no model reaches {min_fps:g} frames/s on one core here; this one is estimated to be the fastest",
        )
    default = allowed[0]
    judged = [
        one
        if one.scores is None or one is default or one.left_out
        else replace(one, gain=gain_over(one.scores, allowed[0].scores))
        for one in tried
    ]
    sure = [one for one in judged if one.gain is not None and one.gain.is_sure]
    chosen = max(sure, key=lambda one: one.gain.difference if one.gain else 0.0, default=default)
    return judged, chosen, reason_for(chosen, default, tried[0])


def _shown(images: TrialImages, preprocess_param: DLPreprocessParam) -> tuple[ShownDefect, ...]:
    """The first defect of each of the first pictures: of every kind in turn."""
    with closing(images.ok_pictures(preprocess_param)) as pictures:
        return tuple(
            ShownDefect.of(sample.image_file_name, images.defect(picture, index, 0, preprocess_param))
            for index, (sample, picture) in enumerate(zip(images.samples[:_SHOWN], pictures, strict=False))
        )
