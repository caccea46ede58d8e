"""One plot at a time, by matplotlib without a window or global state: axes in the report's colours, and what is drawn on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from trainer.errors import SettingsError
from trainer.evaluation.confusion import Matrix, Share, anomaly_score_histogram, curve_between
from trainer.evaluation.image_measures import class_scores

_OK, _NOK, _INK, _SOFT, _LINE = "#12806f", "#c2410c", "#171c24", "#5a6472", "#dfe3e9"
_OK_SOFT, _NOK_SOFT, _PALE = "#d9efea", "#fde6d8", "#eceff3"
_BINS = 40
_DPI = 160
_PAD = 0.14
_DASHES: tuple[str, ...] = ("--", ":", "-.")
_CLASSES = ("ok", "nok")

Marks = tuple[Sequence[float], Sequence[float]]
"""Thresholds that were judged, and estimated ones."""


def render_plot(
    draw: Callable[[Axes], None], title: str, size: tuple[float, float], *, is_plain: bool = False
) -> NDArray[np.uint8]:
    """Draw one pair of axes on white; from any thread.

    Args:
        draw: Draws on the axes.
        title: Above them, at the left.
        size: (width, height) in units of 160 pixels.
        is_plain: Without axis lines and ticks.

    Returns:
        (H, W, 3) RGB uint8.
    """
    layout = ConstrainedLayoutEngine(w_pad=_PAD, h_pad=_PAD)
    figure = Figure(figsize=size, dpi=_DPI, layout=layout, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=_INK, pad=14)
    axes.tick_params(colors=_SOFT, labelsize=9, length=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_LINE)
    axes.xaxis.label.set_color(_SOFT)
    axes.yaxis.label.set_color(_SOFT)
    if is_plain:
        axes.spines[:].set_visible(False)
        axes.set_xticks([])
        axes.set_yticks([])
    draw(axes)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba(), dtype=np.uint8)  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(pixels[..., :3])


def draw_histogram(
    axes: Axes, ok: Sequence[float], nok: Sequence[float], marks: Marks, x_range: tuple[float, float]
) -> None:
    """Bars of both classes, HALCON's step curves over them, and the thresholds."""
    low, high = x_range
    edges = np.linspace(low, high, _BINS + 1).tolist()
    shares = axes.twinx()
    histogram = anomaly_score_histogram(class_scores(ok, nok))
    classes: tuple[tuple[Literal["ok", "nok"], Sequence[float], str], ...] = (("ok", ok, _OK), ("nok", nok, _NOK))
    for name, scores, colour in classes:
        if not finite(scores):
            continue
        axes.hist(
            finite(scores), bins=edges, color=colour, alpha=0.5, label=f"{name} images ({len(scores)})", rwidth=0.92
        )
        x, y = zip(*curve_between(histogram, name, low, high), strict=True)
        label = f"share of {name} {'at or above' if name == 'ok' else 'up to'} score"
        shares.plot(x, y, color=colour, linewidth=1.6, label=label)
    axes.set_xlim(low, high)
    axes.set_xlabel("anomaly score")
    axes.set_ylabel("images")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color=_PALE)
    shares.set_ylim(0, 1.04)
    shares.yaxis.set_major_formatter(PercentFormatter(1.0))
    shares.set_ylabel("share of images", color=_SOFT)
    shares.tick_params(colors=_SOFT, labelsize=9, length=0)
    shares.spines[:].set_visible(False)
    thresholds, estimated = marks
    for threshold in thresholds:
        shares.axvline(threshold, color=_INK, linewidth=1.6, label=f"threshold {threshold:.4g}")
    for threshold, dash in zip(estimated, _DASHES, strict=False):
        shares.axvline(threshold, color=_SOFT, linewidth=1.4, linestyle=dash, label=f"estimated {threshold:.4g}")
    figure = axes.get_figure(root=True)
    if figure is not None:
        figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9, labelcolor=_INK)


def draw_training(axes: Axes, errors: Sequence[float], best: int) -> None:
    """The error of each epoch; `best` is counted from 1."""
    shown = [error if math.isfinite(error) else math.nan for error in errors]
    marker = "o" if len(shown) <= _BINS else None
    axes.plot(range(1, len(shown) + 1), shown, color=_INK, linewidth=1.8, marker=marker, markersize=3.5)
    axes.axvline(best, color=_OK, linewidth=1.2, linestyle="--")
    label = f"best: {errors[best - 1]:.4g} in epoch {best}"
    axes.plot([best], [errors[best - 1]], "o", color=_OK, markersize=8, label=label, zorder=3)
    axes.set_xlabel("epoch")
    axes.set_ylabel("error")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color=_PALE)
    axes.legend(frameon=False)


