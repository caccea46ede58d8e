"""Runs a process until it is stopped: its tasks, and which of them, or of its threads, failed first."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Supervisor:
    """Knows the tasks of one process, whether it is to stop, and what has failed. Event loop only, but for `post`."""

    def __init__(self) -> None:
        """Begin without a task, on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._crashed: asyncio.Future[None] = self._loop.create_future()
        self._tasks: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Wake up everybody who waits here: the process is to end."""
        self._stop.set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a task beside the others."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        return task

    def post(self, function: Callable[[], None]) -> None:
        """Reach the loop from a thread; one that ends its work after the loop has closed has nobody to tell."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._guarded, function)

    def crash(self, exc: BaseException) -> None:
        """Tell of a failure that no task raises; the first counts."""
        if not self._crashed.done():
            self._crashed.set_exception(exc)
            self._crashed.exception()  # one that nobody asks for any more is no warning

    async def until_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Return what `work` returns, or None if the process was to stop meanwhile.

        Raises:
            BaseException: That of `work`, or of what has crashed meanwhile.
        """
        task = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stop.wait())
        watched: set[asyncio.Future[Any]] = {task, stopped, self._crashed}
        await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if self._crashed.done():
            self._crashed.result()
        return None

    async def failure(self) -> BaseException | None:
        """Wait until the process is to stop (None), or for the failure of a task or thread; a task that ends is one."""
        stopped = asyncio.ensure_future(self._stop.wait())
        watched: set[asyncio.Future[Any]] = {stopped, self._crashed, *self._tasks}
        done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        if stopped in done:
            return None
        stopped.cancel()
        return _innermost(done.pop().exception() or RuntimeError("a task that should never end has ended"))

    async def failure_before(self, last: asyncio.Future[Any]) -> BaseException | None:
        """Wait until `last` is done (None), or for a failure; what ends in peace before is none, since the process is ending."""
        left: set[asyncio.Future[Any]] = {self._crashed, *self._tasks}
        while not last.done():
            for done in [one for one in left if one.done()]:
                left.discard(done)
                if not done.cancelled() and (failure := done.exception()) is not None:
                    return _innermost(failure)
            await asyncio.wait({last, *left}, return_when=asyncio.FIRST_COMPLETED)
        return None

    async def end(self, *, spared: asyncio.Task[None] | None = None) -> None:
        """Cancel every task but one, and wait for them."""
        ending = [task for task in self._tasks if task is not spared]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    def _guarded(self, function: Callable[[], None]) -> None:
        try:
            function()
        except Exception as exc:  # noqa: BLE001 asyncio would only log it, and the service would hang
            self.crash(exc)


def _innermost(failure: BaseException) -> BaseException:
    """Return the first failure of a group, as a task group raises it."""
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
