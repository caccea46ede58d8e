"""The clock of the service: the one place where time is read, so that tests can replace it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks: the wall's, shared with other hosts, and a monotonic one for everything inside the process."""

    def wall_us(self) -> int:
        """Return microseconds since 1970-01-01 UTC; may jump when the host's clock is set."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds from an arbitrary start; never jumps."""
        ...


class SystemClock:
    """The host's clocks. Safe on every thread."""

    def wall_us(self) -> int:
        """Return microseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1000

    def monotonic_s(self) -> float:
        """Return seconds of the monotonic clock, the one that asyncio's loop uses."""
        return time.monotonic()


def monotonic_deadline_s(clock: Clock, deadline_at_us: int) -> float:
    """Convert a deadline of the wall clock into one of the monotonic clock, as of now.

    A frame is converted once, at admission: a step of the wall clock while it is in flight then neither expires nor
    revives it.
    """
    return clock.monotonic_s() + (deadline_at_us - clock.wall_us()) / 1e6