def finite(scores: Sequence[float]) -> list[float]:
    """The scores that can be drawn."""
    return [score for score in scores if math.isfinite(score)]


def draw_legend(axes: Axes, ok: Sequence[float], nok: Sequence[float], marks: Marks) -> None:
    """Numbers of images, extreme scores and thresholds, one a row."""
    rows = [("ok images", f"{len(ok)}", _OK), ("nok images", f"{len(nok)}", _NOK)]
    for name, scores, pick in (("highest ok", ok, max), ("lowest nok", nok, min)):
        known = finite(scores)
        rows.append((f"{name} score", f"{pick(known):.4f}" if known else "\u2013", _INK))
    rows += [("threshold", f"{threshold:.4f}", _INK) for threshold in marks[0]]
    rows += [("estimated threshold", f"{threshold:.4f}", _SOFT) for threshold in marks[1]]
    step = 1 / max(len(rows), 6)
    for index, (name, value, colour) in enumerate(rows):
        y = 1 - (index + 0.5) * step
        axes.text(0, y, name, color=_SOFT, va="center", fontsize=11)
        axes.text(1, y, value, color=colour, va="center", ha="right", fontsize=11, fontweight="bold")
        axes.plot([0, 1], [y - step / 2] * 2, color=_LINE, linewidth=0.8)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


def draw_matrix(axes: Axes, matrix: Matrix, *, is_relative: bool) -> None:
    """The confusion matrix; relative, each true class sums to 1."""
    totals = [matrix[0][column] + matrix[1][column] for column in (0, 1)]
    for row in (0, 1):
        for column in (0, 1):
            count = matrix[row][column]
            soft, strong = (_OK_SOFT, _OK) if row == column else (_NOK_SOFT, _NOK)
            colours = (soft, strong) if count else (_PALE, _SOFT)
            axes.fill([column + 0.03, column + 0.97, column + 0.97, column + 0.03],
                      [row + 0.03, row + 0.03, row + 0.97, row + 0.97], color=colours[0])  # fmt: skip
            share = count / totals[column] if totals[column] else None
            text = f"{count}" if not is_relative else "\u2013" if share is None else f"{share:.1%}"
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=22, fontweight="bold",
                      color=colours[1])  # fmt: skip
    axes.set_xlim(0, 2)
    axes.set_ylim(2, 0)
    axes.set_xticks([0.5, 1.5], [f"is {name}" for name in _CLASSES], fontsize=11)
    axes.set_yticks([0.5, 1.5], [f"called {name}" for name in _CLASSES], fontsize=11)
    axes.xaxis.tick_top()


def draw_pies(axes: Axes, shares: tuple[Share, Share]) -> None:
    """A pie for each class: what is right of it in colour."""
    for index, (share, colour) in enumerate(zip(shares, (_OK, _NOK), strict=True)):
        rate = share.rate
        parts, colours = ([1.0], [_PALE]) if rate is None else ([rate, 1 - rate], [colour, _LINE])
        axes.pie(
            parts,
            colors=colours,
            center=(2.8 * index, 0),
            startangle=90,
            counterclock=False,
            wedgeprops={"edgecolor": "white", "linewidth": 1.5},
        )
        axes.text(2.8 * index, -1.32, share.name, ha="center", fontsize=12, fontweight="bold", color=colour)
        axes.text(2.8 * index, -1.62, share.label, ha="center", fontsize=10, color=_SOFT)
    axes.set_xlim(-1.4, 4.2)
    axes.set_ylim(-1.8, 1.1)


def least_epoch(errors: Sequence[float], best_epoch: int | None) -> int:
    """The best epoch, counted from 1.

    Raises:
        SettingsError: There is no finite error, or `best_epoch` is none of the epochs or has no finite one.
    """
    finite = {epoch: error for epoch, error in enumerate(errors, start=1) if math.isfinite(error)}
    if not finite:
        raise SettingsError("there is no finite training error to draw; train for one epoch or more")
    best = min(finite, key=lambda epoch: finite[epoch]) if best_epoch is None else best_epoch
    if best not in finite:
        raise SettingsError(f"epoch {best} has no finite error; give one of 1 to {len(errors)} that has")
    return best
