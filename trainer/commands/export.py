"""Write what a fit leaves behind as a whole: the bundle, with its record, its report and its evaluation inside."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.model.bundle import write_dl_model
from inspector.anomaly.model.manifest import Records
from inspector.anomaly.model.model import AnomalyModel
from inspector.anomaly.model.param import DLModelParam
from inspector.anomaly.network.weights import SOURCES
from inspector.anomaly.preprocess.image import decode_image
from trainer.commands.outcome import FitOutcome
from trainer.dataset.dataset import DLDataset
from trainer.dataset.files import READ_LIMITS, read_samples
from trainer.display.picture import shrink
from trainer.errors import DatasetError
from trainer.evaluation.as_json import figures_as_json, halcon_as_json
from trainer.evaluation.scoring import score_images
from trainer.prepare.split import DLSplit
from trainer.progress import StageProgress
from trainer.report.gallery import ScoredSample, draw_picture, gallery, glance
from trainer.report.page import Facts, InspectedImage, Report, render_report
from trainer.settings.commands import FitSettings
from trainer.training.train import DLTrainResult
from trainer.training.train_param import DLTrainParam

REPORT_NAME = "report.html"
EVALUATION_NAME = "evaluation.json"

_TITLES = {"padim": "PaDiM", "patchcore": "PatchCore", "student": "Student"}
_GOLDEN_IMAGES = 3
_GOLDEN_SIDE = 512


@dataclass(frozen=True, slots=True)
class FittedModel:
    """A trained model, and what it was made of."""

    param: DLModelParam
    train_param: DLTrainParam
    result: DLTrainResult


def export(
    settings: FitSettings, split: DLSplit, fitted: FittedModel, outcome: FitOutcome, progress: StageProgress
) -> None:
    """Write the bundle, with report and evaluation inside.

    Raises:
        BundleError: It cannot be written.
        DatasetError: An image that is drawn cannot be read any more.
    """
    created_at, model = datetime.now(UTC), fitted.result.model
    report = _report(settings, split, fitted, outcome, created_at, progress)
    files = {REPORT_NAME: render_report(report).encode()}
    if outcome.evaluation is not None:
        document = {"figures": figures_as_json(outcome.evaluation), "halcon": halcon_as_json(outcome.evaluation)}
        files[EVALUATION_NAME] = json.dumps(document, indent=1, allow_nan=False).encode()
    write_dl_model(
        settings.out,
        model,
        created_at=created_at.isoformat(timespec="seconds"),
        golden_images=_golden_images(split, model),
        overwrite=settings.overwrite,
        records=_records(settings, split, fitted, outcome),
        extra_files=files,
    )


def _records(settings: FitSettings, split: DLSplit, fitted: FittedModel, outcome: FitOutcome) -> Records:
    calibration, result = outcome.calibration, fitted.result
    return Records(
        calibration={
            "method": split.method,
            "threshold_method": settings.threshold_method,
            "rule": calibration.explanation,
            "n": len(calibration.scores),
            "false_reject_bound": calibration.false_reject_bound,
            "confidence": calibration.confidence,
            "max_false_rejects": calibration.max_false_rejects,
        },
        training={
            "model_param": fitted.param.model_dump(mode="json"),
            "train_param": fitted.train_param.model_dump(mode="json"),
            "errors": list(result.errors),
            "best_epoch": result.best_epoch,
            "best_error": result.best_error,
            "stopped_early": result.stopped_early,
            "dataset_digest": split.dataset.digest,
            "n_train": len(split.train),
            "max_train": settings.max_train,
            "weights_sha256": SOURCES[fitted.param.backbone].sha256,
            "versions": _versions(),
        },
        metrics={key: value for key, value in outcome.as_json().items() if key not in {"bundle", "report"}},
    )


def _golden_images(split: DLSplit, model: AnomalyModel) -> list[NDArray[np.uint8]]:
    """A few training pictures for the loader to score; shrunk, so that the bundle stays small.

    Own preprocessing steps are promised the camera's full scale: with them the pictures stay as they are.
    """
    param = model.preprocess_param
    paths = [split.dataset.image_path(sample) for sample in split.train[:_GOLDEN_IMAGES]]
    images = [sample.image for batch in read_samples(paths, param) for sample in batch]
    if param.preprocess_steps:
        return images
    return [shrink(image, max(_GOLDEN_SIDE, *param.input_size)) for image in images]


class _Drawer:
    """Pictures of samples, each drawn once."""

    def __init__(self, dataset: DLDataset, model: AnomalyModel, progress: StageProgress) -> None:
        self._dataset = dataset
        self._model = model
        self._progress = progress
        self._drawn: dict[int, InspectedImage] = {}

    def __call__(self, scored: ScoredSample) -> InspectedImage:
        key = scored.sample.image_id
        if key not in self._drawn:
            self._drawn[key] = self._draw(scored)
            self._progress("report", len(self._drawn), len(self._drawn))
        return self._drawn[key]

    def _draw(self, scored: ScoredSample) -> InspectedImage:
        path = self._dataset.image_path(scored.sample)
        (image,) = score_images(self._model, [path])
        if image.result is None:
            raise DatasetError(f"image {path} {image.error}; it was readable before")
        mask = self._dataset.read_mask(scored.sample)
        return draw_picture(scored, decode_image(path.read_bytes(), limits=READ_LIMITS).image, image.result, mask)


def _report(
    settings: FitSettings,
    split: DLSplit,
    fitted: FittedModel,
    outcome: FitOutcome,
    created_at: datetime,
    progress: StageProgress,
) -> Report:
    model, result = fitted.result.model, fitted.result
    draw = _Drawer(split.dataset, model, progress)
    scores = outcome.evaluation.anomaly_scores if outcome.evaluation else ()
    tested = [ScoredSample(sample, score) for sample, score in zip(split.test, scores, strict=True)]
    by_label: dict[str, list[float]] = {"ok": [], "nok": []}
    for scored in tested:
        by_label[scored.sample.image_label].append(scored.anomaly_score)
    is_curve = len(result.errors) > 1
    return Report(
        name=model.name,
        dataset=str(settings.source),
        detector=f"{_TITLES[settings.model_choice.detector]} on {settings.model_choice.backbone}, {_size(model)}",
        created_at=f"{created_at:%Y-%m-%d %H:%M} UTC",
        n_train=len(split.train),
        calibration=outcome.calibration,
        test_ok=by_label["ok"],
        test_nok=by_label["nok"],
        evaluation=outcome.evaluation,
        rows=gallery(tested, _held_out(split, outcome), draw),
        grid=glance(tested, draw),
        training_errors=result.errors if is_curve else (),
        best_epoch=result.best_epoch if is_curve else None,
        warnings=outcome.warnings,
        notes=outcome.notes,
        parameters=_parameters(settings, fitted),
        provenance=_provenance(settings, split, fitted, outcome),
        has_masks=any(sample.anomaly_file_name for sample in split.test),
    )


def _held_out(split: DLSplit, outcome: FitOutcome) -> list[ScoredSample]:
    """The calibration images with their scores, where they alone calibrate."""
    if split.method != "held_out":
        return []
    samples = [s for s in split.dataset.samples if s.split == "validation" and s.image_label == "ok"]
    return [ScoredSample(s, score) for s, score in zip(samples, outcome.calibration.scores, strict=True)]


def _size(model: AnomalyModel) -> str:
    return f"{model.input_size[0]} x {model.input_size[1]} px"


def _parameters(settings: FitSettings, fitted: FittedModel) -> Facts:
    model, param, training = fitted.result.model, fitted.param, fitted.train_param
    preprocess = model.preprocess_param
    channels = "colour" if model.geometry.channels == 3 else "gray"  # noqa: PLR2004
    rows = [
        ("detector", settings.model_choice.detector),
        ("backbone", f"{param.backbone}, levels {', '.join(map(str, param.levels))}"),
        ("embedding", f"{model.network.embedding.projection.shape[1]} dimensions"),
        ("model input", _size(model)),
        ("camera image", f"{model.geometry.width} x {model.geometry.height} px, {channels}"),
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
    return [
        *rows,
        ("score", _rule(param)),
        ("seed", str(settings.seed)),
    ]


def _rule(param: DLModelParam) -> str:
    rule = param.score_rule
    if rule.top_share is not None:
        return f"mean of the highest {rule.top_share:.1%} of the map"
    if rule.standard_deviation_factor is not None:
        return f"mean of what lies {rule.standard_deviation_factor:g} standard deviations above the map's mean"
    return "highest value of the map"


def _provenance(settings: FitSettings, split: DLSplit, fitted: FittedModel, outcome: FitOutcome) -> Facts:
    groups = len({sample.group for sample in split.dataset.samples if sample.group is not None})
    return [
        ("version", fitted.result.model.version),
        ("data set SHA-256", split.dataset.digest),
        ("images", f"{len(split.train)} fit, {len(split.calibration)} held out, {len(split.test)} test"),
        *([("groups", f"{groups}, none of which is on two sides")] if groups and settings.group_by != "none" else []),
        ("weights SHA-256", SOURCES[fitted.param.backbone].sha256),
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
