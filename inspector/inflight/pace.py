"""Learns from past batches how long a batch takes, so that nothing is begun that cannot be in time. Pure."""

from __future__ import annotations

WEIGHT = 0.1
"""Of a new batch against all before it; of the first ten it is their plain mean."""

OUTLIER = 3.0
"""How many times as long as expected a batch counts at most: one hiccup is not the pace, and a lasting change is learnt all the same."""

SURE = 3
"""As many batches in a row that are faster by that factor are the pace from now on; of the first ten, which may be a slow start, one."""


class Pace:
    """A line through the seconds of batches over their sizes, and how far they usually are from it.

    On a CPU a batch takes as long as its pictures do one by one, on a GPU hardly longer than one picture; the line tells which. The
    means are exponentially weighted, so that it follows a machine that becomes slower or faster.
    """

    def __init__(self) -> None:
        """Know nothing: everything is expected to take no time."""
        self._size = self._seconds = self._size_squared = self._product = 0.0
        self._deviation_s = 0.0
        self._count = self._fast = 0

    def observe(self, size: int, seconds: float) -> None:
        """Learn that a batch of `size` pictures took `seconds`."""
        self._fast = self._fast + 1 if seconds * OUTLIER < self.mean_s(size) else 0
        if self._fast >= (1 if self._count * WEIGHT < 1 else SURE):
            self._size = self._seconds = self._size_squared = self._product = self._deviation_s = 0.0
            self._count = self._fast = 0
        if self._count > 1 and self._seconds > 0:
            seconds = min(seconds, OUTLIER * max(self._seconds, self.expected_s(size)))
        self._count += 1
        weight = max(WEIGHT, 1 / self._count)
        if self._count > 1:
            self._deviation_s += weight * (abs(seconds - self.mean_s(size)) - self._deviation_s)
        self._size += weight * (size - self._size)
        self._seconds += weight * (seconds - self._seconds)
        self._size_squared += weight * (size * size - self._size_squared)
        self._product += weight * (size * seconds - self._product)

    def expected_s(self, size: int) -> float:
        """Return the seconds that a batch of `size` is expected to take, and the usual error of that; 0 before the first."""
        return self.mean_s(size) + self._deviation_s

    def mean_s(self, size: int) -> float:
        """Return the line at `size`: its slope at least 0, at most that of a line through the origin; 0 before the first batch."""
        if not self._count:
            return 0.0
        spread = self._size_squared - self._size**2
        steepest = self._seconds / self._size
        slope = steepest
        if spread > 0.01 * self._size**2:  # all of one size tell nothing of others
            slope = min(max(0.0, (self._product - self._size * self._seconds) / spread), steepest)
        return max(0.0, self._seconds + slope * (size - self._size))
