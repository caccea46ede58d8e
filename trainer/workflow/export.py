"""Writes the result of a fit as a whole: the bundle, with its record, its report and its evaluation inside."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from inspector.anomaly.model.bundle import write_dl_model
from inspector.anomaly.model.manifest import Records
from inspector.anomaly.network.weights import weights_digest
from trainer.calibration.calibration import calibration_samples
from trainer.calibration.suspects import Suspect
from trainer.dataset.dataset import DLDatasetSample
from trainer.evaluation.as_json import figures_as_json, halcon_as_json
from trainer.progress import StageProgress
from trainer.report.gallery import (
    ScoredSample,
    above_rows,
    gallery,
    glance,
    painted_rows,
    suspect_rows,
    unseen_rows,
)
from trainer.report.page import Report, render_report
from trainer.report.selection import selection_section
from trainer.report.shown import PICTURES_IN_A_ROW, evenly_of_each_class
from trainer.settings.commands import FitSettings
from trainer.workflow.drawer import Drawer
from trainer.workflow.facts import input_size_of, parameters_of, provenance_of, versions
from trainer.workflow.outcome import FitOutcome
from trainer.workflow.procedures import Fitted

REPORT_NAME = "report.html"
EVALUATION_NAME = "evaluation.json"

_TITLES = {"padim": "PaDiM", "patchcore": "PatchCore", "student": "Student", "fused": "Fused"}


def export(settings: FitSettings, fitted: Fitted, outcome: FitOutcome, progress: StageProgress) -> None:
    """Write the bundle, with report and evaluation inside.

    Raises:
        BundleError: It cannot be written.
        DatasetError: An image that is drawn cannot be read any more.
    """
    created_at, model = datetime.now(UTC), fitted.model
    report = _report(settings, fitted, outcome, created_at, progress)
    files = {REPORT_NAME: render_report(report).encode()}
    if outcome.evaluation is not None:
        document = {"figures": figures_as_json(outcome.evaluation), "halcon": halcon_as_json(outcome.evaluation)}
        files[EVALUATION_NAME] = json.dumps(document, indent=1, allow_nan=False).encode()
    write_dl_model(
        settings.out,
        model,
        created_at=created_at,
        overwrite=settings.overwrite,
        records=_records(settings, fitted, outcome),
        extra_files=files,
    )


def _records(settings: FitSettings, fitted: Fitted, outcome: FitOutcome) -> Records:
    calibration, result, dataset = fitted.calibration, fitted.result, fitted.dataset
    param = fitted.untrained.param
    return Records(
        calibration={
            "method": calibration.method,
            "threshold_method": settings.threshold_method,
            "rule": calibration.explanation,
            "n": len(calibration.scores),
            "false_rejects": calibration.false_rejects,
            "false_reject_bound": calibration.false_reject_bound,
            "confidence": calibration.confidence,
            "max_false_rejects": calibration.max_false_rejects,
            "n_groups": calibration.n_groups,
        },
        training={
            "model_param": param.model_dump(mode="json"),
            "train_param": fitted.train_param.model_dump(mode="json"),
            "errors": list(result.errors),
            "best_epoch": result.best_epoch,
            "best_error": result.best_error,
            "stopped_early": result.stopped_early,
            "dataset_digest": dataset.digest,
            "n_train": len(dataset.train),
            "files": _counts(outcome),
            "max_train": settings.max_train,
            "unreadable": list(dataset.unreadable),
            "suspects": [asdict(image) for image in outcome.suspects],
            "dropped_suspects": [asdict(image) for image in outcome.dropped],
            "selection": None if fitted.selection is None else fitted.selection.as_json(),
            "weights_sha256": weights_digest(param.backbone, param.weights),
            "versions": versions(),
        },
        metrics={key: value for key, value in outcome.as_json().items() if key not in {"bundle", "report", "files"}},
    )


def _counts(outcome: FitOutcome) -> dict[str, object]:
    """How many files were seen, taken and left out by each reason; their names may be too many for a record."""
    tally = outcome.tally
    left_out: dict[str, int] = {reason: len(names) for reason, names in tally.by_reason.items()}
    return {"seen": tally.seen, "taken": tally.taken, "left_out": left_out}


def _report(
    settings: FitSettings, fitted: Fitted, outcome: FitOutcome, created_at: datetime, progress: StageProgress
) -> Report:
    model, result, dataset, evaluation = fitted.model, fitted.result, fitted.dataset, fitted.evaluation
    draw = Drawer(fitted, progress)
    scores = evaluation.anomaly_scores if evaluation else ()
    tested = [ScoredSample(sample, score) for sample, score in zip(dataset.test, scores, strict=True)]
    painted = [] if tested else draw.painted(_ok_to_paint(fitted), seed=settings.seed)
    is_curve = len(result.errors) > 1
    param = fitted.untrained.param
    return Report(
        name=model.name,
        dataset=str(settings.source),
        detector=f"{_TITLES[param.detector]} on {param.backbone}, {input_size_of(model)}",
        created_at=f"{created_at:%Y-%m-%d %H:%M} UTC",
        n_train=len(dataset.train),
        calibration=fitted.calibration,
        test_ok=evaluation.scores_of("ok") if evaluation else (),
        test_nok=evaluation.scores_of("nok") if evaluation else (),
        evaluation=evaluation,
        cost=fitted.cost,
        selection=None if fitted.selection is None else selection_section(fitted.selection),
        rows=[
            *gallery(tested, _held_out(fitted), draw),
            *above_rows(_above(fitted), draw.unseen),
            *unseen_rows([] if tested else _below(fitted), draw.unseen),
            *painted_rows(painted, has_seen=not fitted.dataset.validation),
            *suspect_rows(_scored(fitted, fitted.suspects), _scored(fitted, fitted.dropped), draw.as_suspect),
        ],
        grid=glance(tested, draw),
        training_errors=result.errors if is_curve else (),
        best_epoch=result.best_epoch if is_curve else None,
        warnings=outcome.warnings,
        notes=outcome.notes,
        parameters=parameters_of(settings, fitted),
        provenance=provenance_of(settings, fitted, outcome),
        has_masks=bool(painted) or any(sample.anomaly_file_name for sample in dataset.test),
        n_dropped=len(fitted.dropped),
    )


def _held_out(fitted: Fitted) -> list[ScoredSample]:
    """The validation images with their scores, where they alone calibrate."""
    if fitted.calibration.method != "held_out":
        return []
    samples = [sample for sample in fitted.dataset.validation if sample.image_label == "ok"]
    return [ScoredSample(s, score) for s, score in zip(samples, fitted.calibration.scores, strict=True)]


def _above(fitted: Fitted) -> list[ScoredSample]:
    """The ok images that laid the threshold and lie above it; suspects have a row of their own."""
    suspects = {suspect.sample.image_id for suspect in fitted.suspects}
    above = [ScoredSample(image.sample, image.anomaly_score) for image in fitted.calibration.above]
    return [scored for scored in above if scored.sample.image_id not in suspects]


def _below(fitted: Fitted) -> list[ScoredSample]:
    """The ok images judged by folds that lie below the threshold, but for suspects; held-out ones are shown anyway."""
    if fitted.calibration.method == "held_out":
        return []
    elsewhere = {suspect.sample.image_id for suspect in fitted.suspects}
    elsewhere |= {image.sample.image_id for image in fitted.calibration.above}
    samples = calibration_samples(fitted.dataset)
    scored = [ScoredSample(s, score) for s, score in zip(samples, fitted.calibration.scores, strict=True)]
    return [one for one in scored if one.sample.image_id not in elsewhere]


def _ok_to_paint(fitted: Fitted) -> list[DLDatasetSample]:
    """A few ok images to paint defects into: held out where some are."""
    suspects = {suspect.sample.image_id for suspect in fitted.suspects}
    images = fitted.dataset.validation or fitted.dataset.train
    clean = [one for one in images if one.image_label == "ok" and one.image_id not in suspects]
    return evenly_of_each_class(clean, PICTURES_IN_A_ROW)


def _scored(fitted: Fitted, suspects: Sequence[Suspect]) -> list[ScoredSample]:
    return [ScoredSample(one.sample, fitted.model.scale.to_score(one.distance)) for one in suspects]
