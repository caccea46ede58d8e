"""How each kind of panel is drawn: lines, a figure, a heat map, a timeline, a table."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from deploy.local.prometheus import Series
from tests.monitoring.rules import PACE_S
from tests.monitoring.shots import Shot

PAPER, INK = "#f4f5f5", "#24292e"
COLORS = (
    "#5794f2",
    "#e0752d",
    "#56a64b",
    "#8f3bb8",
    "#e02f44",
    "#f2cc0c",
    "#37872d",
    "#c4162a",
    "#1f60c4",
    "#806eb7",
    "#447ebc",
    "#c15c17",
)
LIMIT_COLOR = "#e02f44"
LEAST = 0.05
"""Fewer frames than this are none: they come from interpolating between scrapes."""
APART = 3
"""Scrapes without a value after which a line ends."""
LETTERS_ACROSS = 210
"""How many letters of a legend fit across a dashboard."""

Box = tuple[float, float, float, float]
"""Left, bottom, width, height, of the part of the figure."""


def worded(value: float, unit: str) -> str:
    """Return a value as Grafana writes it, in its unit."""
    if not math.isfinite(value):
        return "-"
    if unit == "dateTimeAsIso":
        return datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    if unit == "percentunit":
        value, suffix = 100 * value, " %"
    elif unit == "s":
        value, suffix = (1000 * value, " ms") if 0 < abs(value) < 1 else (value, " s")
    elif unit == "bytes":
        power = min(4, int(math.log(abs(value), 1024))) if abs(value) >= 1 else 0
        value, suffix = value / 1024**power, " " + ("B", "KiB", "MiB", "GiB", "TiB")[power]
    else:
        value, suffix = (value / 1000, " k") if abs(value) >= 1000 else (value, "")
    return f"{value:.3g}{suffix}"


def no_data(part: SubFigure, box: Box) -> None:
    """Say that there is none."""
    left, bottom, width, height = box
    part.text(left + width / 2, bottom + height / 2, "no data", ha="center", va="center", color=INK, alpha=0.5)


def _figure(part: SubFigure, shot: Shot, inner: Box, box: Box) -> None:
    left, bottom, width, height = box
    series = shot.answers[0].series[0]
    at, values = _points(series)
    axes = part.add_axes((left + 0.004, bottom + 0.1 * height, width - 0.008, 0.28 * height))
    axes.set_axis_off()
    axes.fill_between(at, values, np.nanmin(values), color=COLORS[0], alpha=0.15, linewidth=0)
    axes.plot(at, values, color=COLORS[0], linewidth=0.8)
    last = values[np.isfinite(values)][-1]
    part.text(
        left + width / 2,
        bottom + 0.54 * height,
        worded(last, shot.panel.unit),
        ha="center",
        va="center",
        fontsize=15,
        color=INK,
        weight="bold",
    )


def _lines(part: SubFigure, shot: Shot, inner: Box, box: Box) -> None:
    axes = part.add_axes(inner)
    named = [(answer.name(series), *_points(series)) for answer in shot.answers for series in answer.series]
    named.sort(key=lambda one: one[0])
    if shot.panel.stacked:
        _stack(axes, named)
    else:
        hues: dict[str, str] = {}
        for name, at, values in named:
            whose = name.removesuffix(" lower").removesuffix(" upper")
            color = hues.setdefault(whose, COLORS[len(hues) % len(COLORS)])
            is_end = whose != name
            axes.plot(
                at,
                values,
                color=color,
                linewidth=0.7 if is_end else 1.2,
                linestyle=":" if is_end else "-",
                label=None if is_end else name,
            )
    for limit in shot.panel.limits:
        axes.axhline(limit, color=LIMIT_COLOR, linewidth=0.9, linestyle="--")
    _dress(axes, shot.panel.unit)
    if all(value >= 0 for _, _, values in named for value in values[np.isfinite(values)]):
        axes.set_ylim(bottom=0 if shot.panel.title != "On-time share of five minutes" else None)
    _name(axes)


def _stack(axes: Axes, named: list[tuple[str, NDArray[np.float64], NDArray[np.float64]]]) -> None:
    at = np.unique(np.concatenate([one[1] for one in named]))
    layers = [np.interp(at, ours, np.nan_to_num(values), left=0, right=0) for _, ours, values in named]
    large = [(name, layer) for (name, _, _), layer in zip(named, layers, strict=True) if layer.max() > 0]
    if large:
        axes.stackplot(
            at,
            [layer for _, layer in large],
            labels=[name for name, _ in large],
            colors=COLORS,
            alpha=0.75,
            linewidth=0,
        )
    else:
        axes.plot(at, np.zeros_like(at), color=COLORS[0], linewidth=1.2)


def _heat(part: SubFigure, shot: Shot, inner: Box, box: Box) -> None:
    axes = part.add_axes(inner)
    series = sorted(shot.answers[0].series, key=lambda one: float(one.labels["le"]))
    at = np.unique(np.concatenate([_points(one)[0] for one in series]))
    below = np.stack([np.interp(at, *_points(one)) for one in series])  # (buckets, times)
    within = np.diff(below, axis=0, prepend=0).clip(0)
    within[within < LEAST] = np.nan
    axes.pcolormesh(at, np.arange(len(series) + 1), within[:, 1:], cmap="YlOrBr", shading="flat")
    bounds = [float(one.labels["le"]) for one in series]
    ticks = range(0, len(bounds), 2 if len(bounds) > 10 else 1)
    axes.set_yticks(
        [number + 1 for number in ticks],
        [f"{bounds[number]:g}" if math.isfinite(bounds[number]) else "∞" for number in ticks],
    )
    if 1.0 in bounds and "threshold" in shot.panel.title:
        axes.axhline(bounds.index(1.0) + 1, color=LIMIT_COLOR, linewidth=1.2, linestyle="--")
        axes.text(at[0], bounds.index(1.0) + 1.25, " nok from here on", color=LIMIT_COLOR, fontsize=6.5)
    used = np.flatnonzero(np.isfinite(within).any(axis=1))
    if used.size:
        axes.set_ylim(used[0], max(used[-1] + 1.5, len(bounds) - 2 if 1.0 in bounds and bounds[0] < 1 else 0))
    _dress(axes, "none", values=False)


def _timeline(part: SubFigure, shot: Shot, inner: Box, box: Box) -> None:
    left, bottom, width, height = inner
    axes = part.add_axes((left + 0.04, bottom, width - 0.04, height))
    answer = shot.answers[0]
    series = sorted(answer.series, key=answer.name, reverse=True)
    for number, one in enumerate(series):
        at, _ = _points(one)
        axes.barh(number, at[-1] - at[0], left=at[0], height=0.6, color=COLORS[number % len(COLORS)], alpha=0.8)
    axes.set_yticks(range(len(series)), [answer.name(one) for one in series])
    _dress(axes, "none", values=False)


def _table(part: SubFigure, shot: Shot, inner: Box, box: Box) -> None:
    left, bottom, width, height = box
    answer = shot.answers[0]
    hidden = {"__name__", "job"}
    columns = [
        name
        for name in ("camera", "model", "version", "digest", "device", "python", "instance")
        if name in answer.series[0].labels
    ]
    rows = sorted(
        [
            *(one.labels[name][:12] if name == "digest" else one.labels[name] for name in columns),
            worded(_points(one)[1][-1], shot.panel.unit),
        ]
        for one in answer.series
    )
    head = [*columns, "since" if shot.panel.unit.startswith("date") else "runs"]
    assert hidden.isdisjoint(head)
    step = min(0.115, 0.75 / (len(rows) + 1)) * height
    for number, row in enumerate([head, *rows]):
        for place, text in enumerate(row):
            part.text(
                left + 0.012 + place * (width - 0.02) / len(head),
                bottom + 0.78 * height - number * step,
                text,
                fontsize=6.5,
                color=INK,
                alpha=0.6 if number == 0 else 1,
                va="center",
            )


def _points(series: Series) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times and values, parted by one that is no number where for several scrapes there was none: no line leads across."""
    points = np.array(series.points, dtype=np.float64)
    breaks = np.flatnonzero(np.diff(points[:, 0]) > APART * PACE_S) + 1
    at = np.insert(points[:, 0], breaks, points[breaks - 1, 0] + PACE_S)
    return at, np.insert(points[:, 1], breaks, np.nan)


