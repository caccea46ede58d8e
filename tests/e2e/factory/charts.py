"""The charts of the report, as SVG within its page: the day, the gaps, the alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from tests.e2e.factory.book import Period, Tone
from tests.e2e.factory.findings import Verdict
from tests.e2e.factory.promises import Alarm
from trainer.charts.canvas import DASHED, NORMAL, SMALL, name
from trainer.charts.inline import in_both_widths
from trainer.charts.palette import ACCENT, INK, LINE, NOK, OK, PAPER, SOFT

DAY_HEIGHT, GAPS_HEIGHT = 330, 190
_AROUND_ALERTS, _ALERT = 62, 46
_DOTS: Final = {"ok": OK, "nok": NOK}
_TONES: Final[dict[Tone, tuple[str, float]]] = {"calm": (LINE, 0.35), "change": (ACCENT, 0.10), "fault": (NOK, 0.12)}
_LEAST_MS: Final = 10.0
_STEPS_MS: Final = (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000)


def day_chart(verdicts: Sequence[Verdict], periods: Sequence[Period], *, budget_ms: float) -> str:
    """Every verdict of the day: when its frame was captured, and how long it took; periods are numbered from 1 and shaded."""
    begin_s = min(one.captured_s for one in verdicts)
    label = "Milliseconds from capture to verdict of each frame, over the day"
    return in_both_widths(lambda axes: _draw_day(axes, verdicts, periods, begin_s, budget_ms), label, DAY_HEIGHT)


def gaps_chart(around_ms: Sequence[float], elsewhere_ms: Sequence[float]) -> str:
    """Each gap between two verdicts of a camera as a stroke: those with an exchange in them above those without."""
    label = "Milliseconds between two verdicts of a camera, with and without an exchange of its model between them"
    return in_both_widths(lambda axes: _draw_gaps(axes, around_ms, elsewhere_ms), label, GAPS_HEIGHT)


def alerts_chart(alarms: Sequence[Alarm], others: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """When each fault was there, and when each alert fired: seconds since the first fault.

    Args:
        alarms: that were provoked.
        others: alerts that fired beside them, with their spans (s since 1970).
    """
    height = _AROUND_ALERTS + _ALERT * (len(alarms) + len(others))
    label = "When faults were provoked and mended, and when their alerts fired"
    return in_both_widths(lambda axes: _draw_alerts(axes, alarms, others), label, height)


def _draw_day(
    axes: Axes, verdicts: Sequence[Verdict], periods: Sequence[Period], begin_s: float, budget_ms: float
) -> None:
    axes.set_yscale("log")
    for number, period in enumerate(periods, start=1):
        begin, end = ((at - begin_s) / 60 for at in (period.begin_s, period.end_s))
        colour, alpha = _TONES[period.tone]
        axes.axvspan(begin, end, color=colour, alpha=alpha, linewidth=0)
        axes.annotate(
            str(number), ((begin + end) / 2, 1), xycoords=("data", "axes fraction"), xytext=(0, 5),
            textcoords="offset points", ha="center", fontsize=SMALL, fontweight="bold", color=SOFT,
        )  # fmt: skip
    groups = {
        "ok": [one for one in verdicts if one.status == "inspected" and one.anomaly_class == "ok"],
        "nok": [one for one in verdicts if one.status == "inspected" and one.anomaly_class == "nok"],
        "not inspected": [one for one in verdicts if one.status != "inspected"],
    }
    for title, found in groups.items():
        minutes = [(one.captured_s - begin_s) / 60 for one in found]
        latencies = [max(one.latency_ms, _LEAST_MS) for one in found]
        (drawn,) = axes.plot(
            minutes, latencies, "o", color=_DOTS.get(title, INK), alpha=0.6, markersize=3.4, markeredgewidth=0
        )  # fmt: skip
        name(drawn, "frames", title)
    axes.axhline(budget_ms, color=INK, linewidth=1.5, linestyle=DASHED)
    axes.annotate(
        "deadline", (0, budget_ms), xycoords=("axes fraction", "data"), xytext=(4, 4), textcoords="offset points",
        fontsize=SMALL, color=INK,
    )  # fmt: skip
    highest = max([budget_ms, *(one.latency_ms for one in verdicts)])
    axes.set_ylim(_LEAST_MS, 1.6 * highest)
    steps = [step for step in _STEPS_MS if step <= 1.6 * highest]
    axes.set_yticks(steps, [f"{step:,}" for step in steps])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("minutes since the first frame")
    axes.set_ylabel("milliseconds")
    axes.grid(visible=True, axis="y")


def _draw_gaps(axes: Axes, around_ms: Sequence[float], elsewhere_ms: Sequence[float]) -> None:
    rows = (("without an exchange", elsewhere_ms, SOFT, 0.18), ("with an exchange", around_ms, ACCENT, 0.9))
    for row, (title, gaps, colour, alpha) in enumerate(rows):
        (drawn,) = axes.plot(gaps, [row] * len(gaps), "o", color=colour, alpha=alpha, markersize=8, markeredgewidth=0)
        name(drawn, "gaps", title)
        axes.annotate(
            f"{title}: {len(gaps):,}, longest {max(gaps):.0f} ms", (0, row), xycoords=("axes fraction", "data"),
            xytext=(2, 14), textcoords="offset points", fontsize=NORMAL, fontweight="bold", color=colour,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip
    axes.set_xlim(left=0)
    axes.set_ylim(-0.5, 1.75)
    axes.set_yticks([])
    axes.set_xlabel("milliseconds between two verdicts of a camera")
    axes.grid(visible=True, axis="x")


def _draw_alerts(axes: Axes, alarms: Sequence[Alarm], others: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    begin_s = min(alarm.at_s for alarm in alarms)
    count = len(alarms) + len(others)
    for row, alarm in enumerate(alarms):
        y = count - 1 - row
        begin, end = alarm.at_s - begin_s, alarm.mended_s - begin_s
        fault = axes.barh(y, max(end - begin, 0.5), left=begin, height=0.16, color=LINE)[0]
        name(fault, "fault", alarm.fault)
        if alarm.fired_s is not None and alarm.last_s is not None:
            fired = axes.barh(
                y, max(alarm.last_s - alarm.fired_s, 1.0), left=alarm.fired_s - begin_s, height=0.34, color=NOK
            )[0]  # fmt: skip
            name(fired, "alert", f"{alarm.alert} fires")
        _write(axes, y, alarm.alert, INK)
    for row, (title, spans) in enumerate(others.items(), start=len(alarms)):
        y = count - 1 - row
        for first_s, last_s in spans:
            bar = axes.barh(y, max(last_s - first_s, 1.0), left=first_s - begin_s, height=0.34, color=SOFT, alpha=0.6)[
                0
            ]
            name(bar, "alert", f"{title} fires")
        _write(axes, y, title, SOFT)
    axes.set_ylim(-0.5, count - 0.3)
    axes.set_yticks([])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:.0f}"))
    axes.set_xlabel("seconds since the first fault")
    axes.grid(visible=True, axis="x")


def _write(axes: Axes, y: float, text: str, colour: str) -> None:
    axes.annotate(
        text, (0, y), xycoords=("axes fraction", "data"), xytext=(2, 11), textcoords="offset points", fontsize=NORMAL,
        fontweight="bold", color=colour, bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.0},
    )  # fmt: skip
