"""The time from capture to verdict over the run, as SVG within the page: one dot a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from deploy.demo.account import CameraAccount
from trainer.charts.canvas import name
from trainer.charts.inline import in_both_widths
from trainer.charts.palette import ACCENT, SECOND

HEIGHT = 280
_COLOURS = (ACCENT, SECOND)

Dots = Sequence[tuple[float, float]]
"""Of each frame: seconds since the first one, milliseconds to its verdict."""


def latency_chart(cameras: Mapping[str, CameraAccount]) -> str:
    """Draw all frames of all cameras; returns `<svg>` elements without external references, "" of no verdicts."""
    answered = {title: account.answered for title, account in cameras.items()}
    first = min((sent.captured_at for part in answered.values() for sent, _ in part), default=None)
    if first is None:
        return ""
    dots = {
        title: [((sent.captured_at - first) / 1e6, received.latency_ms) for sent, received in part]
        for title, part in answered.items()
    }
    label = "Milliseconds from capture to verdict of each frame"
    return in_both_widths(lambda axes: _draw(axes, dots), label, HEIGHT)


def _draw(axes: Axes, cameras: Mapping[str, Dots]) -> None:
    for number, (title, dots) in enumerate(cameras.items()):
        seconds, milliseconds = [at for at, _ in dots], [ms for _, ms in dots]
        colour = _COLOURS[number % len(_COLOURS)]
        (drawn,) = axes.plot(seconds, milliseconds, "o", color=colour, alpha=0.55, markersize=4, markeredgewidth=0)
        name(drawn, "frames", title)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds since the first frame")
    axes.set_ylabel("milliseconds")
    axes.grid(visible=True, axis="y")
