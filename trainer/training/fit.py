"""Fits one detector on stored embeddings: a training uses all images, a calibration uses those of the other folds."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

import torch
from torch import Tensor

from inspector.anomaly.detectors.base import Detector
from inspector.anomaly.detectors.coreset import draw_candidates
from inspector.anomaly.detectors.fine import unfold_fine
from inspector.anomaly.detectors.fused import fuse
from inspector.anomaly.detectors.padim import PaDiM, fit_padim
from inspector.anomaly.detectors.patchcore import PatchCore, fit_patchcore
from inspector.anomaly.detectors.refine import FINE_PATCHES
from inspector.anomaly.detectors.student import Student
from inspector.anomaly.detectors.student_network import build_student
from inspector.anomaly.domain.score import domain_score
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.model.param import DLModelParam
from trainer.progress import StageProgress
from trainer.training.checkpoint import Checkpoint
from trainer.training.embed import TrainingFeatures
from trainer.training.student import train_student
from trainer.training.train_param import DLTrainParam, resolve_epochs

_D = TypeVar("_D", bound=Detector)

BATCH_SIZE = 64
"""Images whose embeddings are read at once; a detector's sums are as exact with any number."""


@dataclass(frozen=True, slots=True)
class FittedDetector:
    """A detector, and the errors of its epochs where it has any.

    Attributes:
        errors: One for each epoch; none of a detector that learns in one pass.
        num_epochs: Epochs that were to be.
        stopped_early: The error was low enough before these were over.
    """

    detector: Detector
    errors: tuple[float, ...] = ()
    num_epochs: int = 1
    stopped_early: bool = False


def fit_detector(
    features: TrainingFeatures,
    images: Sequence[int],
    param: DLModelParam,
    train_param: DLTrainParam,
    *,
    progress: StageProgress,
    stage: str = "fit",
    checkpoint: Path | None = None,
) -> FittedDetector:
    """Fit the detector of a model on some of the training images and their copies, in memory that does not grow with them.

    Args:
        features: Of all images.
        images: Which of them, by their place from 0.
        param: Says which detector, and its own parameters.
        train_param: Checked for this detector, as `embed_training_images` does.
        progress: Told how far it is.
        stage: The name that it is told.
        checkpoint: student: folder of a checkpoint, of this training alone.

    Raises:
        ParameterError: Fewer images than the detector needs, no variation among them, or a checkpoint of a detector that
            learns in one pass.
        OutputError: The checkpoint cannot be written, or is not one of this training.
    """
    if checkpoint is not None and param.detector != "student":
        raise ParameterError(f"{param.detector} is trained in one pass, so it has no checkpoint; leave the folder out")
    rows = features.rows(images)
    if param.detector == "student":
        identity = training_identity(features, images, param, train_param)
        kept = None if checkpoint is None else Checkpoint(checkpoint, identity)
        return _student(features, rows, param, train_param, progress, stage, kept)
    if param.detector == "patchcore":
        fitted: Detector = _bank(features, rows, param, train_param, progress, stage)
    else:
        gaussians = _gaussians(features, rows, param, train_param.regularization_noise or 0.0)
        fitted = gaussians
        if param.detector == "fused":
            bank = _bank(features, rows, param, train_param, progress, stage)
            fine = _fine_bank(features, rows, train_param)
            counted, shown = (_counted(features, ratio) for ratio in (features.fine_ratio, features.detail_ratio))
            fitted = fuse(gaussians, bank, fine, counted, shown)
    progress(stage, 1, 1)
    return FittedDetector(_moved(fitted, features.network.runtime.device))


def _bank(
    features: TrainingFeatures,
    rows: Sequence[int],
    param: DLModelParam,
    train_param: DLTrainParam,
    progress: StageProgress,
    stage: str,
) -> PatchCore:
    """Patches that cover those of the images."""
    return fit_patchcore(
        _candidates(
            features,
            rows,
            train_param,
            lambda batch: batch[..., features.deep_dims - features.part_dims : features.deep_dims],
        ),
        coreset=param.coreset,
        seed=train_param.seed,
        progress=lambda done, total: progress(stage, done, total),
    )


def _fine_bank(features: TrainingFeatures, rows: Sequence[int], train_param: DLTrainParam) -> PatchCore | None:
    """Patches that cover those of the fine part; None where there is none."""
    ratio = features.fine_ratio
    if not ratio:
        return None
    candidates = _candidates(
        features, rows, train_param, lambda batch: unfold_fine(batch[..., features.fine_part], ratio)
    )
    return fit_patchcore(candidates, coreset=FINE_PATCHES, seed=train_param.seed)


