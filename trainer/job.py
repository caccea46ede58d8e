"""The workflow of a fit: dataset > split > fit > calibrate > evaluate > export. The one module that knows the order."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import resource
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.bundle import write_dl_model
from inspector.anomaly.detectors.base import Detector
from inspector.anomaly.image import decode_image
from inspector.anomaly.manifest import MANIFEST_NAME, Records
from inspector.anomaly.model import AnomalyModel, FeatureNetwork, ModelIdentity
from inspector.anomaly.model_param import OWN_PARAMETERS
from inspector.anomaly.types import DLPreprocessParam
from inspector.anomaly.weights import SOURCES
from trainer.apply import score_images
from trainer.calibrate import image_distances, out_of_fold_distances, scale_and_thresholds
from trainer.config import FitSettings
from trainer.dataset import READ_LIMITS, DLDataset, DLDatasetSample, read_dl_dataset_anomaly, trained_geometry
from trainer.errors import DatasetError, OutputError
from trainer.evaluate import evaluate_dl_model
from trainer.evaluation import EvaluationResult
from trainer.features import build_network, default_input_size, extract_features, read_samples
from trainer.fit import DLTrainParam, create_dl_train_param, train_dl_model
from trainer.gallery import ScoredSample, draw_picture, gallery, glance
from trainer.outcome import FitOutcome
from trainer.progress import StageProgress
from trainer.report import Calibration, Picture, Report, render_report, shrink
from trainer.split import DLSplit, SplitParam, split_dl_dataset
from trainer.threshold_estimate import OkOnlyParam, ThresholdEstimate, estimate_threshold

REPORT_NAME = "report.html"
MIN_AREA_SHARE = 1e-4
"""Smaller spots than this share of the picture are left out of a region."""
_TITLES = {"padim": "PaDiM", "patchcore": "PatchCore"}
_GOLDEN_IMAGES = 3
_GOLDEN_SIDE = 512


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A fitted detector and what it took."""

    network: FeatureNetwork
    detector: Detector
    train_param: DLTrainParam
    seconds: float


@dataclass(frozen=True, slots=True)
class _Tested:
    """What the model made of the test images."""

    scored: tuple[ScoredSample, ...]
    evaluation: EvaluationResult | None


def run_fit(settings: FitSettings, progress: StageProgress) -> FitOutcome:
    """Learn from a folder of images and write a bundle with its report.

    Raises:
        TrainerError: An image, a setting or the place of the bundle is refused; nothing is written.
        AnomalyError: The weights are missing, or the bundle cannot be written.
    """
    started = time.perf_counter()
    _check_out(settings)
    dataset = read_dl_dataset_anomaly(
        settings.images,
        settings.anomaly_dir,
        all_ok=settings.all_ok,
        progress=progress,
    )
    split = split_dl_dataset(dataset, seed=settings.seed, param=SplitParam(max_train=settings.max_train))
    fitted, distances = _fit_and_calibrate(settings, split, progress)
    param = OkOnlyParam(max_false_rejects=settings.max_false_rejects)
    estimate = estimate_threshold(distances, param, folds=split.num_folds)
    model = _assemble(settings, split.dataset, fitted, estimate)
    calibration = _calibration(split, model, estimate, distances)
    tested = _test(model, split, progress)
    outcome = FitOutcome(
        name=model.name,
        bundle=settings.out,
        report=settings.out / REPORT_NAME,
        detector=settings.detector,
        image_width=model.input_size[0],
        image_height=model.input_size[1],
        seed=settings.seed,
        n_train=len(split.train),
        n_test=len(split.test),
        calibration=calibration,
        evaluation=tested.evaluation,
        fit_seconds=fitted.seconds,
        job_seconds=time.perf_counter() - started,
        peak_rss_mb=_peak_rss_mb(),
        warnings=_warnings(split, estimate, tested.evaluation),
        notes=split.dataset.notes,
    )
    _export(settings, split, fitted, model, tested, outcome)
    return outcome


def _check_out(settings: FitSettings) -> None:
    """Refuse before an hour is spent; and never replace a folder that is not a bundle."""
    out = settings.out
    if not out.exists():
        return
    if not settings.overwrite:
        raise OutputError(f"{out} exists already; give another folder to --out, or pass --overwrite")
    if not (out / MANIFEST_NAME).is_file():
        raise OutputError(f"{out} is not a model bundle (it has no {MANIFEST_NAME}), so it is not overwritten")


