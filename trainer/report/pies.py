"""Pie charts of precision and recall as inline SVG; a class without images is said to have none."""

from __future__ import annotations

import math
from html import escape

from trainer.evaluation.confusion import Share

_WIDTH, _HEIGHT, _RADIUS = 440, 200, 64


def pie_charts(shares: tuple[Share, Share], title: str) -> str:
    """One pie for each class; colours come from the page's style sheet.

    Returns:
        An `<svg>` element without external references.
    """
    parts = [f'<svg class="histogram pies" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">']
    for index, share in enumerate(shares):
        x, y = _WIDTH * (1 + 2 * index) / 4, 82
        parts += _pie(share, x, y)
        parts.append(
            f'<text class="row-title {share.name}" x="{x}" y="{y + 90}" text-anchor="middle">{share.name}</text>'
        )
        parts.append(
            f'<text class="row-detail" x="{x}" y="{y + 110}" text-anchor="middle">{escape(share.label)}</text>'
        )
    return "\n".join([*parts, "</svg>"])


def _pie(share: Share, x: float, y: float) -> list[str]:
    rate = share.rate
    circle = f'cx="{x}" cy="{y}" r="{_RADIUS}"'
    if rate is None:
        return [f'<circle class="slice none" {circle}/>']
    if rate in {0.0, 1.0}:
        return [f'<circle class="slice {"wrong" if rate == 0 else share.name}" {circle}/>']
    angle = 2 * math.pi * rate
    end_x, end_y = x + _RADIUS * math.sin(angle), y - _RADIUS * math.cos(angle)
    arc = f"M {x} {y} L {x} {y - _RADIUS} A {_RADIUS} {_RADIUS} 0 {int(angle > math.pi)} 1 {end_x:.2f} {end_y:.2f} Z"
    return [f'<circle class="slice wrong" {circle}/>', f'<path class="slice {share.name}" d="{arc}"/>']
