"""Verdicts at a threshold: pies of precision and recall, and the confusion matrix."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from trainer.charts.canvas import LARGE, NORMAL, name, strip
from trainer.charts.palette import GRID, LINE, NOK, NOK_SOFT, OK, OK_SOFT, PAPER, SOFT
from trainer.evaluation.confusion import Counts, Share

_APART = 2.8
_CELL = 0.94
_COLOURS = {"ok": OK, "nok": NOK}


def draw_pies(axes: Axes, shares: tuple[Share, Share]) -> None:
    """A pie for each class: what is right of it in colour. A class without images is an empty circle, and says so."""
    strip(axes)
    for index, share in enumerate(shares):
        x, colour = _APART * index, _COLOURS[share.name]
        _draw_pie(axes, share, x)
        _write_below(axes, x, share.name, 20, fontsize=LARGE, fontweight="bold", color=colour)
        _write_below(axes, x, share.label, 40, fontsize=NORMAL, color=SOFT)
    axes.set_xlim(-1.3, _APART + 1.3)
    axes.set_ylim(-1.02, 1.02)
    axes.set_anchor("N")


def _write_below(axes: Axes, x: float, text: str, away: float, **style: Any) -> None:
    """`away` units below the pie."""
    axes.annotate(text, (x, -1), xytext=(0, -away), textcoords="offset points", ha="center", **style)


def _draw_pie(axes: Axes, share: Share, x: float) -> None:
    rate = share.rate
    if rate is None:
        slices, edge = [("none", 1.0, PAPER)], {"edgecolor": SOFT, "linestyle": (0, (4, 4)), "linewidth": 1}
    else:
        slices = [(share.name, rate, _COLOURS[share.name]), ("wrong", 1 - rate, LINE)]
        edge = {"edgecolor": PAPER, "linewidth": 1.5}
    slices = [part for part in slices if part[1]]
    wedges = axes.pie(
        [size for _, size, _ in slices],
        colors=[colour for *_, colour in slices],
        center=(x, 0),
        startangle=90,
        counterclock=False,
        wedgeprops=edge,
    )[0]
    for wedge, (kind, *_) in zip(wedges, slices, strict=True):
        name(wedge, f"slice {kind}", f"{share.name}: {share.label}")


def draw_matrix(axes: Axes, matrix: Counts, *, is_relative: bool) -> None:
    """The confusion matrix; relative, each true class sums to 1."""
    strip(axes)
    for row in (0, 1):
        for column in (0, 1):
            count, total = matrix[row][column], matrix[0][column] + matrix[1][column]
            ground, strong = (OK_SOFT, OK) if row == column else (NOK_SOFT, NOK)
            ground, strong = (ground, strong) if count else (GRID, SOFT)
            axes.bar(column, _CELL, width=_CELL, bottom=row - _CELL / 2, color=ground)
            text = f"{count}" if not is_relative else f"{count / total:.1%}" if total else "\u2013"
            axes.text(column, row, text, ha="center", va="center", fontsize=28, fontweight="bold", color=strong)
    axes.set_xlim(-0.5, 1.5)
    axes.set_ylim(1.5, -0.5)
    axes.set_xticks([0, 1], ["is ok", "is nok"], fontsize=LARGE)
    axes.set_yticks([0, 1], ["called ok", "called nok"], fontsize=LARGE)
    axes.xaxis.tick_top()
    axes.tick_params(top=False)
