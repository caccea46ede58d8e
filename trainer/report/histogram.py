"""The score histogram of the report, as inline SVG: one row for each kind of image, one axis, the threshold through all.

Colours come from the page's style sheet (classes), so that the figure follows light, dark and print.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trainer.report.ticks import nice_ticks

WIDTH = 960
_LEFT, _RIGHT, _TOP, _AXIS = 186, 18, 34, 46
_ROW, _ROW_GAP = 92, 20
_BINS = 48
_CAPTION, _SHORT_CAPTION = 260, 100


@dataclass(frozen=True, slots=True)
class HistogramRow:
    """Scores of one kind of image; non-finite ones are left out of the figure."""

    title: str
    detail: str
    """Second line of the label, such as what the threshold does to these images."""
    style: Literal["calibration", "ok", "nok"]
    scores: Sequence[float]


def score_histogram(rows: Sequence[HistogramRow], threshold: float) -> str:
    """Draw the rows above one another over a common axis.

    Bins are counted from the threshold, so that no bar stands on both sides of it.

    Returns:
        An `<svg>` element without external references.
    """
    rows = [row for row in rows if len(row.scores)]
    low, high = _range(rows, threshold)
    width = (high - low) / _BINS
    first = math.floor((low - threshold) / width)
    edges: NDArray[np.float64] = threshold + width * np.arange(first, first + _BINS + 2, dtype=np.float64)
    low, high = float(edges[0]), float(edges[-1])
    scale = (WIDTH - _LEFT - _RIGHT) / (high - low)
    height = _TOP + len(rows) * (_ROW + _ROW_GAP) + _AXIS
    x_threshold = _LEFT + (threshold - low) * scale
    bottom = _TOP + len(rows) * (_ROW + _ROW_GAP)
    label = f"Histogram of anomaly scores; threshold {threshold:.4g}"
    zone = f'x="{x_threshold:.1f}" y="{_TOP}" width="{WIDTH - _RIGHT - x_threshold:.1f}" height="{bottom - _TOP}"'
    parts = [
        f'<svg class="histogram" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">',
        f'<rect class="zone" {zone}/>',
        *_draw_axis(low, high, scale, bottom),
    ]
    for index, row in enumerate(rows):
        base = _TOP + (index + 1) * (_ROW + _ROW_GAP) - _ROW_GAP / 2
        parts += _draw_row(row, edges, base, scale)
    parts += _draw_threshold(threshold, x_threshold, bottom)
    return "\n".join([*parts, "</svg>"])


def _range(rows: Sequence[HistogramRow], threshold: float) -> tuple[float, float]:
    values = [score for row in rows for score in row.scores if math.isfinite(score)]
    low, high = min([*values, threshold]), max([*values, threshold])
    margin = 0.04 * (high - low) or max(abs(threshold), 1e-6) * 0.1
    return low - margin, high + margin


def _draw_row(row: HistogramRow, edges: NDArray[np.float64], base: float, scale: float) -> list[str]:
    scores = np.asarray([s for s in row.scores if math.isfinite(s)], dtype=np.float64)
    # A score that reaches an edge belongs to its right, as a score that reaches the threshold is nok.
    counts = np.bincount(np.searchsorted(edges, scores, side="right") - 1, minlength=len(edges) - 1)[: len(edges) - 1]
    tallest = max(int(counts.max()), 1)
    bar = (edges[1] - edges[0]) * scale
    parts = [
        f'<text class="row-title {row.style}" x="0" y="{base - _ROW / 2 - 4:.1f}">{escape(row.title)}</text>',
        f'<text class="row-detail" x="0" y="{base - _ROW / 2 + 14:.1f}">{escape(row.detail)}</text>',
        f'<text class="tick" x="{_LEFT - 10}" y="{base - _ROW + 10:.1f}" text-anchor="end">{tallest}</text>',
        f'<text class="tick" x="{_LEFT - 10}" y="{base:.1f}" text-anchor="end">0</text>',
        f'<line class="base" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{base}" y2="{base}"/>',
    ]
    for index in np.flatnonzero(counts):
        tall = counts[index] / tallest * _ROW
        x = _LEFT + (edges[index] - edges[0]) * scale
        images = "image" if counts[index] == 1 else "images"
        parts.append(
            f'<rect class="bar {row.style}" x="{x + 0.75:.1f}" y="{base - tall:.1f}" width="{bar - 1.5:.1f}" '
            f'height="{tall:.1f}" rx="1.5"><title>{edges[index]:.4g} to {edges[index + 1]:.4g}: '
            f"{counts[index]} {images}</title></rect>"
        )
    return parts


def _draw_axis(low: float, high: float, scale: float, bottom: float) -> list[str]:
    parts = []
    for value, text in nice_ticks(low, high):
        x = _LEFT + (value - low) * scale
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{text}</text>')
    middle = _LEFT + (WIDTH - _LEFT - _RIGHT) / 2
    parts.append(f'<text class="axis" x="{middle}" y="{bottom + 40}" text-anchor="middle">anomaly score</text>')
    return parts


def _draw_threshold(threshold: float, x: float, bottom: float) -> list[str]:
    """The line and its caption; the longer half of the caption goes where there is room for it."""
    left, right = "\u2190 called ok", "called nok \u2192"
    if x > WIDTH - _CAPTION:
        left += f", threshold {threshold:.4g}"
    else:
        right = f"threshold {threshold:.4g}: {right}"
    if WIDTH - _RIGHT - x < _SHORT_CAPTION:
        right = "nok \u2192"
    return [
        f'<line class="threshold" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 8}" y2="{bottom}"/>',
        f'<text class="verdict" x="{x - 10:.1f}" y="{_TOP - 14}" text-anchor="end">{left}</text>',
        f'<text class="verdict nok" x="{x + 10:.1f}" y="{_TOP - 14}">{right}</text>',
    ]