def _fit_and_calibrate(
    settings: FitSettings, split: DLSplit, progress: StageProgress
) -> tuple[_Fitted, NDArray[np.float64]]:
    """The shipped detector, and the raw distances of ok images from detectors that had not seen them."""
    started = time.perf_counter()
    width, height = default_input_size(trained_geometry(split.dataset.samples))
    preprocess_param = DLPreprocessParam(image_width=settings.width or width, image_height=settings.height or height)
    train_param = create_dl_train_param(settings.detector, coreset=settings.coreset, seed=settings.seed)
    paths = [split.dataset.image_path(sample) for sample in split.train]
    network = build_network(
        paths,
        preprocess_param,
        backbone=train_param.backbone,
        levels=train_param.levels,
        grid_level=train_param.grid_level,
        dims=train_param.embedding_dims,
        seed=settings.seed,
    )
    embedded = extract_features(paths, network, progress)
    detector = train_dl_model(embedded, train_param, progress)
    fitted = _Fitted(network, detector, train_param, time.perf_counter() - started)
    distances = [_held_out_distances(split, fitted, progress)]
    if split.method == "out_of_fold":
        distances.append(out_of_fold_distances(embedded, split.folds, train_param, progress))
    return fitted, np.concatenate(distances)


def _held_out_distances(split: DLSplit, fitted: _Fitted, progress: StageProgress) -> NDArray[np.float64]:
    """Raw distances of the calibration images, batch by batch."""
    paths = [split.dataset.image_path(sample) for sample in split.calibration]
    parts = [np.empty(0, dtype=np.float64)]
    done = 0
    for batch in read_samples(paths, fitted.network.preprocess_param):
        maps = fitted.detector.distances(fitted.network.embed([sample.image for sample in batch]))
        parts.append(image_distances(maps.cpu(), fitted.train_param.rule))
        done += len(batch)
        progress("calibrate", done, len(paths))
    return np.concatenate(parts)


def _assemble(settings: FitSettings, dataset: DLDataset, fitted: _Fitted, estimate: ThresholdEstimate) -> AnomalyModel:
    geometry = trained_geometry(dataset.samples)
    min_area = max(1, round(MIN_AREA_SHARE * geometry.width * geometry.height))
    scale, thresholds = scale_and_thresholds(estimate, min_area=min_area)
    name = settings.name or settings.out.resolve().name
    return AnomalyModel(
        identity=ModelIdentity(name, f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}", ""),
        network=fitted.network,
        detector=fitted.detector,
        scale=scale,
        rule=fitted.train_param.rule,
        geometry=geometry,
        thresholds=thresholds,
        fitted_with={name: getattr(fitted.train_param, name) for name in OWN_PARAMETERS[settings.detector]},
    )


def _calibration(
    split: DLSplit, model: AnomalyModel, estimate: ThresholdEstimate, distances: NDArray[np.float64]
) -> Calibration:
    thresholds = model.thresholds
    if thresholds is None:
        raise OutputError("the model was assembled without thresholds")
    return Calibration(
        method=split.method,
        scores=tuple(model.scale.to_score(float(distance)) for distance in distances),
        classification_threshold=thresholds.classification,
        segmentation_threshold=thresholds.segmentation,
        false_reject_bound=estimate.false_reject_bound,
        confidence=estimate.confidence,
        max_false_rejects=estimate.max_false_rejects,
        folds=max(split.folds, default=-1) + 1,
        explanation=estimate.explanation,
    )


def _test(model: AnomalyModel, split: DLSplit, progress: StageProgress) -> _Tested:
    """Measure the model on the test images."""
    if not split.test:
        return _Tested((), None)
    evaluation = evaluate_dl_model(
        split.dataset, model, "image_ids", [sample.image_id for sample in split.test], progress=progress
    )
    scored = zip(split.test, evaluation.anomaly_scores, strict=True)
    return _Tested(tuple(ScoredSample(sample, score) for sample, score in scored), evaluation)


def _warnings(split: DLSplit, estimate: ThresholdEstimate, evaluation: EvaluationResult | None) -> tuple[str, ...]:
    warnings = [*split.warnings]
    if estimate.warning:
        warnings.append(estimate.warning)
    if evaluation and evaluation.false_rejects.low > estimate.false_reject_bound:
        rejects = evaluation.false_rejects
        warnings.append(
            f"{rejects.count} of {rejects.total} ok test images are rejected, more than the bound of "
            f"{estimate.false_reject_bound:.1%} allows by chance: they differ from the images it was learnt from"
        )
    return tuple(warnings)


def _export(
    settings: FitSettings, split: DLSplit, fitted: _Fitted, model: AnomalyModel, tested: _Tested, outcome: FitOutcome
) -> None:
    """Write the bundle, with the report inside, as a whole."""
    created_at = datetime.now(UTC)
    metrics = {key: value for key, value in outcome.as_json().items() if key not in {"bundle", "report"}}
    records = Records(
        calibration={
            "method": split.method,
            "rule": outcome.calibration.explanation,
            "n": len(outcome.calibration.scores),
            "false_reject_bound": outcome.calibration.false_reject_bound,
            "confidence": outcome.calibration.confidence,
            "max_false_rejects": outcome.calibration.max_false_rejects,
        },
        training={
            "train_param": fitted.train_param.model_dump(mode="json"),
            "dataset_digest": split.dataset.digest,
            "n_train": len(split.train),
            "max_train": settings.max_train,
            "weights_sha256": SOURCES[fitted.train_param.backbone].sha256,
            "versions": _versions(),
        },
        metrics=metrics,
    )
    report = _report(settings, split, fitted, model, tested, outcome, created_at)
    write_dl_model(
        settings.out,
        model,
        created_at=created_at.isoformat(timespec="seconds"),
        golden_images=_golden_images(split, model),
        overwrite=settings.overwrite,
        records=records,
        extra_files={REPORT_NAME: render_report(report).encode()},
    )


