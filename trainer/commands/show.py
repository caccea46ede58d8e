"""The command `trainer show`: draws what a bundle says about labelled images, as PNG files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from inspector.anomaly.errors import UncalibratedError
from inspector.anomaly.model.bundle import read_dl_model
from inspector.anomaly.model.manifest import read_manifest
from inspector.anomaly.types import DLSample
from trainer.dataset.dataset import DLDataset, DLDatasetSample
from trainer.display.files import sample_picture_names, show_evaluation, show_grid, show_samples, show_training
from trainer.display.picture import shrink
from trainer.display.tiles import ShownSample
from trainer.errors import DatasetError
from trainer.evaluation.result import evaluate_scores
from trainer.evaluation.scoring import ScoredImage, score_images
from trainer.listing.tally import Tally
from trainer.pictures.files import whole_picture
from trainer.progress import StageProgress
from trainer.settings.commands import ShowSettings
from trainer.workflow.arguments import read_dataset

PICTURES_IN_GRID = 40


MAY_BE_LEARNT_FROM = (
    "there are no test images, so all images are drawn and counted, including ok images that the model may have been "
    "trained on; the number of false rejects is then too low. Give --images with a folder of other images, or a "
    "--manifest whose column split names the test images"
)


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was drawn, and what is to be known of it."""

    files: list[Path]
    warnings: tuple[str, ...]
    """Why the figures may be too good."""
    notes: tuple[str, ...]
    """What the reader of the images decided."""
    tally: Tally
    """Of the files that the source holds."""
    n_images: int
    """Of those taken, how many were drawn."""


def run_show(settings: ShowSettings, progress: StageProgress) -> Drawn:
    """Draw the test images (all images, where their source names none), their grid, the evaluation and the training.

    Returns:
        The files, and what to know of them.

    Raises:
        AnomalyError: The bundle cannot be read, or has no thresholds.
        DatasetError: An image cannot be read or scored.
        OutputError: A file cannot be written.
    """
    manifest, _ = read_manifest(settings.bundle)
    model = read_dl_model(settings.bundle, device=settings.device)
    if model.thresholds is None:
        raise UncalibratedError(f"model {model.name} has no thresholds, so there are no verdicts to show; calibrate it")
    dataset = read_dataset(settings, progress, model.geometry.rule, apply_exif=model.preprocess_param.apply_exif)
    tested = [s for s in dataset.samples if s.split == "test"]
    samples = tested or list(dataset.samples)
    is_doubtful = not tested and any(s.image_label == "ok" for s in samples)
    in_grid = {samples[i].image_id for i in np.linspace(0, len(samples) - 1, PICTURES_IN_GRID).round().astype(int)}
    names = sample_picture_names([sample.image_file_name for sample in samples])
    written: list[Path] = []
    scores: list[float] = []
    grid: list[ShownSample] = []
    images = score_images(model, [dataset.image_path(sample) for sample in samples])
    for sample, image, name in zip(samples, images, names, strict=True):
        shown = shown_sample(dataset, sample, image)
        written += show_samples(settings.out, [shown], names=[name])
        if sample.image_id in in_grid:
            grid.append(_small(shown))
        scores.append(image.result.anomaly_score if image.result else float("nan"))
        progress("draw", len(scores), len(samples))
    written.append(show_grid(settings.out, grid))
    labels = [sample.image_label for sample in samples]
    written += show_evaluation(settings.out, evaluate_scores(scores, labels, model.thresholds.classification))
    errors = [float(error) for error in manifest.training.get("errors", ())]
    if len(errors) > 1:
        written.append(show_training(settings.out, errors, best_epoch=manifest.training.get("best_epoch")))
    warnings = (MAY_BE_LEARNT_FROM,) if is_doubtful else ()
    return Drawn(written, warnings, dataset.notes, dataset.tally or Tally(len(dataset.samples)), len(samples))


def shown_sample(dataset: DLDataset, sample: DLDatasetSample, image: ScoredImage) -> ShownSample:
    """A sample of a data set, its whole picture, result and truth.

    Raises:
        DatasetError: It was not scored.
    """
    if image.sample is None or image.result is None:
        raise DatasetError(f"image {image.path} {image.error}; repair it, or leave it out")
    whole = replace(
        image.sample,
        image=whole_picture(image.path, image.sample),
        image_id=sample.image_id,
        image_file_name=sample.image_file_name,
        image_label=sample.image_label,
    )
    return ShownSample(whole, image.result, dataset.read_mask(sample))


def _small(shown: ShownSample) -> ShownSample:
    """For the grid: many are held at once. A map is copied, or its whole batch would stay with it."""
    sample: DLSample = replace(shown.sample, image=shrink(shown.sample.image))
    result = shown.result and replace(shown.result, anomaly_image=shown.result.anomaly_image.copy())
    return replace(shown, sample=sample, result=result)
