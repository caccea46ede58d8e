"""The error of each epoch of a training."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from trainer.charts.canvas import name, write_above
from trainer.charts.palette import ACCENT, OK, PAPER
from trainer.errors import SettingsError

_WITH_MARKERS = 40


def draw_training(axes: Axes, errors: Sequence[float], best: int) -> None:
    """The error of each epoch, the best one marked.

    Args:
        axes: To draw on.
        errors: One an epoch; those that are not finite leave a gap.
        best: Counted from 1, as `best_epoch` gives it.
    """
    shown = [error if math.isfinite(error) else math.nan for error in errors]
    low, high = min(e for e in shown if e == e), max(e for e in shown if e == e)  # noqa: PLR0124 - nan differs from itself
    margin = 0.08 * (high - low) or abs(high) * 0.1 or 1.0
    # Errors are not negative; the axis is not either.
    axes.set_ylim(max(0.0, low - margin) if low >= 0 else low - margin, high + margin)
    axes.set_xlim(0.5, len(errors) + 0.5)
    label = f"best: {errors[best - 1]:.4g} in epoch {best}"
    marker = "o" if len(shown) <= _WITH_MARKERS else None
    (curve,) = axes.plot(range(1, len(shown) + 1), shown, color=ACCENT, linewidth=2, marker=marker, markersize=4)
    name(curve, "curve error", "error of each epoch")
    axes.axvline(best, color=OK, linewidth=1.5, linestyle=(0, (5, 4)))
    (mark,) = axes.plot(
        [best], [errors[best - 1]], "o", color=OK, markersize=10, markeredgecolor=PAPER, markeredgewidth=2
    )
    name(mark, "best", label)
    write_above(axes, best, label, colour=OK)
    axes.set_xlabel("epoch")
    axes.set_ylabel("error")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, axis="y")


def least_epoch(errors: Sequence[float], best_epoch: int | None) -> int:
    """The best epoch, counted from 1.

    Raises:
        SettingsError: There is no finite error, or `best_epoch` is not one of the epochs or has no finite one.
    """
    finite = {epoch: error for epoch, error in enumerate(errors, start=1) if math.isfinite(error)}
    if not finite:
        raise SettingsError("there is no finite training error to draw; train for at least one epoch")
    best = min(finite, key=lambda epoch: finite[epoch]) if best_epoch is None else best_epoch
    if best not in finite:
        raise SettingsError(f"epoch {best} has no finite error; give an epoch from 1 to {len(errors)} that has one")
    return best
