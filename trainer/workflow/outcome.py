"""The outcome of a fit, as the command prints it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trainer.calibration.calibration import Calibration
from trainer.calibration.cost import ThresholdCost
from trainer.comparison.against import Comparison
from trainer.evaluation.as_json import figures_as_json
from trainer.evaluation.result import EvaluationResult
from trainer.listing.tally import Tally
from trainer.rates import Rate
from trainer.selection.result import ModelSelection
from trainer.wording import as_figure, as_percent, some
from trainer.workflow.suspects import NamedImage


@dataclass(frozen=True, slots=True)
class FitOutcome:
    """The bundle of a fit and the figures about it."""

    name: str
    bundle: Path
    report: Path
    detector: str
    backbone: str
    image_width: int
    image_height: int
    seed: int
    n_train: int
    n_test: int
    calibration: Calibration
    evaluation: EvaluationResult | None
    """None where there are no test images."""
    num_epochs: int
    """Epochs that were trained; 1 for a detector that learns in one pass."""
    best_epoch: int
    best_error: float
    fit_seconds: float
    """Features of the training images and the detector's fit; not reading, calibration or evaluation."""
    job_seconds: float
    peak_rss_mb: float
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    suspects: tuple[NamedImage, ...] = ()
    """Ok images that look unlike the others."""
    dropped: tuple[NamedImage, ...] = ()
    """Ok images that were left out, as `--drop-suspects` asks."""
    unreadable: tuple[str, ...] = ()
    """Images that were left out since they cannot be read, as `--skip-unreadable` asks, each with its reason."""
    cost: ThresholdCost | None = None
    """None where there are no defects, real or synthetic."""
    selection: ModelSelection | None = None
    """How the model was chosen; None where the settings say which."""
    comparison: Comparison | None = None
    """With the model in use; None where none was given."""
    tally: Tally = field(default_factory=Tally)
    """Of the files that the source holds; a suspect that was dropped was taken first."""

    def as_json(self) -> dict[str, Any]:
        """The object that `trainer fit --json` prints; null where there are no test images to say."""
        calibration = self.calibration
        return {
            "name": self.name,
            "detector": self.detector,
            "backbone": self.backbone,
            "image_width": self.image_width,
            "image_height": self.image_height,
            "seed": self.seed,
            **figures_as_json(self.evaluation),
            "n_train": self.n_train,
            "n_calibration": len(calibration.scores),
            "n_test": self.n_test,
            "threshold": calibration.classification_threshold,
            "segmentation_threshold": calibration.segmentation_threshold,
            "calibration_method": calibration.method,
            "false_rejects_on_average": calibration.false_rejects,
            "false_reject_bound": calibration.false_reject_bound,
            "confidence": calibration.confidence,
            "n_groups": calibration.n_groups,
            "above_threshold": [
                {"image_file_name": image.sample.image_file_name, "anomaly_score": image.anomaly_score}
                for image in calibration.above
            ],
            "cost": self.cost and _cost_as_json(self.cost),
            "num_epochs": self.num_epochs,
            "best_epoch": self.best_epoch,
            "best_error": self.best_error,
            "fit_seconds": round(self.fit_seconds, 3),
            "job_seconds": round(self.job_seconds, 3),
            "peak_rss_mb": round(self.peak_rss_mb, 1),
            "bundle": str(self.bundle),
            "report": str(self.report),
            "unreadable": list(self.unreadable),
            "suspects": [asdict(image) for image in self.suspects],
            "dropped_suspects": [asdict(image) for image in self.dropped],
            "selection": self.selection and self.selection.as_json(),
            "comparison": self.comparison and self.comparison.as_json(),
            "warnings": list(self.warnings),
            "notes": list(self.notes),
            "files": self.tally.as_json(),
        }

    def summary(self) -> list[tuple[str, str]]:
        """Rows of the table that `trainer fit` prints."""
        calibration = self.calibration
        held_out = calibration.method == "held_out"
        method, known = ("of held-out images", "proven") if held_out else ("by cross-validation", "estimated")
        rows = [
            ("trained on", f"{self.n_train} ok images, {self.detector}, {self.image_width}x{self.image_height} px"),
            (
                "threshold",
                f"{calibration.classification_threshold:.4f}, from {len(calibration.scores)} scores {method}",
            ),
            ("false rejects", _promise(calibration, known)),
        ]
        if self.tally.seen:
            rows.insert(0, ("files", self.tally.sentence))
        if self.selection is not None:
            rows.insert(0, ("chosen", self.selection.sentence))
        if calibration.above:
            names = some(image.sample.image_file_name for image in calibration.above)
            rows.append(("ok above threshold", f"{len(calibration.above)} of these {len(calibration.scores)}: {names}"))
        if self.num_epochs > 1:
            rows.append(("error", f"{self.best_error:.4f} in epoch {self.best_epoch} of {self.num_epochs}"))
        if self.evaluation is None:
            rows.append(("test", "no test images, so it is not known how many defects the model finds"))
        else:
            rows += _test_rows(self.evaluation)
        if self.cost is not None:
            rows.append(("what that costs", self.cost.sentence))
        if self.comparison is not None:
            rows.append(("no worse", self.comparison.sentence))
        if self.dropped:
            rows.append(("left out", ", ".join(image.image_file_name for image in self.dropped)))
        return [
            *rows,
            ("time and memory", f"fit {self.fit_seconds:.1f} s of {self.job_seconds:.1f} s, {self.peak_rss_mb:.0f} MB"),
        ]


def _promise(calibration: Calibration, known: str) -> str:
    """The share that is rejected on average, where that was asked for, and how sure it is."""
    average = calibration.false_rejects
    mean = "" if average is None else f"{as_percent(average)} on average; "
    of = "" if calibration.n_groups is None else f", for images of other groups (from {calibration.n_groups} groups)"
    bound = f"{as_percent(calibration.false_reject_bound)} at most with {as_percent(calibration.confidence)} confidence"
    return f"{mean}{bound}, {known}{of}"


def _cost_as_json(cost: ThresholdCost) -> dict[str, Any]:
    """What other shares of false rejects buy."""
    return {
        "defects": cost.source,
        "n_defects": cost.found.total,
        "found": cost.found.rate,
        "rates": [
            {
                "false_rejects_on_average": one.false_rejects,
                "threshold": one.threshold,
                "found": one.found.rate,
                "ok_test_rejected": one.rejected.rate,
            }
            for one in cost.rates
        ],
    }


def _test_rows(evaluation: EvaluationResult) -> list[tuple[str, str]]:
    figures = {
        "image AUROC": evaluation.image_auroc,
        "image AP": evaluation.image_ap,
        "pixel AUROC": evaluation.pixel_auroc,
        "AUPRO": evaluation.aupro,
    }
    rows = [(name, as_figure(value, 4)) for name, value in figures.items() if value is not None]
    missed, rejected = evaluation.missed, evaluation.false_rejects
    if missed.total:
        rows.append(("nok found", f"{missed.total - missed.count} of {missed.total} ({as_percent(evaluation.recall)})"))
    if rejected.total:
        rows.append(("ok rejected", f"{rejected.count} of {rejected.total} ({_interval(rejected)})"))
    return rows


def _interval(rate: Rate) -> str:
    return f"95\u00a0% interval {as_percent(rate.low)} to {as_percent(rate.high)}"
