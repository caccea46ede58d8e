"""Tells from results alone which frames of a partition have had a result; a frame without one counts as missing. Pure."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

MOST_OPEN: Final = 100_000
"""Frames of one partition that are waited for at once; a longer jump begins anew behind it."""


class Answers:
    """The answers to one partition of frames."""

    def __init__(self, wait_s: float) -> None:
        """Wait `wait_s` for a result once a later frame has had its own."""
        self._wait_s = wait_s
        self._highest: int | None = None
        self._open: OrderedDict[int, float] = OrderedDict()
        self._missed: OrderedDict[int, None] = OrderedDict()

    def answered(self, offset: int, now_s: float) -> bool:
        """Note a result; return whether it is late: its frame was given up before."""
        if self._highest is None or offset - self._highest > MOST_OPEN:
            self._open.clear()
            self._highest = offset
            return False
        for missing in range(self._highest + 1, offset):
            self._open[missing] = now_s
        self._highest = max(self._highest, offset)
        self._open.pop(offset, None)
        while len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)
        is_late = offset in self._missed
        self._missed.pop(offset, None)
        return is_late

    def overdue(self, now_s: float) -> list[int]:
        """Return the offsets that are waited for no longer, each once. Not all need be frames: markers of transactions have offsets, too."""
        due: list[int] = []
        while self._open:
            offset, since_s = next(iter(self._open.items()))
            if now_s - since_s < self._wait_s:
                break
            del self._open[offset]
            due.append(offset)
            self._missed[offset] = None
        while len(self._missed) > MOST_OPEN:
            self._missed.popitem(last=False)
        return due
