"""Test scores and thresholds: HALCON's step curves, bars of both classes, and the numbers beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from inspector.anomaly.choices import AnomalyClass
from trainer.charts.canvas import DASHED, LARGE, SMALL, dress, finite, name, strip, write_above
from trainer.charts.palette import INK, LINE, NOK, OK, SOFT
from trainer.evaluation.confusion import ScoreHistogram, curve_between

_COLOURS: Final[dict[AnomalyClass, str]] = {"ok": OK, "nok": NOK}
_MEANINGS: Final[dict[AnomalyClass, str]] = {
    "ok": "share of ok images at or above a score",
    "nok": "share of nok images up to a score",
}
_BINS = 40
_BAR = 0.9
_ESTIMATED_DASHES: Final = ("--", ":", "-.")


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
    axes.axvline(threshold, color=INK, linewidth=1.75, linestyle=DASHED)
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
