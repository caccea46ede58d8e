"""Calls the pipeline's next step in the event loop: soon or at a given time, never twice in one turn, and never stops silently."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Pump:
    """Calls one function, however many ask for it. Event loop only."""

    def __init__(self, work: Callable[[], None], on_crash: Callable[[BaseException], None]) -> None:
        """Call `work`; tell `on_crash` what it raises, which asyncio would only log."""
        self._work = work
        self._on_crash = on_crash
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None

    def soon(self) -> None:
        """Call in this turn of the loop or the next."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._run)

    def after(self, delay_s: float | None) -> None:
        """Call after `delay_s`, instead of what an earlier `after` asked for; None only takes that back."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if delay_s is None else asyncio.get_running_loop().call_later(max(0.0, delay_s), self._run)

    def _run(self) -> None:
        self._scheduled = False
        try:
            self._work()
        except Exception as exc:  # noqa: BLE001 whatever it is, the process must not go on half dead
            self._on_crash(exc)
