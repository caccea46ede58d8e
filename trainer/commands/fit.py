"""The command `trainer fit`: makes a model from ok images, as a bundle with its report."""

from __future__ import annotations

import re
import resource
import sys
import time
from dataclasses import replace

from inspector.anomaly.files import is_empty_folder, resolved, try_folder
from inspector.anomaly.model.bundle import check_replaceable, read_dl_model
from inspector.anomaly.model.model import AnomalyModel
from inspector.anomaly.network.device import available_device
from inspector.anomaly.parameters import NAME_PATTERN
from trainer.comparison.against import Comparison, compare_models
from trainer.errors import OutputError, WorseModelError
from trainer.listing.tally import Tally
from trainer.progress import StageProgress
from trainer.settings.commands import FitSettings
from trainer.workflow.export import REPORT_NAME, export
from trainer.workflow.outcome import FitOutcome
from trainer.workflow.procedures import Course, Fitted, fit_model
from trainer.workflow.remarks import notes_of_reduction, warnings_of_constants
from trainer.workflow.suspects import named_images, notes_of_suspects, warning_of_suspects


def run_fit(settings: FitSettings, progress: StageProgress) -> FitOutcome:
    """Learn from images and write a bundle with its report.

    Raises:
        TrainerError: An image, a setting or the place of the bundle is refused; nothing is written.
        AnomalyError: The device is not there, the weights are missing, a parameter does not fit, or the bundle cannot be written.
    """
    return fit_and_export(settings, progress, Course())[1]


def fit_and_export(settings: FitSettings, progress: StageProgress, course: Course) -> tuple[Fitted, FitOutcome]:
    """Run the procedures, and write the results.

    Raises:
        TrainerError: As `run_fit`.
        AnomalyError: As `run_fit`.
    """
    started = time.perf_counter()
    name = _name(settings)
    _check_out(settings)
    available_device(settings.device)
    in_use = None if settings.not_worse_than is None else read_dl_model(settings.not_worse_than, device=settings.device)
    fitted = fit_model(settings, name, progress, course)
    outcome = _outcome(settings, fitted, started)
    if in_use is not None:
        outcome = replace(outcome, comparison=_compared(fitted, in_use, progress))
    export(settings, fitted, outcome, progress)
    course.say("write_dl_model", f"{settings.out}: weights, preprocessing and thresholds in one folder")
    return fitted, outcome


def _compared(fitted: Fitted, in_use: AnomalyModel, progress: StageProgress) -> Comparison:
    """The candidate beside the model in use.

    Raises:
        EvaluationError: There is no image to compare them on.
        WorseModelError: It is worse.
    """
    bound = fitted.calibration.false_reject_bound
    compared = compare_models(fitted.model, in_use, fitted.dataset, allowed_false_rejects=bound, progress=progress)
    if compared.faults:
        raise WorseModelError(
            f"the new model is worse than {compared.in_use}, and nothing is written: {'; '.join(compared.faults)}; look at these "
            "images (trainer backtest), or leave out --not-worse-than"
        )
    return compared


def _outcome(settings: FitSettings, fitted: Fitted, started: float) -> FitOutcome:
    model, result, dataset = fitted.model, fitted.result, fitted.dataset
    return FitOutcome(
        name=model.name,
        bundle=settings.out,
        report=settings.out / REPORT_NAME,
        detector=fitted.untrained.param.detector,
        backbone=fitted.untrained.param.backbone,
        image_width=model.input_size[0],
        image_height=model.input_size[1],
        seed=settings.seed,
        n_train=len(dataset.train),
        n_test=len(dataset.test),
        calibration=fitted.calibration,
        evaluation=fitted.evaluation,
        cost=fitted.cost,
        selection=fitted.selection,
        num_epochs=len(result.errors),
        best_epoch=result.best_epoch,
        best_error=result.best_error,
        fit_seconds=result.seconds,
        job_seconds=time.perf_counter() - started,
        peak_rss_mb=_peak_rss_mb(),
        warnings=_warnings(fitted),
        notes=(
            *dataset.notes,
            *notes_of_reduction(model.preprocess_param, model.geometry),
            *notes_of_suspects(dataset, fitted.dropped),
        ),
        suspects=named_images(fitted.suspects, model.scale),
        dropped=named_images(fitted.dropped, model.scale),
        tally=dataset.tally or Tally(len(dataset.samples)),
        unreadable=dataset.unreadable,
    )


def _name(settings: FitSettings) -> str:
    """The model's name: as asked for, or that of the bundle's folder where it will do."""
    name = settings.name or resolved(settings.out).name
    if re.fullmatch(NAME_PATTERN, name) is None:
        raise OutputError(
            f"the model cannot be named {name!r} after the folder {settings.out}: a name has up to 64 characters: "
            "letters without accents, digits, dots, dashes and underscores; give --name"
        )
    return name


def _check_out(settings: FitSettings) -> None:
    """Refuse before an hour is spent; and never replace a folder that is not a bundle."""
    out = settings.out
    try:
        if out.exists() and not is_empty_folder(out):
            if not settings.overwrite:
                raise OutputError(f"{out} already exists; give another folder to --out, or pass --overwrite")
            check_replaceable(out)
        try_folder(out)
    except OSError as exc:
        raise OutputError.unwritable(out, exc, mend="give another folder to --out") from exc


def _warnings(fitted: Fitted) -> tuple[str, ...]:
    division, evaluation, calibration = fitted.dataset.division, fitted.evaluation, fitted.calibration
    warnings = [*(division.warnings if division else ()), *fitted.thresholds.warnings]
    warnings += warnings_of_constants(fitted.model.preprocess_param, fitted.untrained.param)
    if fitted.suspects:
        warnings.append(warning_of_suspects(fitted.suspects, len(calibration.scores)))
    if evaluation and evaluation.false_rejects.low > calibration.false_reject_bound:
        rejects = evaluation.false_rejects
        warnings.append(
            f"{rejects.count} of {rejects.total} ok test images are rejected, more than the bound of "
            f"{calibration.false_reject_bound:.1%} allows by chance: they differ from the training images"
        )
    if fitted.selection is not None and fitted.selection.warning:
        warnings.append(fitted.selection.warning)
    if fitted.cost is not None and fitted.cost.warning:
        warnings.append(fitted.cost.warning)
    return tuple(warnings)


def _peak_rss_mb() -> float:
    """Largest resident size of this process so far; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
