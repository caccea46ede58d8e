"""Anomaly scores and thresholds: bars by class, HALCON's step curves, and the numbers beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from trainer.charts.canvas import LARGE, NORMAL, SMALL, dress, name, strip
from trainer.charts.palette import CALIBRATION, INK, LINE, NOK, OK, PAPER, SOFT
from trainer.evaluation.confusion import ClassName, ScoreHistogram, curve_between

ScoreKind = Literal["calibration", "ok", "nok"]

_COLOURS: Final[dict[ScoreKind, str]] = {"calibration": CALIBRATION, "ok": OK, "nok": NOK}
_MEANINGS: Final[dict[ClassName, str]] = {
    "ok": "share of ok images at or above a score",
    "nok": "share of nok images up to a score",
}
_BINS, _ROW_BINS = 40, 48
_BAR = 0.9
_DASHED = (0, (5, 3.5))
_ESTIMATED_DASHES: Final = ("--", ":", "-.")
_ROW = 1.5
"""Distance of two rows; the bars of each are 1 high at most."""


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """Scores of one kind of image; non-finite ones are left out of the chart."""

    title: str
    detail: str
    """After the title, such as what the threshold does to these images."""
    kind: ScoreKind
    scores: Sequence[float]


@dataclass(frozen=True, slots=True)
class JudgedScores:
    """Test scores with the thresholds they were judged by.

    Attributes:
        ok: anomaly_score of ok images.
        nok: The same of nok ones.
        curves: Their step curves.
        thresholds: Classification thresholds that were judged.
        estimated: More of them, such as [max ok, min nok, intermediate].
    """

    ok: Sequence[float]
    nok: Sequence[float]
    curves: ScoreHistogram
    thresholds: Sequence[float]
    estimated: Sequence[float] = ()


def finite(values: Sequence[float]) -> list[float]:
    """Those that can be drawn."""
    return [value for value in values if math.isfinite(value)]


def draw_score_rows(axes: Axes, rows: Sequence[ScoreRow], threshold: float) -> None:
    """The rows above one another over a common axis, the threshold through all.

    Bins are counted from the threshold, so that no bar stands on both sides of it.
    """
    edges = _bin_edges([score for row in rows for score in row.scores], threshold)
    low, high, bottom = edges[0], edges[-1], -_ROW * len(rows)
    axes.set_xlim(low, high)
    axes.set_ylim(bottom, -0.06)
    axes.axvspan(threshold, high, color=NOK, alpha=0.06, linewidth=0)
    axes.axvline(threshold, color=INK, linewidth=1.75, linestyle=_DASHED)
    heights: list[tuple[float, str]] = []
    for index, row in enumerate(rows):
        base = -_ROW * (index + 1)
        axes.axhline(base, color=LINE, linewidth=1.5)
        heights += [(base, "0"), (base + 1, str(_draw_row(axes, row, edges, base)))]
        _write_heading(axes, row, base + 1.12)
    axes.set_yticks([at for at, _ in heights], [label for _, label in heights])
    axes.set_xlabel("anomaly score")
    axes.grid(visible=True, axis="x")
    write_above(axes, threshold, f"threshold {threshold:.4g}", line=1)
    _write_sides(axes, threshold)


def _bin_edges(scores: Sequence[float], threshold: float) -> NDArray[np.float64]:
    values = [*finite(scores), threshold]
    low, high = min(values), max(values)
    margin = 0.04 * (high - low) or max(abs(threshold), 1e-6) * 0.1
    low, high = low - margin, high + margin
    width = (high - low) / _ROW_BINS
    first = math.floor((low - threshold) / width)
    edges: NDArray[np.float64] = threshold + width * np.arange(first, first + _ROW_BINS + 2, dtype=np.float64)
    return edges


def _draw_row(axes: Axes, row: ScoreRow, edges: NDArray[np.float64], base: float) -> int:
    """Bars in proportion to the tallest, whose count is returned."""
    # A score that reaches an edge belongs to its right, as a score that reaches the threshold is nok.
    counts, _ = np.histogram(finite(row.scores), edges)
    tallest = max(int(counts.max()), 1)
    filled = np.flatnonzero(counts)
    width = edges[1] - edges[0]
    middles = edges[filled] + width / 2
    bars = axes.bar(middles, counts[filled] / tallest, _BAR * width, base, color=_COLOURS[row.kind])
    for bar, index in zip(bars, filled, strict=True):
        images = "1 image" if counts[index] == 1 else f"{counts[index]} images"
        name(bar, f"bar {row.kind}", f"{edges[index]:.4g} to {edges[index + 1]:.4g}: {images}")
    return tallest


def _write_heading(axes: Axes, row: ScoreRow, y: float) -> None:
    """Title and detail above the bars, over whatever line passes there."""
    colour = SOFT if row.kind == "calibration" else _COLOURS[row.kind]
    ground = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.5}
    title = axes.annotate(
        row.title, (0, y), xycoords=("axes fraction", "data"), va="baseline", fontsize=LARGE, fontweight="bold",
        color=colour, parse_math=False, bbox=ground,
    )  # fmt: skip
    axes.annotate(
        row.detail, (1, 0), xycoords=title, xytext=(10, 0), textcoords="offset points", va="bottom", fontsize=NORMAL,
        color=SOFT, parse_math=False, bbox=ground,
    )  # fmt: skip


def write_above(axes: Axes, x: float, text: str, *, colour: str = INK, line: int = 0) -> None:
    """Write above a value of the x axis, within the width of the axes; `line` counts upwards."""
    low, high = axes.get_xlim()
    share = (x - low) / (high - low)
    side: Literal["left", "center", "right"] = "left" if share < 0.25 else "right" if share > 0.75 else "center"  # noqa: PLR2004
    axes.annotate(
        text, (x, 1), xycoords=("data", "axes fraction"), xytext=(0, 6 + 18 * line), textcoords="offset points",
        ha=side, fontsize=NORMAL, fontweight="bold", color=colour,
    )  # fmt: skip


def _write_sides(axes: Axes, threshold: float) -> None:
    """What scores on either side are called."""
    for text, ha, away, colour in (("\u2190 called ok", "right", -8, INK), ("called nok \u2192", "left", 8, NOK)):
        axes.annotate(
            text, (threshold, 1), xycoords=("data", "axes fraction"), xytext=(away, 6), textcoords="offset points",
            ha=ha, fontsize=NORMAL, fontweight="bold", color=colour,
        )  # fmt: skip


def draw_score_curves(axes: Axes, curves: ScoreHistogram, x_range: tuple[float, float]) -> None:
    """The share of ok images from a score on and of nok images up to it: what each threshold would cost."""
    for kind, meaning in _MEANINGS.items():
        if points := curve_between(curves, kind, *x_range):
            x, y = zip(*points, strict=True)
            (curve,) = axes.plot(x, y, color=_COLOURS[kind], linewidth=2, label=meaning)
            name(curve, f"curve {kind}", meaning)
    axes.set_xlim(*x_range)
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("anomaly score")
    axes.set_ylabel("share of images")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol="\u00a0%"))


def draw_marked_curves(axes: Axes, curves: ScoreHistogram, threshold: float) -> None:
    """The curves over all finite scores, with the threshold."""
    values = [*finite([*curves.ok_x, *curves.nok_x]), threshold]
    low, high = min(values), max(values)
    margin = 0.04 * (high - low) or max(abs(high), 1e-6) * 0.1
    draw_score_curves(axes, curves, (low - margin, high + margin))
    axes.grid(visible=True, axis="y")
    axes.axvline(threshold, color=INK, linewidth=1.75, linestyle=_DASHED)
    write_above(axes, threshold, f"threshold {threshold:.4g}")


def draw_histogram(axes: Axes, scores: JudgedScores, x_range: tuple[float, float]) -> None:
    """Bars of both classes, the step curves over them, and every threshold, with a legend below."""
    shares = axes.twinx()
    dress(shares)
    axes.tick_params(left=False)
    edges = np.linspace(*x_range, _BINS + 1).tolist()
    for title, own, colour in (("ok images", scores.ok, OK), ("nok images", scores.nok, NOK)):
        if known := finite(own):
            axes.hist(known, bins=edges, color=colour, alpha=0.5, label=f"{title} ({len(own)})", rwidth=_BAR)
    draw_score_curves(shares, scores.curves, x_range)
    axes.set_xlabel("anomaly score")
    axes.set_ylabel("images")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, axis="y")
    for threshold in scores.thresholds:
        shares.axvline(threshold, color=INK, linewidth=1.75, label=f"threshold {threshold:.4g}")
    for threshold, dash in zip(scores.estimated, _ESTIMATED_DASHES, strict=False):
        shares.axvline(threshold, color=SOFT, linewidth=1.5, linestyle=dash, label=f"estimated {threshold:.4g}")
    figure = axes.get_figure(root=True)
    if figure is not None:
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=SMALL, labelcolor=INK)


def draw_score_table(axes: Axes, scores: JudgedScores) -> None:
    """Numbers of images, extreme scores and thresholds, one a row."""
    strip(axes)
    rows = [("ok images", f"{len(scores.ok)}", OK), ("nok images", f"{len(scores.nok)}", NOK)]
    for title, own, pick in (("highest ok", scores.ok, max), ("lowest nok", scores.nok, min)):
        known = finite(own)
        rows.append((f"{title} score", f"{pick(known):.4f}" if known else "\u2013", INK))
    rows += [("threshold", f"{threshold:.4f}", INK) for threshold in scores.thresholds]
    rows += [("estimated threshold", f"{threshold:.4f}", SOFT) for threshold in scores.estimated]
    step = 1 / max(len(rows), 6)
    for index, (title, value, colour) in enumerate(rows):
        y = 1 - (index + 0.5) * step
        axes.text(0, y, title, color=SOFT, va="center", fontsize=LARGE)
        axes.text(1, y, value, color=colour, va="center", ha="right", fontsize=LARGE, fontweight="bold")
        axes.axhline(y - step / 2, color=LINE, linewidth=1)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
