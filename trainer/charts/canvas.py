"""Axes in the style of our charts, and their pixels: matplotlib without a window or global state, from any thread."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from trainer.charts.palette import GRID, INK, LINE, PAPER, SOFT

Draw = Callable[[Axes], None]
"""Draws marks on axes; lengths, such as sizes of letters, are in units of the chart."""

UNITS_PER_INCH = 72
SMALL, NORMAL, LARGE = 12, 13, 14
"""Sizes of letters, units."""

DASHED: Final = (0, (5, 3.5))
"""Line of a threshold."""

_PIXELS_PER_UNIT = 1.6
_MARGIN = 14


def new_axes(size: tuple[float, float], *, margin: float = 0) -> tuple[Figure, Axes]:
    """Axes that fill a figure; the layout leaves room for what is written around them.

    Args:
        size: (width, height), units.
        margin: Around it all, units.
    """
    pad = margin / UNITS_PER_INCH
    width, height = size
    figure = Figure(
        figsize=(width / UNITS_PER_INCH, height / UNITS_PER_INCH),
        dpi=UNITS_PER_INCH,
        layout=ConstrainedLayoutEngine(w_pad=pad, h_pad=pad),
        facecolor=PAPER,
    )
    axes = figure.add_subplot()
    dress(axes)
    axes.spines["bottom"].set(visible=True, color=LINE, linewidth=1.5, zorder=1)
    return figure, axes


def dress(axes: Axes) -> None:
    """Soft letters, no ticks, no frame."""
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.patch.set_visible(False)
    axes.tick_params(colors=SOFT, labelsize=SMALL, bottom=False, left=False, right=False, pad=6)
    axes.tick_params(grid_color=GRID, grid_linewidth=1)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=SOFT, size=NORMAL)
    axes.xaxis.labelpad = 8


def strip(axes: Axes) -> None:
    """Take the scales away: the marks speak for themselves."""
    axes.spines[:].set_visible(False)
    axes.set_xticks([])
    axes.set_yticks([])


def name(artist: Artist, kind: str, title: str) -> None:
    """Say what a mark is: SVG has it as the class and the title of the mark."""
    artist.set_gid(f"{kind}: {title}")


def write_above(axes: Axes, x: float, text: str, *, colour: str = INK, line: int = 0) -> None:
    """Write above a value of the x axis, within the width of the axes; `line` counts upwards."""
    low, high = axes.get_xlim()
    share = (x - low) / (high - low)
    side: Literal["left", "center", "right"] = "left" if share < 0.25 else "right" if share > 0.75 else "center"  # noqa: PLR2004
    axes.annotate(
        text, (x, 1), xycoords=("data", "axes fraction"), xytext=(0, 6 + 18 * line), textcoords="offset points",
        ha=side, fontsize=NORMAL, fontweight="bold", color=colour,
    )  # fmt: skip


def finite(values: Sequence[float]) -> list[float]:
    """Those that can be drawn."""
    return [value for value in values if math.isfinite(value)]


def render_pixels(draw: Draw, title: str, size: tuple[float, float]) -> NDArray[np.uint8]:
    """Draw a chart on white.

    Args:
        draw: Draws on the axes.
        title: Above them and what is written around them, at the left.
        size: (width, height), units of 1.6 pixels.

    Returns:
        (H, W, 3) RGB uint8.
    """
    figure, axes = new_axes(size, margin=_MARGIN)
    figure.set_dpi(UNITS_PER_INCH * _PIXELS_PER_UNIT)
    left = _MARGIN / size[0]
    figure.suptitle(title, x=left, horizontalalignment="left", fontsize=LARGE + 2, fontweight="bold", color=INK)
    draw(axes)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba(), dtype=np.uint8)  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(pixels[..., :3])