def _dress(axes: Axes, unit: str, *, values: bool = True) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#c7c8ca")
    axes.tick_params(length=0, labelsize=6, labelcolor=INK, pad=2)
    if values:
        axes.grid(axis="y", color="#e5e6e7", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")))
    if values:
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: worded(value, unit)))


def _name(axes: Axes) -> None:
    """Name the lines below the graph; what finds no room there is counted."""
    handles, names = axes.get_legend_handles_labels()
    if axes.lines:  # the largest first, for where there is no room for all
        most = {line.get_label(): float(np.nanmax(np.asarray(line.get_ydata(), np.float64))) for line in axes.lines}
        pairs = sorted(zip(handles, names, strict=True), key=lambda pair: -most.get(pair[1], 0))
        handles, names = [handle for handle, _ in pairs], [name for _, name in pairs]
    room = axes.get_position().width * LETTERS_ACROSS
    shown: list[str] = []
    while len(shown) < len(names) and sum(len(name) + 4 for name in (*shown, names[len(shown)])) < room:
        shown.append(names[len(shown)])
    if len(shown) < len(names):
        shown.append(f"and {len(names) - len(shown)} more")
        handles = [*handles[: len(shown) - 1], Line2D([], [], linewidth=0)]
    axes.legend(
        handles,
        shown,
        loc="upper left",
        bbox_to_anchor=(-0.02, -0.09),
        fontsize=6,
        frameon=False,
        ncols=max(1, len(shown)),
        borderpad=0.2,
        handlelength=0.9,
        handletextpad=0.4,
        columnspacing=0.9,
    )


Stroke = Callable[[SubFigure, Shot, Box, Box], None]
STROKES: dict[str, Stroke] = {
    "stat": _figure,
    "timeseries": _lines,
    "heatmap": _heat,
    "state-timeline": _timeline,
    "table": _table,
}
