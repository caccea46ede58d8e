"""Nothing is learnt of the device's pace, so no frame is given up before its deadline has passed."""

from __future__ import annotations

from inspector.inflight.pace import Pace


def install() -> None:
    """Let every batch be expected to take no time."""

    def observe(self: Pace, size: int, seconds: float) -> None:
        return

    Pace.observe = observe  # type: ignore[method-assign]
