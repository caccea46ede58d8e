"""The archive's one thread for its storage: however slow that is, the event loop and the membership in the group go on."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Final

JOIN_S: Final = 5.0
SLOW_S: Final = 10.0
"""A call that takes longer is told: the storage hangs, or is very slow."""

_Job = tuple[Callable[[], object], asyncio.Future[object]]


class StorageThread:
    """Runs calls one after the other. Event loop only, but for `slow_s`."""

    def __init__(self) -> None:
        """Prepare; nothing runs before `start`."""
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._begun_s: float | None = None
        # A thread that hangs in a network's file system must not hold up the end of the process.
        self._thread = threading.Thread(target=self._work, name="archive", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def run(self, call: Callable[[], object]) -> object:
        """Return what `call` returns; a caller that is cancelled leaves it running, and later calls wait for it.

        Raises:
            Exception: That of the call.
        """
        done: asyncio.Future[object] = self._loop.create_future()
        self._jobs.put((call, done))
        return await done

    def slow_s(self) -> float:
        """Return for how long the present call has been running; 0.0 where none is."""
        begun_s = self._begun_s
        return 0.0 if begun_s is None else time.monotonic() - begun_s

    def stop(self) -> bool:
        """Let the thread end after the calls that wait; return whether it has, within `JOIN_S`."""
        self._jobs.put(None)
        self._thread.join(JOIN_S)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            call, done = job
            self._begun_s = time.monotonic()
            outcome: object = None
            failure: BaseException | None = None
            try:
                outcome = call()
            except BaseException as exc:  # noqa: BLE001 the caller gets it
                failure = exc
            self._begun_s = None
            try:
                self._loop.call_soon_threadsafe(_settle, done, outcome, failure)
            except RuntimeError:  # the loop has closed; nobody waits
                return


def _settle(done: asyncio.Future[Any], outcome: object, failure: BaseException | None) -> None:
    if done.done():
        return
    if failure is None:
        done.set_result(outcome)
    else:
        done.set_exception(failure)
