"""A histogram of scores for each kind of image, in rows over a common axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from trainer.charts.canvas import DASHED, LARGE, NORMAL, finite, name, write_above
from trainer.charts.palette import CALIBRATION, INK, LINE, NOK, OK, PAPER, SOFT
from trainer.wording import counted

ScoreKind = Literal["calibration", "ok", "nok"]

_COLOURS: Final[dict[ScoreKind, str]] = {"calibration": CALIBRATION, "ok": OK, "nok": NOK}
_BINS = 48
_BAR = 0.9
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


def draw_score_rows(axes: Axes, rows: Sequence[ScoreRow], threshold: float) -> None:
    """The rows above one another over a common axis, the threshold through all.

    Bins are counted from the threshold, so that no bar stands on both sides of it.
    """
    edges = _bin_edges([score for row in rows for score in row.scores], threshold)
    low, high, bottom = edges[0], edges[-1], -_ROW * len(rows)
    axes.set_xlim(low, high)
    axes.set_ylim(bottom, -0.06)
    axes.axvspan(threshold, high, color=NOK, alpha=0.06, linewidth=0)
    axes.axvline(threshold, color=INK, linewidth=1.75, linestyle=DASHED)
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
    width = (high - low) / _BINS
    first = math.floor((low - threshold) / width)
    edges: NDArray[np.float64] = threshold + width * np.arange(first, first + _BINS + 2, dtype=np.float64)
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
        images = counted(counts[index])
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


def _write_sides(axes: Axes, threshold: float) -> None:
    """What scores on either side are called."""
    for text, ha, away, colour in (("\u2190 called ok", "right", -8, INK), ("called nok \u2192", "left", 8, NOK)):
        axes.annotate(
            text, (threshold, 1), xycoords=("data", "axes fraction"), xytext=(away, 6), textcoords="offset points",
            ha=ha, fontsize=NORMAL, fontweight="bold", color=colour,
        )  # fmt: skip
