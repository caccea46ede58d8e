"""train_dl_model and train_dl_model_anomaly_dataset: from an initial model and ok images to a trained one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

from inspector.anomaly.choices import GeometryRule
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.model.model import AnomalyModel, ModelIdentity
from inspector.anomaly.model.param import DLModelParam, InitialModel
from inspector.anomaly.preprocess.param import DLPreprocessParam, create_dl_preprocess_param_from_model
from inspector.anomaly.types import DLSample, ScoreScale
from trainer.dataset.dataset import DLDataset
from trainer.progress import StageProgress, silent
from trainer.training.embed import TrainingFeatures, embed_training_images
from trainer.training.fit import FittedDetector, counted_positions, distances, fit_detector
from trainer.training.images import TrainingImages, dataset_images, sample_images
from trainer.training.train_param import DLTrainParam

_REQUIREMENTS = (
    "image_width",
    "image_height",
    "image_num_channels",
    "image_range_min",
    "image_range_max",
    "size_step",
)


@dataclass(frozen=True, slots=True)
class DLTrainResult:
    """The outcome of a training.

    Attributes:
        model: Trained, but not calibrated: it has no thresholds, and its scale is provisional (a score of one half is the
            highest of its own training images).
        best_error: student: the mean squared error of the best epoch, whose weights the model has; of any other detector
            the mean distance of the training images.
        best_epoch: The epoch of that, counted from 1.
        errors: One for each epoch; a single one for any other detector.
        num_epochs: Epochs that were to be, had the error not been low enough before.
        stopped_early: Whether it was.
        seconds: Features and fit.
    """

    model: AnomalyModel
    best_error: float
    best_epoch: int
    errors: tuple[float, ...]
    num_epochs: int
    stopped_early: bool
    seconds: float


def train_dl_model(
    dataset: DLDataset,
    model: InitialModel,
    train_param: DLTrainParam,
    *,
    preprocess_param: DLPreprocessParam | None = None,
    progress: StageProgress | None = None,
    checkpoint: Path | str | None = None,
) -> DLTrainResult:
    """Train a model on the images of the split `train`, as the procedure of that name does.

    Where `preprocess_dl_dataset` has been through the data set with the same parameters, its samples are used; otherwise
    images are preprocessed on the way, by the same function: a data set that is not preprocessed is no error.

    Args:
        dataset: Divided by `split_dl_dataset`, or by its source.
        model: Left as it is.
        train_param: As `create_dl_train_param` gives it for this model.
        preprocess_param: By default that of the data set, or else what the model asks for.
        progress: Told of the stages "features" and "fit"; a student's carries its error.
        checkpoint: student: folder that the state is written to after each epoch. A run with the same parameters and
            images goes on from it, and ends with the same weights as one that was not interrupted.

    Raises:
        DatasetError: The data set is not divided, a nok image is in the split, or an image cannot be read.
        GeometryError: There is a domain, and the data set's images are of any size and aspect; or the domain was drawn on
            a picture of another aspect.
        ParameterError: A parameter does not suit the model, fewer images than the detector needs, or no variation.
        WeightsError: The backbone's weights are missing or altered.
        OutputError: A file cannot be written, or the checkpoint is of another training.
    """
    images = dataset_images(dataset, resolve_preprocess_param(model, preprocess_param or dataset.preprocess_param))
    return _train_on(images, model, train_param, progress or silent, checkpoint)


def train_dl_model_anomaly_dataset(
    model: InitialModel,
    samples: Sequence[DLSample],
    train_param: DLTrainParam,
    *,
    preprocess_param: DLPreprocessParam | None = None,
    geometry_rule: GeometryRule = "one-camera",
    progress: StageProgress | None = None,
    checkpoint: Path | str | None = None,
) -> DLTrainResult:
    """Train a model on samples in memory, all of them ok, as the operator of that name does.

    Args:
        model: Left as it is.
        samples: As the decoder, `gen_dl_samples_from_images` or `preprocess_dl_samples` gives them.
        train_param: As `create_dl_train_param` gives it for this model.
        preprocess_param: By default what the model asks for; samples that are preprocessed must have been so with it.
        geometry_rule: `any` for samples of any size and aspect; the model takes such too.
        progress: See `train_dl_model`.
        checkpoint: See `train_dl_model`.

    Raises:
        DatasetError: There is no sample, one is nok, or they are not of one camera, as `geometry_rule` has it.
        GeometryError: As `train_dl_model`.
        ParameterError: As `train_dl_model`, or a sample was preprocessed with other parameters.
        WeightsError: As `train_dl_model`.
        OutputError: As `train_dl_model`.
    """
    images = sample_images(samples, resolve_preprocess_param(model, preprocess_param), geometry_rule)
    return _train_on(images, model, train_param, progress or silent, checkpoint)


def resolve_preprocess_param(model: InitialModel, preprocess_param: DLPreprocessParam | None) -> DLPreprocessParam:
    """The preprocessing of a training: as given, which must be what the model asks for, or else made from the model.

    Raises:
        ParameterError: Size, channels or range are not the model's; names both and says what to do.
    """
    if preprocess_param is None:
        return create_dl_preprocess_param_from_model(model)
    for name in _REQUIREMENTS:
        asked, found = getattr(model.param, name), getattr(preprocess_param, name)
        if asked != found:
            raise ParameterError(
                f"{name} is {asked} for the model and {found} for the preprocessing; create the parameters with "
                "create_dl_preprocess_param_from_model, or change the model's"
            )
    return preprocess_param


def _train_on(
    images: TrainingImages,
    model: InitialModel,
    train_param: DLTrainParam,
    progress: StageProgress,
    checkpoint: Path | str | None,
) -> DLTrainResult:
    with embed_training_images(images, model.param, train_param, progress=progress) as features:
        folder = None if checkpoint is None else Path(checkpoint)
        return train_on_features(features, model, train_param, progress, folder)


def train_on_features(
    features: TrainingFeatures,
    model: InitialModel,
    train_param: DLTrainParam,
    progress: StageProgress,
    checkpoint: Path | None,
) -> DLTrainResult:
    """Train on what the backbone made of the images, where that is needed for more than one training.

    Args:
        features: By `embed_training_images` with this model's and these training parameters; they are not closed here.
        model: See `train_dl_model`.
        train_param: Checked for this detector.
        progress: See `train_dl_model`.
        checkpoint: See `train_dl_model`.

    Raises:
        ParameterError: As `train_dl_model`.
        OutputError: As `train_dl_model`.
    """
    started = time.perf_counter()
    param = model.param
    every = range(len(features))
    fitted = fit_detector(features, every, param, train_param, progress=progress, checkpoint=checkpoint)
    mean, highest = _own_distances(features, fitted, param)
    errors = fitted.errors or (mean,)
    best = min(errors)
    return DLTrainResult(
        model=_assemble(features, fitted, param, highest),
        best_error=best,
        best_epoch=errors.index(best) + 1,
        errors=errors,
        num_epochs=fitted.num_epochs,
        stopped_early=fitted.stopped_early,
        seconds=features.seconds + time.perf_counter() - started,
    )


@torch.inference_mode()
def _own_distances(features: TrainingFeatures, fitted: FittedDetector, param: DLModelParam) -> tuple[float, float]:
    """Mean distance of the positions of the training images, and the highest raw score of one."""
    total, count, highest = 0.0, 0, 0.0
    for maps in distances(features, fitted.detector, range(len(features)), param.batch_size):
        counted = counted_positions(features, maps)
        total, count = total + float(counted.double().sum()), count + counted.numel()
        highest = max(highest, float(param.score_rule.apply(counted).max()))
    return total / count, highest


def _assemble(features: TrainingFeatures, fitted: FittedDetector, param: DLModelParam, highest: float) -> AnomalyModel:
    trained = AnomalyModel(
        identity=ModelIdentity(f"dl_anomaly_{param.detector}", f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}", ""),
        network=features.network,
        detector=fitted.detector,
        # A bank that holds all its training images is at distance 0 from each.
        scale=ScoreScale(s=highest if highest > 1e-12 else 1.0),  # noqa: PLR2004
        rule=param.score_rule,
        geometry=features.geometry,
        thresholds=None,
        fitted_with=param.own,
        meta_data=param.meta_data,
        golden_images=features.golden_images,
    )
    trained.batch_size, trained.batch_size_multiplier = param.batch_size, param.batch_size_multiplier
    return trained
