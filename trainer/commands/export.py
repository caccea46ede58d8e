"""Write what a fit leaves behind as a whole: the bundle, with its record, its report and its evaluation inside."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inspector.anomaly.model.bundle import write_dl_model
from inspector.anomaly.model.manifest import Records
from inspector.anomaly.model.model import AnomalyModel, apply_dl_model
from inspector.anomaly.model.param import DLModelParam
from inspector.anomaly.network.weights import SOURCES
from inspector.anomaly.verdict.threshold import threshold_dl_anomaly_results
from trainer.commands.outcome import FitOutcome
from trainer.commands.procedures import Fitted
from trainer.dataset.dataset import DLDatasetSample
from trainer.dataset.files import read_picture
from trainer.errors import DatasetError
from trainer.evaluation.as_json import figures_as_json, halcon_as_json
from trainer.evaluation.scoring import ScoredImage, score_images
from trainer.progress import StageProgress
from trainer.report.gallery import ScoredSample, draw_picture, gallery, glance, suspect_rows
from trainer.report.page import Facts, InspectedImage, Report, render_report
from trainer.report.shown import small
from trainer.settings.commands import FitSettings
from trainer.thresholds.suspects import Suspect

REPORT_NAME = "report.html"
EVALUATION_NAME = "evaluation.json"

_TITLES = {"padim": "PaDiM", "patchcore": "PatchCore", "student": "Student"}


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
            "false_reject_bound": calibration.false_reject_bound,
            "confidence": calibration.confidence,
            "max_false_rejects": calibration.max_false_rejects,
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
            "max_train": settings.max_train,
            "suspects": [asdict(image) for image in outcome.suspects],
            "dropped_suspects": [asdict(image) for image in outcome.dropped],
            "weights_sha256": SOURCES[param.backbone].sha256,
            "versions": _versions(),
        },
        metrics={key: value for key, value in outcome.as_json().items() if key not in {"bundle", "report"}},
    )


class _Drawer:
    """Pictures of samples, each drawn once: of what the evaluation kept, or scored again where it kept nothing."""

    def __init__(self, fitted: Fitted, progress: StageProgress) -> None:
        self._fitted = fitted
        self._progress = progress
        self._drawn: dict[int, InspectedImage] = {}

    def __call__(self, scored: ScoredSample) -> InspectedImage:
        key = scored.sample.image_id
        if key not in self._drawn:
            self._drawn[key] = self._draw(scored)
            self._progress("report", len(self._drawn), len(self._drawn))
        return self._drawn[key]

    def as_unseen(self, scored: ScoredSample) -> InspectedImage:
        """The picture of a suspect, with the score of a model that had not seen it, as the one that ships may have."""
        is_rejected = not scored.anomaly_score < self._fitted.calibration.classification_threshold
        return replace(self(scored), anomaly_score=scored.anomaly_score, is_rejected=is_rejected, is_suspect=True)

    def _draw(self, scored: ScoredSample) -> InspectedImage:
        dataset, path = self._fitted.dataset, self._fitted.dataset.image_path(scored.sample)
        image = self._fitted.shown.get(scored.sample) or small(self._scored(scored.sample, path))
        if image.result is None:
            raise DatasetError(f"image {path} {image.error}; it was readable before")
        # Kept pictures are small already; one that was decoded smaller still is read anew.
        picture = read_picture(path).image if image.sample is None else image.sample.image
        return draw_picture(scored, picture, image.result, dataset.read_mask(scored.sample))

    def _scored(self, sample: DLDatasetSample, path: Path) -> ScoredImage:
        model, picture = self._fitted.model, self._fitted.pictures.get(sample)
        if picture is None:
            (image,) = score_images(model, [path])
            return image
        (result,) = threshold_dl_anomaly_results(model, picture, apply_dl_model(model, picture))
        return ScoredImage(path, picture, result)


def _report(
    settings: FitSettings, fitted: Fitted, outcome: FitOutcome, created_at: datetime, progress: StageProgress
) -> Report:
    model, result, dataset, evaluation = fitted.model, fitted.result, fitted.dataset, fitted.evaluation
    draw = _Drawer(fitted, progress)
    scores = evaluation.anomaly_scores if evaluation else ()
    tested = [ScoredSample(sample, score) for sample, score in zip(dataset.test, scores, strict=True)]
    is_curve = len(result.errors) > 1
    return Report(
        name=model.name,
        dataset=str(settings.source),
        detector=f"{_TITLES[settings.model_choice.detector]} on {settings.model_choice.backbone}, {_size(model)}",
        created_at=f"{created_at:%Y-%m-%d %H:%M} UTC",
        n_train=len(dataset.train),
        calibration=fitted.calibration,
        test_ok=evaluation.scores_of("ok") if evaluation else (),
        test_nok=evaluation.scores_of("nok") if evaluation else (),
        evaluation=evaluation,
        rows=[
            *gallery(tested, _held_out(fitted), draw),
            *suspect_rows(_scored(fitted, fitted.suspects), _scored(fitted, fitted.dropped), draw.as_unseen),
        ],
        grid=glance(tested, draw),
        training_errors=result.errors if is_curve else (),
        best_epoch=result.best_epoch if is_curve else None,
        warnings=outcome.warnings,
        notes=outcome.notes,
        parameters=_parameters(settings, fitted),
        provenance=_provenance(settings, fitted, outcome),
        has_masks=any(sample.anomaly_file_name for sample in dataset.test),
        n_dropped=len(fitted.dropped),
    )


def _held_out(fitted: Fitted) -> list[ScoredSample]:
    """The validation images with their scores, where they alone calibrate."""
    if fitted.calibration.method != "held_out":
        return []
    samples = [sample for sample in fitted.dataset.validation if sample.image_label == "ok"]
    return [ScoredSample(s, score) for s, score in zip(samples, fitted.calibration.scores, strict=True)]


def _scored(fitted: Fitted, suspects: Sequence[Suspect]) -> list[ScoredSample]:
    return [ScoredSample(one.sample, fitted.model.scale.to_score(one.distance)) for one in suspects]


def _size(model: AnomalyModel) -> str:
    return f"{model.input_size[0]} x {model.input_size[1]} px"


def _parameters(settings: FitSettings, fitted: Fitted) -> Facts:
    model, param, training = fitted.model, fitted.untrained.param, fitted.train_param
    preprocess = model.preprocess_param
    rows = [
        ("detector", settings.model_choice.detector),
        ("backbone", f"{param.backbone}, levels {', '.join(map(str, param.levels))}"),
        ("embedding", f"{model.network.embedding.projection.shape[1]} dimensions"),
        ("model input", _size(model)),
        _pictures(model),
    ]
    if preprocess.domain is not None:
        left, top, right, bottom = preprocess.domain.bounds
        box = f"x {left:g} to {right:g}, y {top:g} to {bottom:g}"
        rows.append(("domain", f"{preprocess.domain_handling}, {box}"))
    if preprocess.normalization_type != "constant_values":
        rows.append(("normalization", preprocess.normalization_type))
    if param.detector == "patchcore":
        rows.append(("memory bank", f"{param.coreset} patches"))
    if param.detector == "student":
        epochs = f"{len(fitted.result.errors)} of {fitted.result.num_epochs}"
        rows.append(("student", f"complexity {param.complexity}, {epochs} epochs, best {fitted.result.best_epoch}"))
    if training.domain_ratio != 1:
        rows.append(("domain ratio", f"{training.domain_ratio:g}"))
    if training.regularization_noise:
        rows.append(("noise on the features", f"{training.regularization_noise:g}"))
    if training.augmentation is not None:
        rows.append(("augmentation", settings.augment or ""))
    if settings.threshold_method == "ok_only":
        rows.append(("false rejects asked for", f"{settings.max_false_rejects:.3g}"))
    if fitted.dropped:
        rows.append(("suspects left out", ", ".join(suspect.sample.image_file_name for suspect in fitted.dropped)))
    return [
        *rows,
        ("score", _rule(param)),
        ("seed", str(settings.seed)),
    ]


def _pictures(model: AnomalyModel) -> tuple[str, str]:
    """Which pictures the model takes."""
    typical = model.geometry
    channels = "colour" if typical.channels == 3 else "gray"  # noqa: PLR2004
    size = f"{typical.width} x {typical.height} px"
    if typical.rule == "one-camera":
        return "camera image", f"{size}, {channels}"
    return "images", f"of any size and aspect (geometry any), {channels}; the median aspect is that of {size}"


def _rule(param: DLModelParam) -> str:
    rule = param.score_rule
    if rule.top_share is not None:
        return f"mean of the highest {rule.top_share:.1%} of the map"
    if rule.standard_deviation_factor is not None:
        return f"mean of what lies {rule.standard_deviation_factor:g} standard deviations above the map's mean"
    return "highest value of the map"


def _provenance(settings: FitSettings, fitted: Fitted, outcome: FitOutcome) -> Facts:
    dataset = fitted.dataset
    groups = len({sample.group for sample in dataset.samples if sample.group is not None})
    return [
        ("version", fitted.model.version),
        ("data set SHA-256", dataset.digest),
        ("images", f"{len(dataset.train)} fit, {len(dataset.validation)} held out, {len(dataset.test)} test"),
        *([("groups", f"{groups}, none of which is on two sides")] if groups and settings.group_by != "none" else []),
        ("weights SHA-256", SOURCES[fitted.untrained.param.backbone].sha256),
        ("time and memory", f"fit {outcome.fit_seconds:.1f} s, {outcome.peak_rss_mb:.0f} MB"),
        ("software", ", ".join(f"{name} {version}" for name, version in _versions().items())),
    ]


def _versions() -> dict[str, Any]:
    versions = {"Python": platform.python_version()}
    for name in ("line-inspector", "torch", "numpy", "opencv-python-headless"):
        # Run from a checkout, the project itself is not installed.
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions
