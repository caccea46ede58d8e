"""Curves of the report as inline SVG: the score step curves of HALCON, and the error of each training epoch.

Colours come from the page's style sheet (classes), so that the figures follow light, dark and print.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from trainer.display.plots import least_epoch
from trainer.errors import SettingsError
from trainer.evaluation.confusion import Points, ScoreHistogram, curve_between
from trainer.report.ticks import nice_ticks

WIDTH, HEIGHT = 960, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 18, 30, 54
_MOST_POINTS = 600


@dataclass(frozen=True, slots=True)
class Line:
    """A curve; `style` is a class of the style sheet."""

    title: str
    style: str
    points: Points


@dataclass(frozen=True, slots=True)
class _Frame:
    """The ranges of both axes, and where their values lie in the picture."""

    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return _LEFT + across * (WIDTH - _LEFT - _RIGHT), HEIGHT - _BOTTOM - up * (HEIGHT - _TOP - _BOTTOM)


def score_curves(histogram: ScoreHistogram, thresholds: Sequence[float]) -> str:
    """The share of ok images from a score on and of nok images up to it: what each threshold would cost.

    Args:
        histogram: Of the test images.
        thresholds: Marked where they are finite.

    Returns:
        An `<svg>` element without external references.

    Raises:
        SettingsError: There is no finite score.
    """
    marks = [t for t in thresholds if math.isfinite(t)]
    scores = [x for x in (*histogram.ok_x, *histogram.nok_x) if math.isfinite(x)]
    spread = scores + marks
    if not scores:
        raise SettingsError("there is no finite score to draw a curve of; give scores of test images")
    low, high = min(spread), max(spread)
    margin = 0.04 * (high - low) or max(abs(high), 1e-6) * 0.1
    low, high = low - margin, high + margin
    frame = _Frame((low, high), (0.0, 1.0))
    lines = [
        Line("ok images at or above", "ok", curve_between(histogram, "ok", low, high)),
        Line("nok images at or below", "nok", curve_between(histogram, "nok", low, high)),
    ]
    return _chart(
        frame,
        [line for line in lines if line.points],
        _threshold_marks(frame, marks),
        ("anomaly score", "share of images"),
    )


def training_curve(errors: Sequence[float], *, best_epoch: int | None = None) -> str:
    """The error of each epoch, the best one marked.

    Args:
        errors: One an epoch; those that are not finite leave a gap.
        best_epoch: Counted from 1; the one with the least error where None.

    Returns:
        An `<svg>` element without external references.

    Raises:
        SettingsError: There is no finite error, or `best_epoch` is none of the epochs.
    """
    best = least_epoch(errors, best_epoch)
    found = [(float(epoch), error) for epoch, error in enumerate(errors, start=1) if math.isfinite(error)]
    values = [error for _, error in found]
    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or abs(high) * 0.1 or 1.0
    # Errors are not negative; the axis is not either.
    frame = _Frame((0.5, len(errors) + 0.5), (max(0.0, low - margin) if low >= 0 else low - margin, high + margin))
    x, y = frame.at(best, errors[best - 1])
    near = x > WIDTH * 0.7
    label = f"best: {errors[best - 1]:.4g} in epoch {best}"
    caption = f'x="{x + (-10 if near else 10):.1f}" y="{_TOP + 12}" text-anchor="{"end" if near else "start"}"'
    marks = [
        f'<line class="best" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>',
        f'<circle class="best" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{escape(label)}</title></circle>',
        f'<text class="best" {caption}>{escape(label)}</text>',
    ]
    return _chart(frame, [Line("error", "error", _thin(found))], marks, ("epoch", "error"), whole_x=True)


def _thin(points: Points) -> Points:
    """At most a few hundred points: a page needs no more, and a step of many keeps the least error of its part."""
    stride = math.ceil(len(points) / _MOST_POINTS)
    return [min(points[i : i + stride], key=lambda p: p[1]) for i in range(0, len(points), stride)]


def _threshold_marks(frame: _Frame, thresholds: Sequence[float]) -> list[str]:
    marks = []
    for threshold in thresholds:
        x, _ = frame.at(threshold, 0)
        near = x > WIDTH * 0.8
        marks.append(f'<line class="threshold" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 8}" y2="{HEIGHT - _BOTTOM}"/>')
        marks.append(
            f'<text class="verdict" x="{x + (-8 if near else 8):.1f}" y="{_TOP - 12}" '
            f'text-anchor="{"end" if near else "start"}">threshold {threshold:.4g}</text>'
        )
    return marks


def _chart(
    frame: _Frame, lines: Sequence[Line], marks: Sequence[str], labels: tuple[str, str], *, whole_x: bool = False
) -> str:
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    title = escape(f"{labels[1]} by {labels[0]}")
    parts = [f'<svg class="histogram chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">']
    for value, text in nice_ticks(*frame.y, count=6):
        _, y = frame.at(frame.x[0], value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    for value, text in nice_ticks(*frame.x):
        if whole_x and value != round(value):
            continue
        x, _ = frame.at(value, frame.y[0])
        label = f"{value:.0f}" if whole_x else text
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{label}</text>')
    parts.append(f'<line class="base" x1="{_LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    for line in lines:
        path = " ".join("{:.1f},{:.1f}".format(*frame.at(*point)) for point in line.points)
        parts.append(
            f'<polyline class="curve {line.style}" points="{path}"><title>{escape(line.title)}</title></polyline>'
        )
    middle = _LEFT + (right - _LEFT) / 2
    parts += marks
    parts.append(f'<text class="axis" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(labels[0])}</text>')
    parts.append(
        f'<text class="axis" transform="translate(16 {(_TOP + bottom) / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(labels[1])}</text>"
    )
    return "\n".join([*parts, "</svg>"])
