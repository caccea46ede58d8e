"""The legend beside a picture: class, score, thresholds, and what the colours mean."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.verdict.draw import NOK_COLOUR, OK_COLOUR, Colour
from trainer.charts.palette import LINE, as_rgb
from trainer.display.heat_map import HeatmapScheme, colour_bar
from trainer.display.lettering import INK, PAPER, SOFT, draw_text, font, shorten

_RULE: Colour = as_rgb(LINE)


@dataclass(slots=True)
class Legend:
    """What stands beside and below a picture.

    Attributes:
        description: The line below; empty for none.
        facts: Names and values, one a row.
        swatches: Names and colours of lines.
        is_correct: Colours the value of "called": green or red; None leaves it black.
        scheme: Colours of a heat map to explain.
        threshold: Its segmentation threshold, marked on the bar.
    """

    description: str = ""
    facts: list[tuple[str, str]] = field(default_factory=list)
    swatches: list[tuple[str, Colour]] = field(default_factory=list)
    is_correct: bool | None = None
    scheme: HeatmapScheme | None = None
    threshold: float | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing stands beside the picture."""
        return not (self.facts or self.swatches or self.scheme)


def add_legend(picture: NDArray[np.uint8], legend: Legend, *, font_size: int) -> NDArray[np.uint8]:
    """Put the legend to the right of a picture and its description below, on white.

    Args:
        picture: (H, W, 3) RGB uint8.
        legend: Its parts; an empty one adds nothing.
        font_size: Of the letters, pixels.
    """
    gap = font_size
    if not legend.is_empty:
        panel = _panel(legend, font_size)
        height = max(picture.shape[0], panel.shape[0])
        canvas = _paper(height, picture.shape[1] + gap + panel.shape[1])
        canvas[: picture.shape[0], : picture.shape[1]] = picture
        canvas[: panel.shape[0], picture.shape[1] + gap :] = panel
        picture = canvas
    if legend.description:
        strip = _paper(round(2.2 * font_size), picture.shape[1])
        text = shorten(legend.description, picture.shape[1] - font_size, size=font_size)
        draw_text(strip, text, (font_size // 2, round(1.5 * font_size)), size=font_size, colour=SOFT)
        picture = np.vstack([picture, strip])
    return picture


def _paper(height: int, width: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), PAPER, np.uint8)


def _panel(legend: Legend, size: int) -> NDArray[np.uint8]:
    """Facts, swatches and colour bar under one another."""
    row = round(1.9 * size)
    face, strong = font(size), font(size, bold=True)
    left = max([face.getlength(name) for name, _ in legend.facts] + [size * 2.4])
    right = max([strong.getlength(value) for _, value in legend.facts], default=0)
    named = max([face.getlength(name) for name, _ in legend.swatches], default=0) + 2.4 * size
    width = round(max(left + 1.2 * size + right, named, 12 * size)) + size
    rows = len(legend.facts) + len(legend.swatches)
    panel = _paper(rows * row + (round(3.6 * size) if legend.scheme else 0) + round(2.5 * size), width)
    base = round(1.9 * size)
    for name, value in legend.facts:
        draw_text(panel, name, (0, base), size=size, colour=SOFT)
        colour = INK
        if name == "called" and legend.is_correct is not None:
            colour = OK_COLOUR if legend.is_correct else NOK_COLOUR
        at = width - size - round(strong.getlength(value))
        draw_text(panel, value, (at, base), size=size, colour=colour, bold=True)
        rule = base + round(0.55 * size)
        panel[rule : rule + 1, : width - size] = _RULE
        base += row
    base += size // 2
    for name, colour in legend.swatches:
        middle = base - round(0.35 * size)
        cv2.line(panel, (1, middle), (round(1.6 * size), middle), colour, max(2, size // 5), cv2.LINE_AA)
        draw_text(panel, name, (round(2.3 * size), base), size=size, colour=INK)
        base += row
    if legend.scheme is not None:
        _draw_bar(panel, legend, top=base - round(0.6 * size), width=width - size, size=size)
    return panel


def _draw_bar(panel: NDArray[np.uint8], legend: Legend, *, top: int, width: int, size: int) -> None:
    if legend.scheme is None:
        return
    bottom = top + size
    panel[top:bottom, :width] = colour_bar(legend.scheme, width=width, height=size, threshold=legend.threshold)
    base = bottom + round(1.3 * size)
    draw_text(panel, "0", (0, base), size=size, colour=SOFT)
    draw_text(panel, "1", (width - round(font(size).getlength("1")), base), size=size, colour=SOFT)
    if legend.threshold is not None:
        x = min(width - 2, round(legend.threshold * width))
        panel[top - 3 : bottom + 3, x - 1 : x + 1] = INK
        label = f"{legend.threshold:.2f}"
        half = font(size).getlength(label) / 2
        at = round(min(max(x - half, 1.2 * size), width - 2 * half - 1.2 * size))
        draw_text(panel, label, (at, base), size=size, colour=INK)
