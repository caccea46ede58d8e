"""The watchdog: a thread of its own that ends the process if something in it stands still.

Python cannot interrupt what hangs, be it a kernel of a GPU or a library that waits for ever; only a new process helps. If the event
loop still runs, it first finishes and commits what it has; if the event loop hangs, the
process ends at once. A thread that holds the interpreter's lock in C code stops this thread too; then /healthz no longer answers.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from inspector.errors import HangError
from inspector.watchdog.hang import Stillness, Watched

log = logging.getLogger(__name__)

TICK_S = 0.5

LAST_WORDS_S = 5.0
"""For the log, which may be what hangs."""

LEAVE_S = 30.0
"""For a process that is told to end, beside the time of its drain."""


class _Leaving(NamedTuple):
    status: int
    left_s: float


class Watchdog:
    """Looks at everything twice a second. `leave_within` from any thread."""

    def __init__(
        self,
        watched: Iterable[Watched],
        *,
        on_hang: Callable[[HangError], None],
        drain_s: float,
        leave: Callable[[int], None] = os._exit,
        on_alive: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; nothing is watched before `start`.

        Args:
            watched: what must not stand still.
            on_hang: told, on this thread, of what the rest can still be drained after.
            drain_s: how long that may take.
            leave: ends the process with a status, whatever its other threads do.
            on_alive: told, on this thread, after each look that did not end the process; must neither raise nor wait.
            clock: monotonic seconds.
        """
        self._watched = [(one, Stillness(TICK_S)) for one in watched]
        self._on_hang = on_hang
        self._drain_s = drain_s
        self._leave = leave
        self._on_alive = on_alive
        self._clock = clock
        self._seen_s = clock()
        self._hang: HangError | None = None
        self._leaving: _Leaving | None = None
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Watch from now on."""
        self._seen_s = self._clock()
        self._thread.start()

    def stop(self) -> None:
        """Watch no more; also where it was never started."""
        self._stopped.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def leave_within(self, seconds: float, status: int) -> None:
        """End the process with `status` unless it has ended by itself within `seconds` and a little more.

        Of several calls the soonest time counts, and the last status.
        """
        left_s = seconds + LEAVE_S
        with self._lock:
            self._leaving = _Leaving(status, left_s if self._leaving is None else min(left_s, self._leaving.left_s))

    def tick(self) -> None:
        """Look once. Called by the thread, and by tests."""
        now_s = self._clock()
        passed_s, self._seen_s = min(now_s - self._seen_s, TICK_S), now_s
        if self._has_left_late(passed_s):
            return
        for one, stillness in self._watched:
            for doer, still_s in stillness.look(one.steps(), passed_s).items():
                if one.is_over(still_s):
                    self._found(one, one.says(doer, still_s))
        if not self._stopped.is_set():
            self._on_alive()

    def _run(self) -> None:
        while not self._stopped.wait(TICK_S):
            self.tick()

    def _has_left_late(self, passed_s: float) -> bool:
        with self._lock:
            if self._leaving is None:
                return False
            self._leaving = leaving = self._leaving._replace(left_s=self._leaving.left_s - passed_s)
        if leaving.left_s > 0:
            return False
        self._end("the process should have ended but did not; it is ended now", leaving.status)
        return True

    def _found(self, one: Watched, sentence: str) -> None:
        status = one.status if self._hang is None else self._hang.status
        if not one.drains:
            self._end(
                f"{sentence}; the process is ended at once, and everything not committed will be read again", status
            )
        elif self._hang is None:
            self._hang = HangError(sentence, status)
            _last_words(f"{sentence}; everything else is finished and committed, then the process ends")
            self.leave_within(self._drain_s, status)
            self._on_hang(self._hang)

    def _end(self, sentence: str, status: int) -> None:
        _last_words(sentence)
        self._stopped.set()
        self._leave(status)


def _last_words(sentence: str) -> None:
    """Log a sentence and what every thread is at; wait for that no longer than `LAST_WORDS_S`, since logging may be what hangs."""
    stacks = _stacks()

    def say() -> None:
        log.critical("%s", sentence)
        log.critical("stacks of all threads:\n%s", stacks)

    speaker = threading.Thread(target=say, name="last-words", daemon=True)
    speaker.start()
    speaker.join(LAST_WORDS_S)


def _stacks() -> str:
    """Return the stacks of all threads.

    By way of a file: faulthandler keeps the interpreter's lock while it writes, so that a log that nobody reads would stop everything.
    """
    with contextlib.suppress(OSError), tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        return file.read().decode(errors="replace")
    return "unknown: no temporary file can be written"
