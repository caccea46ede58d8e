"""An event loop whose time is made up: where everybody waits it leaps to the next timer, so seconds cost nothing."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from typing_extensions import override

T = TypeVar("T")


class _Leaping(selectors.SelectSelector):
    """Never waits: the time that it was to wait for has passed at once."""

    now_s = 0.0

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events:
            assert timeout is not None, "everybody waits for something that will never happen"
            self.now_s += timeout
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """For tasks of one thread; what other threads or sockets do takes no time here."""

    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)

    @override
    def time(self) -> float:
        return self._leaping.now_s


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on such a loop; `asyncio.get_running_loop().time()` tells its seconds, which begin at 0."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
