"""The charts of a report, as SVG within its page: each one twice, for a wide screen and for a phone; only one is visible.

A page shows `.chart.wide` or `.chart.narrow` depending on its width; if the wide one were scaled down, its letters would be too small.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainer.charts.canvas import Draw, finite
from trainer.charts.epochs import draw_training, least_epoch
from trainer.charts.rows import ScoreRow, draw_score_rows
from trainer.charts.scores import draw_marked_curves
from trainer.charts.shares import draw_pies
from trainer.charts.svg import render_svg
from trainer.errors import SettingsError
from trainer.evaluation.confusion import ScoreHistogram, Share

WIDE, NARROW = 960, 400
_HEIGHT = 320
_PIES = (440, 200)
_AROUND_ROWS, _ROW = 100, 132


def score_histogram(rows: Sequence[ScoreRow], threshold: float) -> str:
    """A histogram for each kind of image, over a common axis; kinds without scores are left out.

    Returns:
        `<svg>` elements without external references.
    """
    shown = [row for row in rows if finite(row.scores)]
    height = _AROUND_ROWS + _ROW * len(shown)
    label = f"Histogram of anomaly scores; threshold {threshold:.4g}"
    return in_both_widths(lambda axes: draw_score_rows(axes, shown, threshold), label, height)


def score_curves(curves: ScoreHistogram, threshold: float) -> str:
    """HALCON's step curves: what each threshold would cost.

    Returns:
        `<svg>` elements without external references.

    Raises:
        SettingsError: There is no finite score.
    """
    if not finite([*curves.ok_x, *curves.nok_x]):
        raise SettingsError("there is no finite score to draw a curve from; give scores of test images")
    label = "share of images by anomaly score"
    return in_both_widths(lambda axes: draw_marked_curves(axes, curves, threshold), label, _HEIGHT)


def training_curve(errors: Sequence[float], *, best_epoch: int | None = None) -> str:
    """The error of each epoch, the best one marked; arguments and refusals as of `training_error_curve`.

    Returns:
        `<svg>` elements without external references.
    """
    best = least_epoch(errors, best_epoch)
    return in_both_widths(lambda axes: draw_training(axes, errors, best), "error by epoch", _HEIGHT)


def pie_charts(shares: tuple[Share, Share], label: str) -> str:
    """One pie for each class.

    Returns:
        An `<svg>` element without external references; half as wide as a page.
    """
    return render_svg(lambda axes: draw_pies(axes, shares), label, _PIES, kind="chart pies")


def in_both_widths(draw: Draw, label: str, height: float) -> str:
    """A chart for a wide screen, and the same for a phone."""
    widths = (("wide", WIDE), ("narrow", NARROW))
    return "\n".join(render_svg(draw, label, (width, height), kind=f"chart {kind}") for kind, width in widths)
