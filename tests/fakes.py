"""Stand-ins for tests: a clock that stands still."""

from __future__ import annotations


class FakeClock:
    """Stands still until told otherwise; the wall clock may be set apart from the monotonic one."""

    def __init__(self, *, wall_us: int = 1_800_000_000_000_000, monotonic_s: float = 1000.0) -> None:
        """Start at these times."""
        self._wall_us = wall_us
        self._monotonic_s = monotonic_s

    def wall_us(self) -> int:
        """Return the wall clock's time."""
        return self._wall_us

    def monotonic_s(self) -> float:
        """Return the monotonic clock's time."""
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self._wall_us += round(seconds * 1e6)
        self._monotonic_s += seconds

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock, as an operator or NTP does."""
        self._wall_us += round(seconds * 1e6)
