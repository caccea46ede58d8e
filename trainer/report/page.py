"""The page that a fit writes: one self-contained HTML file, for the people who are responsible for the line.

Pictures are part of the page and there is no script, so it can be archived, mailed and printed.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup
from numpy.typing import NDArray

from inspector.anomaly.choices import AnomalyClass
from trainer.calibration.calibration import Calibration
from trainer.calibration.cost import ThresholdCost
from trainer.charts.inline import pie_charts, score_curves, score_histogram, training_curve
from trainer.charts.rows import ScoreRow
from trainer.display.picture import data_uri
from trainer.evaluation.confusion import precision_shares, recall_shares
from trainer.evaluation.result import EvaluationResult
from trainer.report.selection import SelectionSection
from trainer.wording import as_figure, as_percent, some

THUMBNAIL_SIDE = 220
"""Longest side of a picture in the grid, pixels."""
NAMES_SHOWN = 40
"""Of the images above the threshold; `trainer fit --json` names more."""
_WIDE = 1.25

Facts = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class InspectedImage:
    """One inspected image as the report shows it; both arrays are (H, W) gray or (H, W, 3) RGB uint8, of one size."""

    name: str
    label: AnomalyClass
    anomaly_score: float
    is_rejected: bool
    outlined: NDArray[np.uint8]
    """The image with the outlines of its regions."""
    heat_map: NDArray[np.uint8]
    is_suspect: bool = False
    """Whether the label is in doubt."""

    @property
    def verdict(self) -> str:
        """What the model decided, and whether that is wrong; of an image whose label is in doubt, just that."""
        if self.is_suspect:
            return "suspect"
        decided = "nok" if self.is_rejected else "ok"
        if decided == self.label:
            return decided
        return "false reject" if self.is_rejected else "missed"

    @property
    def is_wrong(self) -> bool:
        """Whether verdict and label differ."""
        return self.is_rejected == (self.label == "ok")


@dataclass(frozen=True, slots=True)
class PictureRow:
    """Pictures under one heading."""

    title: str
    text: str
    pictures: Sequence[InspectedImage]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything on the page."""

    name: str
    dataset: str
    detector: str
    created_at: str
    n_train: int
    calibration: Calibration
    test_ok: Sequence[float] = ()
    test_nok: Sequence[float] = ()
    evaluation: EvaluationResult | None = None
    cost: ThresholdCost | None = None
    """What the threshold finds and others would; None where there are no defects."""
    rows: Sequence[PictureRow] = ()
    grid: Sequence[InspectedImage] = ()
    """Test images at a glance, small."""
    training_errors: Sequence[float] = ()
    """The error of each epoch, of a detector that is trained over epochs."""
    best_epoch: int | None = None
    """Counted from 1; the one with the least error where None."""
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()
    parameters: Facts = ()
    provenance: Facts = ()
    has_masks: bool = field(default=False)
    n_dropped: int = 0
    """Suspects that were left out."""
    selection: SelectionSection | None = None
    """How the model was chosen; None where it was not."""

    @property
    def histogram(self) -> Markup:
        """The score histogram as SVG."""
        threshold = self.calibration.classification_threshold
        held = "held out" if self.calibration.method == "held_out" else "cross-validated"
        rows = [
            ScoreRow(f"ok, {held}", f"{len(self.calibration.scores)} images", "calibration", self.calibration.scores),
            ScoreRow("ok, test", _reached(self.test_ok, threshold, "rejected"), "ok", self.test_ok),
            ScoreRow("nok, test", _reached(self.test_nok, threshold, "found"), "nok", self.test_nok),
        ]
        # The module escapes what it is given; nothing in it comes from elsewhere.
        return Markup(score_histogram(rows, threshold))  # noqa: S704

    @property
    def measures(self) -> Facts:
        """Rows on how well scores and maps part the classes, beyond what the cards say; empty where they cannot tell."""
        evaluation = self.evaluation
        if evaluation is None:
            return ()
        rows = []
        if evaluation.image_ap is not None:
            rows.append(("average precision of nok images", as_figure(evaluation.image_ap)))
        if (best := evaluation.image_f1_max) is not None:
            rows.append(("best F1 of any threshold", f"{as_figure(best.value)}, at {as_figure(best.threshold, 4)}"))
        for at in evaluation.recall_at:
            found = at.recall
            interval = f"95\u00a0% interval {as_percent(found.low)} to {as_percent(found.high)}"
            name = f"nok images found at {as_percent(at.max_rate)} false rejects at most"
            used = f"with {at.false_rejects} of {at.n_ok} ok images rejected"
            rows.append((name, f"{as_percent(found.rate)} ({interval}), {used}"))
        if evaluation.pixel_auroc is not None:
            rows.append(("pixel AUROC", f"{as_figure(evaluation.pixel_auroc)}, on {evaluation.n_pixel_images} images"))
        if evaluation.pixel_ap is not None:
            rows.append(("average precision of anomalous pixels", as_figure(evaluation.pixel_ap)))
        return rows

    @property
    def names_above(self) -> str:
        """The ok images that laid the threshold and lie above it; the first few dozen where there are more."""
        return some((image.sample.image_file_name for image in self.calibration.above), NAMES_SHOWN)

    @property
    def score_curves(self) -> Markup:
        """What each threshold would cost, as SVG; empty unless both classes were tested."""
        if self.evaluation is None or not (_has_finite(self.test_ok) and _has_finite(self.test_nok)):
            return Markup()
        histogram = self.evaluation.anomaly_score_histogram
        curves = score_curves(histogram, self.calibration.classification_threshold)
        return Markup(curves)  # noqa: S704 - the module escapes what it is given

    @property
    def training_curve(self) -> Markup:
        """The error by epoch as SVG; empty where there is none."""
        if not _has_finite(self.training_errors):
            return Markup()
        return Markup(training_curve(self.training_errors, best_epoch=self.best_epoch))  # noqa: S704 - as above

    @property
    def pies(self) -> Sequence[tuple[str, Markup]]:
        """Titles and pie charts of precision and recall; none without test images."""
        if self.evaluation is None:
            return ()
        matrix = self.evaluation.absolute_confusion_matrix
        charts = (
            ("Precision: share of the verdicts that are right", precision_shares(matrix)),
            ("Recall: share of the labels that are recognised", recall_shares(matrix)),
        )
        return [(title, Markup(pie_charts(shares, title))) for title, shares in charts]  # noqa: S704 - as above

    def position(self, score: float) -> float:
        """Where a score lies between the lowest and the highest of the page, in percent."""
        threshold = self.calibration.classification_threshold
        scores = [*self.calibration.scores, *self.test_ok, *self.test_nok, threshold]
        finite = [s for s in scores if math.isfinite(s)]
        low, high = min(finite), max(finite)
        share = (score - low) / (high - low) if high > low and math.isfinite(score) else 1.0
        return 100 * min(max(share, 0.0), 1.0)


def _has_finite(values: Sequence[float]) -> bool:
    return any(math.isfinite(value) for value in values)


def _reached(scores: Sequence[float], threshold: float, verb: str) -> str:
    return f"{sum(not score < threshold for score in scores)} of {len(scores)} {verb}"


def render_report(report: Report) -> str:
    """The page as HTML."""
    return _report_template().render(report=report)


@functools.cache
def _report_template() -> Template:
    environment = page_environment("trainer.report")
    environment.filters["shape"] = _shape
    environment.filters["thumbnail"] = functools.partial(data_uri, side=THUMBNAIL_SIDE)
    return environment.get_template("report.html.jinja")


def page_environment(package: str) -> Environment:
    """What renders self-contained pages: the templates of a package, beside those that all pages share, and their filters."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("trainer.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": as_percent, "figure": as_figure, "data_uri": data_uri}
    return environment


def _shape(row: PictureRow) -> Literal["wide", "other"]:
    """Which arrangement suits the pictures of a row: a pair of wide ones needs more room."""
    height, width = row.pictures[0].outlined.shape[:2]
    return "wide" if width > _WIDE * height else "other"
