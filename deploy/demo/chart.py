"""The time from capture to verdict over the run, as inline SVG: one dot a frame."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

from deploy.demo.account import CameraAccount

WIDTH, HEIGHT = 960, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 12, 44
_TICKS = 5
_NICE = (1, 2, 5, 10)


def latency_chart(cameras: Mapping[str, CameraAccount]) -> str:
    """Draw all frames of all cameras; returns an `<svg>` element without external references.

    Colours come from the page's style sheet: classes `camera0`, `camera1` and so on.
    """
    dots = {
        title: [(sent.captured_at, received.latency_ms) for sent, received in account.answered]
        for title, account in cameras.items()
    }
    everything = [dot for part in dots.values() for dot in part]
    if not everything:
        return '<svg class="chart" viewBox="0 0 1 1" role="img" aria-label="no verdicts"></svg>'
    first = min(at for at, _ in everything)
    span_s = max((max(at for at, _ in everything) - first) / 1e6, 1e-3)
    step_ms, step_s = _nice_step(max(ms for _, ms in everything)), _nice_step(span_s)
    top_ms = step_ms * math.ceil(max(ms for _, ms in everything) / step_ms)
    x_scale, y_scale = (WIDTH - _LEFT - _RIGHT) / span_s, (HEIGHT - _TOP - _BOTTOM) / top_ms
    label = "Milliseconds from capture to verdict of each frame"
    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">']
    base = HEIGHT - _BOTTOM
    for index in range(round(top_ms / step_ms) + 1):
        y = base - index * step_ms * y_scale
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{index * step_ms:g}</text>')
    for index in range(math.floor(span_s / step_s) + 1):
        x = _LEFT + index * step_s * x_scale
        parts.append(f'<text x="{x:.1f}" y="{base + 20}" text-anchor="middle">{index * step_s:g}</text>')
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 4}" text-anchor="middle">seconds since the first frame</text>')
    parts.append(f'<text x="{_LEFT - 10}" y="{HEIGHT - 4}" text-anchor="end">ms</text>')
    for number, (title, part) in enumerate(dots.items()):
        parts.append(f'<g class="camera{number}"><title>{escape(title)}</title>')
        for at, ms in part:
            x, y = _LEFT + (at - first) / 1e6 * x_scale, base - ms * y_scale
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2"/>')
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"])


def _nice_step(largest: float) -> float:
    """Return a step of 1, 2 or 5 times a power of ten that divides the axis into a handful of parts."""
    rough = largest / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    return next(nice * power for nice in _NICE if nice * power >= rough)
