"""What the report says about a fit besides its pictures: the parameters, and the origin of the model."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform

from inspector.anomaly.model.model import AnomalyModel
from inspector.anomaly.model.param import DEFAULT_FEATURE_NORMALIZATION, DLModelParam
from inspector.anomaly.network.weights import weights_digest
from inspector.anomaly.preprocess.param import DLPreprocessParam
from trainer.report.page import Facts
from trainer.settings.commands import FitSettings
from trainer.training.train_param import CAMERA_TOLERANCE
from trainer.wording import as_percent
from trainer.workflow.outcome import FitOutcome
from trainer.workflow.procedures import Fitted


def input_size_of(model: AnomalyModel) -> str:
    """The size of the network's input, in words."""
    return f"{model.input_size[0]} x {model.input_size[1]} px"


def parameters_of(settings: FitSettings, fitted: Fitted) -> Facts:
    """What the model was asked to be and how it was trained, a row each."""
    model, param, training = fitted.model, fitted.untrained.param, fitted.train_param
    preprocess = model.preprocess_param
    rows = [
        ("detector", param.detector),
        ("backbone", f"{param.backbone}, levels {', '.join(map(str, param.levels))}"),
        ("embedding", f"{model.network.embedding.part_dims} dimensions"),
        ("model input", input_size_of(model)),
        _pictures(model),
        *_tiles(preprocess),
    ]
    if preprocess.domain is not None:
        left, top, right, bottom = preprocess.domain.bounds
        box = f"x {left:g} to {right:g}, y {top:g} to {bottom:g}"
        rows.append(("domain", f"{preprocess.domain_handling}, {box}"))
    if preprocess.apply_exif:
        rows.append(("orientation", "turned upright as EXIF says"))
    if preprocess.normalization_type != "constant_values":
        rows.append(("normalization", preprocess.normalization_type))
    rows += _detector(fitted)
    if training.domain_ratio != 1:
        rows.append(("domain ratio", f"{training.domain_ratio:g}"))
    if training.regularization_noise:
        rows.append(("noise on the features", f"{training.regularization_noise:g}"))
    if training.camera_tolerance not in (None, CAMERA_TOLERANCE):
        rows.append(("camera tolerance", f"{training.camera_tolerance:g}"))
    if training.augmentation is not None:
        rows.append(("augmentation", settings.augment or ""))
    if settings.threshold_method == "ok_only":
        rows.append(_asked(settings))
    if fitted.dropped:
        rows.append(("suspects left out", ", ".join(suspect.sample.image_file_name for suspect in fitted.dropped)))
    return [
        *rows,
        ("score", _rule(param)),
        ("seed", str(settings.seed)),
    ]


def _detector(fitted: Fitted) -> Facts:
    """What is said of its parts, where it has them."""
    param = fitted.untrained.param
    rows: list[tuple[str, str]] = []
    if param.feature_normalization != DEFAULT_FEATURE_NORMALIZATION[param.detector]:
        rows.append(("features normalized by", param.feature_normalization))
    if param.detector in ("patchcore", "fused"):
        rows.append(("memory bank", f"{param.coreset} patches"))
    if param.detector == "student":
        epochs = f"{len(fitted.result.errors)} of {fitted.result.num_epochs}"
        rows.append(("student", f"complexity {param.complexity}, {epochs} epochs, best {fitted.result.best_epoch}"))
    return rows


def _asked(settings: FitSettings) -> tuple[str, str]:
    """The share of false rejects that was asked for, on average or as a bound."""
    if settings.max_false_rejects is None:
        return "false rejects asked for", f"{as_percent(settings.false_rejects)} on average"
    at = as_percent(settings.confidence)
    return "false rejects asked for", f"{as_percent(settings.max_false_rejects)} at most, with {at} confidence"


def _pictures(model: AnomalyModel) -> tuple[str, str]:
    """Which pictures the model takes."""
    typical = model.geometry
    channels = "colour" if typical.channels == 3 else "gray"  # noqa: PLR2004
    size = f"{typical.width} x {typical.height} px"
    if typical.rule == "one-camera":
        return "camera image", f"{size}, {channels}"
    return "images", f"of any size and aspect (geometry any), {channels}; the median aspect is that of {size}"


def _tiles(param: DLPreprocessParam) -> Facts:
    """What pictures are cut into, where they are."""
    tile = param.tile
    return [] if tile is None else [("tiles", f"{tile.width} x {tile.height} px, overlapping by {tile.overlap} px")]


def _rule(param: DLModelParam) -> str:
    rule = param.score_rule
    if rule.top_share is not None:
        return f"mean of the highest {rule.top_share:.1%} of the map"
    if rule.standard_deviation_factor is not None:
        return f"mean of what lies {rule.standard_deviation_factor:g} standard deviations above the map's mean"
    return "highest value of the map"


def provenance_of(settings: FitSettings, fitted: Fitted, outcome: FitOutcome) -> Facts:
    """What the model was made of and by what, a row each."""
    dataset = fitted.dataset
    groups = len({sample.group for sample in dataset.samples if sample.group is not None})
    return [
        ("version", fitted.model.version),
        ("data set SHA-256", dataset.digest),
        ("files", outcome.tally.sentence),
        ("images", f"{len(dataset.train)} fit, {len(dataset.validation)} held out, {len(dataset.test)} test"),
        *([("groups", f"{groups}, none of which is on two sides")] if groups and settings.group_by != "none" else []),
        *([("unreadable, left out", "; ".join(dataset.unreadable))] if dataset.unreadable else []),
        ("weights SHA-256", weights_digest(fitted.untrained.param.backbone, fitted.untrained.param.weights)),
        ("time and memory", f"fit {outcome.fit_seconds:.1f} s, {outcome.peak_rss_mb:.0f} MB"),
        ("software", ", ".join(f"{name} {version}" for name, version in versions().items())),
    ]


def versions() -> dict[str, str]:
    """Of Python and of the packages that decide a model's numbers, by name."""
    versions = {"Python": platform.python_version()}
    for name in ("line-inspector", "torch", "timm", "numpy", "opencv-python-headless"):
        # Run from a checkout, the project itself is not installed; timm is optional.
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions
