"""The workflow of a fit, procedure by procedure: read > split > preprocess > train > threshold > evaluate > export."""

from __future__ import annotations

import re
import resource
import sys
import time
from datetime import UTC, datetime

from inspector.anomaly.files import resolved, try_folder
from inspector.anomaly.model.manifest import MANIFEST_NAME
from inspector.anomaly.model.model import AnomalyModel, ModelIdentity
from inspector.anomaly.network.device import available_device
from inspector.anomaly.parameters import NAME_PATTERN
from trainer.commands.arguments import (
    initial_model,
    preprocessing,
    read_dataset,
    split_param,
    threshold_param,
    train_param,
)
from trainer.commands.export import REPORT_NAME, FittedModel, export
from trainer.commands.outcome import FitOutcome
from trainer.dataset.dataset import trained_geometry
from trainer.errors import OutputError
from trainer.evaluation.evaluate import evaluate_dl_model
from trainer.evaluation.param import GenParamEval
from trainer.evaluation.result import EvaluationResult
from trainer.prepare.preprocess import preprocess_dl_dataset
from trainer.prepare.split import DLSplit, split_dl_dataset
from trainer.progress import StageProgress
from trainer.settings.commands import FitSettings
from trainer.thresholds.calibration import Calibration, _calibration
from trainer.thresholds.compute import compute_dl_anomaly_thresholds
from trainer.thresholds.estimate import AnomalyThresholds
from trainer.thresholds.folds import train_and_score_folds


def run_fit(settings: FitSettings, progress: StageProgress) -> FitOutcome:
    """Learn from images and write a bundle with its report.

    Raises:
        TrainerError: An image, a setting or the place of the bundle is refused; nothing is written.
        AnomalyError: The device is not there, the weights are missing, a parameter does not fit, or the bundle cannot be written.
    """
    started = time.perf_counter()
    name = _name(settings)
    _check_out(settings)
    available_device(settings.device)
    dataset = read_dataset(settings, progress)
    split = split_dl_dataset(
        dataset,
        settings.training_percent,
        settings.validation_percent,
        seed=settings.seed,
        overwrite_split=settings.overwrite_split,
        param=split_param(settings),
    )
    geometry = trained_geometry(split.dataset.samples)
    untrained = initial_model(settings, geometry)
    param = preprocessing(settings, untrained, geometry)
    if settings.cache is not None:
        cached = preprocess_dl_dataset(
            split.dataset, settings.cache, param, overwrite_files=settings.overwrite_cache, progress=progress
        )
        split = split.of(cached)
    training = train_param(settings, untrained)
    result, unseen = train_and_score_folds(
        split, untrained, training, preprocess_param=param, progress=progress, checkpoint=settings.checkpoint
    )
    model = result.model
    model.identity = ModelIdentity(name, f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}", "")
    wanted = threshold_param(settings)
    found = compute_dl_anomaly_thresholds(model, split.dataset, wanted, unseen=unseen, progress=progress)
    calibration = _calibration(split, model, found, wanted)
    evaluation = _evaluate(model, split, progress)
    outcome = FitOutcome(
        name=model.name,
        bundle=settings.out,
        report=settings.out / REPORT_NAME,
        detector=settings.model_choice.detector,
        backbone=settings.model_choice.backbone,
        image_width=model.input_size[0],
        image_height=model.input_size[1],
        seed=settings.seed,
        n_train=len(split.train),
        n_test=len(split.test),
        calibration=calibration,
        evaluation=evaluation,
        num_epochs=len(result.errors),
        best_epoch=result.best_epoch,
        best_error=result.best_error,
        fit_seconds=result.seconds,
        job_seconds=time.perf_counter() - started,
        peak_rss_mb=_peak_rss_mb(),
        warnings=_warnings(split, found, calibration, evaluation),
        notes=split.dataset.notes,
    )
    export(settings, split, FittedModel(untrained.param, training, result), outcome, progress)
    return outcome


def _name(settings: FitSettings) -> str:
    """The model's name: as asked for, or that of the bundle's folder where it will do."""
    name = settings.name or resolved(settings.out).name
    if re.fullmatch(NAME_PATTERN, name) is None:
        raise OutputError(
            f"the model cannot be named {name!r} after the folder {settings.out}: a name has up to 64 letters without accents, "
            "digits, dots, dashes and underscores; give --name"
        )
    return name


def _check_out(settings: FitSettings) -> None:
    """Refuse before an hour is spent; and never replace a folder that is not a bundle."""
    out = settings.out
    try:
        if out.exists():
            if not settings.overwrite:
                raise OutputError(f"{out} exists already; give another folder to --out, or pass --overwrite")
            if not (out / MANIFEST_NAME).is_file():
                raise OutputError(f"{out} is not a model bundle (it has no {MANIFEST_NAME}), so it is not overwritten")
        try_folder(out)
    except OSError as exc:
        raise OutputError.unwritable(out, exc, mend="give another folder to --out") from exc


def _evaluate(model: AnomalyModel, split: DLSplit, progress: StageProgress) -> EvaluationResult | None:
    """Measure the model on the test images, in their order; None without any."""
    if not split.test or model.thresholds is None:
        return None
    wanted = GenParamEval(measures="all", anomaly_classification_thresholds=(model.thresholds.classification,))
    ids = [sample.image_id for sample in split.test]
    return evaluate_dl_model(split.dataset, model, "image_ids", ids, wanted, progress=progress)


def _warnings(
    split: DLSplit, found: AnomalyThresholds, calibration: Calibration, evaluation: EvaluationResult | None
) -> tuple[str, ...]:
    warnings = [*split.warnings, *found.warnings]
    if evaluation and evaluation.false_rejects.low > calibration.false_reject_bound:
        rejects = evaluation.false_rejects
        warnings.append(
            f"{rejects.count} of {rejects.total} ok test images are rejected, more than the bound of "
            f"{calibration.false_reject_bound:.1%} allows by chance: they differ from the images it was learnt from"
        )
    return tuple(warnings)


def _peak_rss_mb() -> float:
    """Largest resident size of this process so far; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
