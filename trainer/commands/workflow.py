"""The command `trainer workflow`: the workflow of the chapter, in its order and by its procedures alone.

It is to be read as well as run: each step says the procedure's name and what came of it. Where the validation images are too few
to calibrate alone, those learnt from calibrate too, by folds, as in `trainer fit`; that one has more options, and writes a report.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.model.access import get_dl_model_param, set_dl_model_param
from inspector.anomaly.model.bundle import read_dl_model, write_dl_model
from inspector.anomaly.model.folder import try_folder
from inspector.anomaly.model.model import AnomalyModel, apply_dl_model
from inspector.anomaly.model.param import INITIAL_MODEL_NAMES, InitialModel
from inspector.anomaly.network.device import available_device
from inspector.anomaly.preprocess.file import read_dl_preprocess_param, write_dl_preprocess_param
from inspector.anomaly.preprocess.image import decode_image
from inspector.anomaly.preprocess.param import create_dl_preprocess_param_from_model
from inspector.anomaly.preprocess.samples import gen_dl_samples_from_images, preprocess_dl_samples
from inspector.anomaly.verdict.threshold import threshold_dl_anomaly_results
from trainer.commands.arguments import min_area, read_dataset, split_param
from trainer.dataset.dataset import DLDataset, DLDatasetSample, trained_geometry
from trainer.dataset.files import READ_LIMITS
from trainer.display.files import show_evaluation, show_grid, show_samples, show_training
from trainer.display.tiles import ShownSample
from trainer.errors import OutputError, SplitError
from trainer.evaluation.evaluate import evaluate_dl_model
from trainer.evaluation.param import GenParamEval
from trainer.prepare.preprocess import preprocess_dl_dataset
from trainer.prepare.split import DLSplit, is_given, split_dl_dataset
from trainer.progress import StageProgress
from trainer.settings.commands import WORKFLOW_TRAINING_PERCENT, WORKFLOW_VALIDATION_PERCENT, WorkflowSettings
from trainer.thresholds.apply import apply_thresholds
from trainer.thresholds.compute import compute_dl_anomaly_thresholds
from trainer.thresholds.folds import train_and_score_folds
from trainer.training.network import default_input_size
from trainer.training.train_param import create_dl_train_param
from trainer.wording import as_figure, as_percent

INFERRED_IMAGES = 10

MODEL_FOLDER, PARAM_FILE, DATA_FOLDER, PICTURE_FOLDER = "model", "dl_preprocess_param.json", "samples", "pictures"

Say = Callable[[str, str], None]
"""Told of each step: the procedure's name, and a sentence on what came of it."""


@dataclass(frozen=True, slots=True)
class _Trained:
    """What training and evaluation leave to inference: it needs nothing else."""

    dataset: DLDataset
    bundle: Path
    param_file: Path


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
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise OutputError(f"{out} exists already and is not an empty folder; give another to --out")
        out.mkdir(parents=True, exist_ok=True)
        try_folder(out / MODEL_FOLDER)
    except OSError as exc:
        raise OutputError.unwritable(out, exc, mend="give another folder to --out") from exc
    split = _divided(settings, say, progress)
    untrained = _initial(settings, split.dataset, say)
    split = _preprocessed(untrained, split, out, say, progress)
    trained = _trained(settings, untrained, split, say, progress)
    _infer(trained, settings.device, out / PICTURE_FOLDER, say)
    return out / PICTURE_FOLDER


def _divided(settings: WorkflowSettings, say: Say, progress: StageProgress) -> DLSplit:
    """As the source divides it, its validation images included; else, or where that is asked for, by percentages."""
    dataset = read_dataset(settings, progress)
    counts = [sum(s.image_label == label for s in dataset.samples) for label in dataset.class_names]
    images = f"{counts[0]} ok and {counts[1]} nok images in {settings.source}"
    say("read_dl_dataset_anomaly", "; ".join([images, *dataset.notes]))
    training, validation = settings.training_percent, settings.validation_percent
    is_kept = is_given(dataset, overwrite_split=settings.overwrite_split)
    if not is_kept:
        training = WORKFLOW_TRAINING_PERCENT if training is None else training
        validation = WORKFLOW_VALIDATION_PERCENT if validation is None else validation
    split = split_dl_dataset(
        dataset,
        training,
        validation,
        seed=settings.seed,
        overwrite_split=settings.overwrite_split,
        param=split_param(settings),
    )
    if not split.test:
        raise SplitError(
            f"no image of {settings.source} is left to evaluate on; pass --overwrite-split to divide anew what is divided "
            "already, or lower the percentages"
        )
    parts = [
        f"{sum(s.split == name for s in split.dataset.samples)} {name}" for name in ("train", "validation", "test")
    ]
    by = "as folders or manifest divide them" if is_kept else f"by {training:g} and {validation:g} percent"
    say("split_dl_dataset", "; ".join([f"{', '.join(parts)}, {by}", "all nok images are test images", *split.warnings]))
    return split


def _initial(settings: WorkflowSettings, dataset: DLDataset, say: Say) -> InitialModel:
    detector, backbone = settings.model_choice
    model = read_dl_model(INITIAL_MODEL_NAMES[detector], device=settings.device)
    say("read_dl_model", f"the initial model of detector {detector}: parameters, and nothing learnt yet")
    width, height = default_input_size(trained_geometry(dataset.samples))
    set_dl_model_param(model, "backbone", backbone)
    set_dl_model_param(model, "image_width", width)
    set_dl_model_param(model, "image_height", height)
    say("set_dl_model_param", f"backbone {backbone}; image_width {width} and image_height {height} suit the images")
    low, high = (get_dl_model_param(model, f"image_range_{end}") for end in ("min", "max"))
    channels = get_dl_model_param(model, "image_num_channels")
    say("get_dl_model_param", f"the model asks for {channels} channels in the range {low} to {high}")
    return model