def _golden_images(split: DLSplit, model: AnomalyModel) -> list[NDArray[np.uint8]]:
    """A few training pictures for the loader to score; shrunk, so that the bundle stays small."""
    param = model.preprocess_param
    paths = [split.dataset.image_path(sample) for sample in split.train[:_GOLDEN_IMAGES]]
    return [shrink(s.image, max(_GOLDEN_SIDE, *param.input_size)) for b in read_samples(paths, param) for s in b]


def _report(
    settings: FitSettings,
    split: DLSplit,
    fitted: _Fitted,
    model: AnomalyModel,
    tested: _Tested,
    outcome: FitOutcome,
    created_at: datetime,
) -> Report:
    dataset = split.dataset

    drawn: dict[int, Picture] = {}

    def draw(scored: ScoredSample) -> Picture:
        if scored.sample.image_id not in drawn:
            drawn[scored.sample.image_id] = draw_anew(scored)
        return drawn[scored.sample.image_id]

    def draw_anew(scored: ScoredSample) -> Picture:
        path = dataset.image_path(scored.sample)
        (image,) = score_images(model, [path])
        if image.result is None:
            raise DatasetError(f"image {path} {image.error}; it was readable before")
        mask = dataset.read_mask(scored.sample)
        return draw_picture(scored, decode_image(path.read_bytes(), limits=READ_LIMITS).image, image.result, mask)

    by_label: dict[str, list[float]] = {"ok": [], "nok": []}
    for scored in tested.scored:
        by_label[scored.sample.image_label].append(scored.anomaly_score)
    held_out = _held_out(split.calibration, outcome) if split.method == "held_out" else []
    param = fitted.train_param
    width, height = model.input_size
    channels = "colour" if model.geometry.channels == 3 else "gray"  # noqa: PLR2004
    return Report(
        name=model.name,
        dataset=str(settings.images),
        detector=f"{_TITLES[settings.detector]} on {param.backbone}, {width} x {height} px",
        created_at=f"{created_at:%Y-%m-%d %H:%M} UTC",
        n_train=len(split.train),
        calibration=outcome.calibration,
        test_ok=by_label["ok"],
        test_nok=by_label["nok"],
        evaluation=tested.evaluation,
        rows=gallery(tested.scored, held_out, draw),
        grid=glance(tested.scored, draw),
        warnings=outcome.warnings,
        notes=outcome.notes,
        parameters=[
            ("detector", settings.detector),
            ("backbone", f"{param.backbone}, levels {', '.join(map(str, param.levels))}"),
            ("embedding", f"{model.network.embedding.projection.shape[1]} dimensions"),
            ("model input", f"{width} x {height} px"),
            ("camera image", f"{model.geometry.width} x {model.geometry.height} px, {channels}"),
            *([("memory bank", f"{param.coreset} patches")] if settings.detector == "patchcore" else []),
            ("score", f"mean of the highest {param.top_share:.1%} of the map"),
            ("false rejects asked for", f"{settings.max_false_rejects:.3g}"),
            ("seed", str(settings.seed)),
        ],
        provenance=[
            ("version", model.version),
            ("data set SHA-256", dataset.digest),
            ("images", f"{len(split.train)} fit, {len(split.calibration)} held out, {len(split.test)} test"),
            ("weights SHA-256", SOURCES[param.backbone].sha256),
            ("time and memory", f"fit {outcome.fit_seconds:.1f} s, {outcome.peak_rss_mb:.0f} MB"),
            ("software", ", ".join(f"{name} {version}" for name, version in _versions().items())),
        ],
        has_masks=any(sample.anomaly_file_name for sample in split.test),
    )


def _held_out(samples: tuple[DLDatasetSample, ...], outcome: FitOutcome) -> list[ScoredSample]:
    return [ScoredSample(s, score) for s, score in zip(samples, outcome.calibration.scores, strict=True)]


def _versions() -> dict[str, str]:
    versions = {"Python": platform.python_version()}
    for name in ("line-inspector", "torch", "numpy", "opencv-python-headless"):
        # Run from a checkout, the project itself is not installed.
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _peak_rss_mb() -> float:
    """Largest resident size of this process so far; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