def _counted(features: TrainingFeatures, ratio: int) -> Tensor | None:
    """(ratio h, ratio w) bool, which positions of a part of so many times the grid's resolution count; None where there is no such part."""
    if not ratio:
        return None
    height, width, _ = features.store.shape
    mask = features.mask(ratio * height, ratio * width)
    return torch.ones((ratio * height, ratio * width), dtype=torch.bool) if mask is None else mask


def _gaussians(features: TrainingFeatures, rows: Sequence[int], param: DLModelParam, noise: float) -> PaDiM:
    """PaDiM of the projected part of the embedding."""
    height, width, _ = features.store.shape
    return fit_padim(
        (batch[..., : features.part_dims] for batch in features.store.batches(rows, BATCH_SIZE)),
        neighbourhood=param.neighbourhood,
        neighbour_share=param.neighbour_share,
        # Of all images, also for a fold: its model is to be like the one that ships.
        regularization=param.regularization / math.sqrt(len(features)),
        noise=noise,
        variation=features.variation,
        mask=features.mask(height, width),
    )


def _student(
    features: TrainingFeatures,
    rows: Sequence[int],
    param: DLModelParam,
    train_param: DLTrainParam,
    progress: StageProgress,
    stage: str,
    checkpoint: Checkpoint | None,
) -> FittedDetector:
    """The epochs, and the Gaussians that go with the student; noise is a matter of the student alone."""
    device = features.network.runtime.device
    fine_dims = features.store.shape[-1] - features.deep_dims
    network = build_student(features.deep_dims, fine_dims, complexity=param.complexity, seed=train_param.seed)
    height, width, _ = features.store.shape
    mask = features.mask(height, width)
    network.learn_statistics(features.store.batches(rows, BATCH_SIZE), mask)
    trained = train_student(
        network.to(device),
        features.store,
        rows,
        train_param,
        device=device,
        mask=features.mask,
        progress=progress,
        stage=stage,
        checkpoint=checkpoint,
    )
    gaussians = _moved(_gaussians(features, rows, param, noise=0.0), device)
    student = Student(network, gaussians, None if mask is None else mask.to(device))
    return FittedDetector(student, trained.errors, resolve_epochs(train_param, len(rows)), trained.stopped_early)


def distances(features: TrainingFeatures, detector: Detector, images: Sequence[int], size: int) -> Iterator[Tensor]:
    """Yield the distances of images themselves, not of their copies, on the model's device.

    Yields:
        (B, h, w) float32 or finer, as the detector gives them.
    """
    for batch in features.store.batches(features.originals(images), size):
        yield detector.distances(batch.to(features.network.runtime.device))


def counted_positions(features: TrainingFeatures, maps: Tensor) -> Tensor:
    """(B, h, w) distances -> (B, P): those that count, which a score is taken from."""
    view, (width, height) = features.preprocess_param.view, features.preprocess_param.input_size
    domain = None if view is None else domain_score(view, (maps.shape[1], maps.shape[2]), (height, width), maps.device)
    return maps.flatten(1) if domain is None else domain.positions(maps)


def _candidates(
    features: TrainingFeatures,
    rows: Sequence[int],
    train_param: DLTrainParam,
    patches: Callable[[Tensor], Tensor],
) -> Tensor:
    """(M, D): the patches that may enter a bank, out of those inside the domain.

    Args:
        features: Of all images.
        rows: Of the store.
        train_param: Seed, and the share that is drawn.
        patches: Those of a batch of the store, (B, h, w, ...) -> (B, h', w', D).
    """
    _, height, width, dims = patches(next(iter(features.store.batches(rows[:1], 1)))).shape
    mask = features.mask(height, width)
    inside = torch.arange(height * width) if mask is None else mask.flatten().nonzero()[:, 0]
    chosen = draw_candidates(len(rows) * len(inside), share=train_param.domain_ratio, seed=train_param.seed)
    found = torch.empty((len(chosen), dims))
    start = 0
    for number, batch in enumerate(features.store.batches(rows, BATCH_SIZE)):
        first = number * BATCH_SIZE * len(inside)
        stop = int(torch.searchsorted(chosen, first + len(batch) * len(inside)))
        own = chosen[start:stop] - first
        places = own // len(inside) * (height * width) + inside[own % len(inside)]
        found[start:stop] = patches(batch).flatten(0, 2)[places]
        start = stop
    return found


def _moved(detector: _D, device: torch.device) -> _D:
    if device.type == "cpu":
        return detector
    return cast("_D", type(detector).from_tensors(detector.tensors(), device))


def training_identity(
    features: TrainingFeatures, images: Sequence[int], param: DLModelParam, train_param: DLTrainParam
) -> dict[str, str]:
    """Digests of what a checkpoint belongs to."""
    parameters = [train_param.model_dump(mode="json"), param.own]
    return {
        "parameters": hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest(),
        "images": hashlib.sha256(f"{features.digest} {list(images)}".encode()).hexdigest(),
    }
