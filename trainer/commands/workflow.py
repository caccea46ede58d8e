"""The command `trainer workflow`: the chapter's fit and then new images, each step under the name of its procedure.

This module is meant to be read as well as run. If there are too few validation images for the calibration, the training images are used
too, by folds, as in `trainer fit`, which uses the same procedures.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.files import is_empty_folder, try_folder
from inspector.anomaly.model.bundle import read_dl_model
from inspector.anomaly.model.model import apply_dl_model
from inspector.anomaly.network.device import available_device
from inspector.anomaly.preprocess.file import read_dl_preprocess_param
from inspector.anomaly.preprocess.samples import gen_dl_samples_from_images, preprocess_dl_samples
from inspector.anomaly.verdict.threshold import threshold_dl_anomaly_results
from trainer.commands.fit import fit_and_export
from trainer.dataset.dataset import DLDataset, DLDatasetSample
from trainer.display.files import show_grid, show_samples
from trainer.display.tiles import ShownSample
from trainer.errors import OutputError
from trainer.pictures.files import read_picture
from trainer.progress import StageProgress
from trainer.settings.commands import WORKFLOW_TRAINING_PERCENT, WORKFLOW_VALIDATION_PERCENT, WorkflowSettings
from trainer.settings.fit import FitSettings
from trainer.workflow.procedures import Course, Say

INFERRED_IMAGES = 10

MODEL_FOLDER, PARAM_FILE, DATA_FOLDER, PICTURE_FOLDER = "model", "dl_preprocess_param.json", "samples", "pictures"


def run_workflow(settings: WorkflowSettings, say: Say, progress: StageProgress) -> Path:
    """Run every step.

    Returns:
        The folder of the pictures.

    Raises:
        TrainerError: An image or a setting is refused, or the folder is taken.
        AnomalyError: The device is not there, the weights are missing, or the bundle cannot be written.
    """
    available_device(settings.device)
    out = settings.out
    try:
        if out.exists() and not is_empty_folder(out):
            raise OutputError(f"{out} already exists and is not an empty folder; give another folder to --out")
        out.mkdir(parents=True, exist_ok=True)
        try_folder(out / MODEL_FOLDER)
    except OSError as exc:
        raise OutputError.unwritable(out, exc, mend="give another folder to --out") from exc
    course = Course(
        say=say,
        percents=(WORKFLOW_TRAINING_PERCENT, WORKFLOW_VALIDATION_PERCENT),
        is_test_needed=True,
        param_file=out / PARAM_FILE,
        pictures=out / PICTURE_FOLDER,
    )
    fitted, _ = fit_and_export(_fit_settings(settings), progress, course)
    _infer(fitted.dataset, settings, say)
    return out / PICTURE_FOLDER


def _fit_settings(settings: WorkflowSettings) -> FitSettings:
    """The same as settings of a fit, whose other options stay at their defaults."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set if name != "out"}
    folder = settings.out
    return FitSettings(
        **given,
        out=folder / MODEL_FOLDER,
        cache=folder / DATA_FOLDER,
        name=f"dl_anomaly_{'auto' if settings.is_auto else settings.model_choice.detector}",
    )


def _infer(dataset: DLDataset, settings: WorkflowSettings, say: Say) -> None:
    """New images, as a program would see them that knows the bundle and the parameters' file alone."""
    pictures = settings.out / PICTURE_FOLDER
    model = read_dl_model(settings.out / MODEL_FOLDER, device=settings.device)
    say("read_dl_model", f"{model.name}, every file verified")
    param = read_dl_preprocess_param(settings.out / PARAM_FILE)
    say("read_dl_preprocess_param", f"{param.image_width} x {param.image_height} px, as in the training")
    chosen = _some_of_each(dataset.test)
    samples = gen_dl_samples_from_images([_picture(dataset, sample) for sample in chosen])
    for sample, known in zip(samples, chosen, strict=True):
        sample.image_label, sample.image_file_name = known.image_label, known.image_file_name
    say("gen_dl_samples_from_images", f"{len(samples)} images of the split test")
    preprocess_dl_samples(samples, param)
    say("preprocess_dl_samples", "the same function as in the training")
    results = apply_dl_model(model, samples)
    scores = [result.anomaly_score for result in results]
    say("apply_dl_model", f"anomaly_score from {min(scores):.3f} to {max(scores):.3f}, and an anomaly_image each")
    threshold_dl_anomaly_results(model, samples, results)
    right = sum(r.anomaly_class == s.image_label for r, s in zip(results, samples, strict=True))
    say("threshold_dl_anomaly_results", f"{right} of {len(samples)} verdicts agree with the labels")
    shown = [
        ShownSample(sample, result, dataset.read_mask(known))
        for sample, result, known in zip(samples, results, chosen, strict=True)
    ]
    show_samples(pictures, shown)
    show_grid(pictures, shown)
    say("dev_display_dl_data", f"verdicts, regions and heat maps in {pictures}")


def _some_of_each(samples: tuple[DLDatasetSample, ...]) -> list[DLDatasetSample]:
    """A few ok and a few nok ones."""
    ok, nok = ([s for s in samples if s.image_label == label] for label in ("ok", "nok"))
    few = ok[: max(INFERRED_IMAGES // 2, INFERRED_IMAGES - len(nok))]
    return [*few, *nok[: INFERRED_IMAGES - len(few)]]


def _picture(dataset: DLDataset, sample: DLDatasetSample) -> NDArray[np.uint8]:
    return read_picture(dataset.image_path(sample), apply_exif=dataset.apply_exif).image