def _preprocessed(model: InitialModel, split: DLSplit, out: Path, say: Say, progress: StageProgress) -> DLSplit:
    param = create_dl_preprocess_param_from_model(model)
    say("create_dl_preprocess_param_from_model", f"{param.normalization_type}, {param.domain_handling}")
    write_dl_preprocess_param(out / PARAM_FILE, param)
    say("write_dl_preprocess_param", f"kept in {out / PARAM_FILE}, for the inference")
    preprocessed = preprocess_dl_dataset(split.dataset, out / DATA_FOLDER, param, progress=progress)
    say("preprocess_dl_dataset", f"{len(preprocessed.samples)} samples in {out / DATA_FOLDER}")
    return split.of(preprocessed)


def _trained(
    settings: WorkflowSettings, untrained: InitialModel, split: DLSplit, say: Say, progress: StageProgress
) -> _Trained:
    dataset = split.dataset
    train_param = create_dl_train_param(untrained, max_num_epochs=settings.max_num_epochs, seed=settings.seed)
    say("create_dl_train_param", _set_values(train_param.model_dump(exclude_none=True)))
    result, unseen = train_and_score_folds(split, untrained, train_param, progress=progress)
    model, epochs = result.model, len(result.errors)
    say("train_dl_model", f"best error {result.best_error:.4f} in epoch {result.best_epoch} of {epochs}")
    found = compute_dl_anomaly_thresholds(model, dataset, unseen=unseen, progress=progress)
    apply_thresholds(model, found, min_area=min_area(model.preprocess_param, model.geometry))
    stated = f", at most {as_percent(found.estimate.false_reject_bound)} false rejects" if found.estimate else ""
    by = f"from {found.n_ok} ok images, {_judges(split)}{stated}"
    say("compute_dl_anomaly_thresholds", "; ".join([by, *found.warnings]))
    _evaluate(dataset, model, settings.out / PICTURE_FOLDER, say, progress)
    if epochs > 1:
        show_training(settings.out / PICTURE_FOLDER, result.errors, best_epoch=result.best_epoch)
    bundle = settings.out / MODEL_FOLDER
    golden = [_decoded(dataset, s) for s in [s for s in dataset.samples if s.split == "train"][:1]]
    write_dl_model(bundle, model, created_at=datetime.now(UTC).isoformat(timespec="seconds"), golden_images=golden)
    say("write_dl_model", f"{bundle}: weights, preprocessing and thresholds in one folder")
    return _Trained(dataset, bundle, settings.out / PARAM_FILE)


def _judges(split: DLSplit) -> str:
    """Which models scored the images that the threshold comes from."""
    if not split.folds:
        return "that the model had not seen"
    folds = f"judged by a model of the other {split.num_folds - 1} folds"
    held = len(split.calibration)
    return f"{held} that the model had not seen and {len(split.train)} each {folds}" if held else f"each {folds}"


def _evaluate(dataset: DLDataset, model: AnomalyModel, pictures: Path, say: Say, progress: StageProgress) -> None:
    if model.thresholds is None:
        raise OutputError("the model has no thresholds to be evaluated by")
    gen_param_eval = GenParamEval(measures="all", anomaly_classification_thresholds=(model.thresholds.classification,))
    found = evaluate_dl_model(dataset, model, "split", "test", gen_param_eval, progress=progress)
    figures = {"image AUROC": found.image_auroc, "pixel AUROC": found.pixel_auroc, "AUPRO": found.aupro}
    known = [f"{name} {as_figure(value)}" for name, value in figures.items() if value is not None]
    counts = f"{found.found.count} of {found.found.total} nok found, {found.false_rejects.count} of "
    say("evaluate_dl_model", ", ".join([*known, f"{counts}{found.false_rejects.total} ok rejected"]))
    show_evaluation(pictures, found)
    say("dev_display_anomaly_detection_evaluation", f"histogram, confusion matrices and pie charts in {pictures}")


def _infer(trained: _Trained, device: str, pictures: Path, say: Say) -> None:
    """New images, as a program would see them that knows the bundle and the parameters' file alone."""
    model = read_dl_model(trained.bundle, device=device)
    say("read_dl_model", f"{model.name}, every file verified")
    param = read_dl_preprocess_param(trained.param_file)
    say("read_dl_preprocess_param", f"{param.image_width} x {param.image_height} px, as in the training")
    chosen = _some_of_each([s for s in trained.dataset.samples if s.split == "test"])
    samples = gen_dl_samples_from_images([_decoded(trained.dataset, sample) for sample in chosen])
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
    say("threshold_dl_anomaly_results", f"{right} of {len(samples)} called what they are labelled")
    shown = [
        ShownSample(sample, result, trained.dataset.read_mask(known))
        for sample, result, known in zip(samples, results, chosen, strict=True)
    ]
    show_samples(pictures, shown)
    show_grid(pictures, shown)
    say("dev_display_dl_data", f"verdicts, regions and heat maps in {pictures}")


def _some_of_each(samples: list[DLDatasetSample]) -> list[DLDatasetSample]:
    """A few ok and a few nok ones."""
    ok, nok = ([s for s in samples if s.image_label == label] for label in ("ok", "nok"))
    few = ok[: max(INFERRED_IMAGES // 2, INFERRED_IMAGES - len(nok))]
    return [*few, *nok[: INFERRED_IMAGES - len(few)]]


def _decoded(dataset: DLDataset, sample: DLDatasetSample) -> NDArray[np.uint8]:
    return decode_image(dataset.image_path(sample).read_bytes(), limits=READ_LIMITS).image


def _set_values(values: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
