"""Threads for decoding and encoding, which would block the event loop. Encoding goes first, because it is nearer to the end.

There is one more thread than asked for; it does only urgent jobs, so that these never wait for long ones that were begun before.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from inspector.watchdog.ongoing import Ongoing

Post = Callable[[Callable[[], None]], None]
"""Runs a function on the event loop, from any thread."""


class Workers:
    """A fixed number of threads and two queues, without a future or a task for each job."""

    def __init__(self, threads: int, post: Post, on_crash: Callable[[BaseException], None]) -> None:
        """Prepare `threads` threads for jobs of both kinds, and one for urgent jobs.

        Args:
            threads: at least 1.
            post: how a thread reaches the event loop.
            on_crash: called on the loop when a job raised, which jobs must not.
        """
        self._post = post
        self._on_crash = on_crash
        self._urgent: deque[Callable[[], Callable[[], None]]] = deque()
        self._plain: deque[Callable[[], Callable[[], None]]] = deque()
        lock = threading.Lock()
        self._ready = threading.Condition(lock)
        self._ready_urgent = threading.Condition(lock)  # of the thread that takes no other jobs
        self._stopping = False
        self.working = Ongoing()
        """The jobs that run, by their threads' names."""
        self._threads = [
            threading.Thread(target=self._run, args=(number < threads,), name=f"worker-{number}", daemon=True)
            for number in range(threads + 1)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def submit(self, job: Callable[[], Any], done: Callable[[Any], None], *, urgent: bool = False) -> None:
        """Run `job` on a thread, then `done` with what it returned on the event loop. Event loop only.

        Jobs of a kind start in the order of submission, urgent ones before the others.
        """
        self.submit_each([job], lambda outcomes: done(*outcomes), urgent=urgent)

    def submit_each(
        self, jobs: Sequence[Callable[[], Any]], done: Callable[[list[Any]], None], *, urgent: bool = False
    ) -> None:
        """Run `jobs` one after the other on one thread, each a step of `working`, then `done` with all that they returned. See `submit`."""

        def work() -> Callable[[], None]:
            return functools.partial(done, [self._run_job(job) for job in jobs])

        with self._ready:
            (self._urgent if urgent else self._plain).append(work)
            self._ready.notify()
            if urgent:
                self._ready_urgent.notify()

    def stop(self, timeout_s: float) -> bool:
        """Let running jobs end, drop the others; wait up to `timeout_s`, and leave threads that have not ended to their fate.

        Returns:
            Whether all have ended.
        """
        deadline_s = time.monotonic() + timeout_s
        with self._ready:
            self._stopping = True
            self._ready.notify_all()
            self._ready_urgent.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline_s - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self, takes_plain: bool) -> None:  # noqa: FBT001 one of ours calls it
        while (work := self._next(takes_plain)) is not None:
            try:
                done = work()
            except BaseException as exc:  # noqa: BLE001 a thread that dies silently would stall the service
                self._post(functools.partial(self._on_crash, exc))
                return
            self._post(done)
            del work, done  # or an idle thread would keep what its last job had, a model that was replaced with it

    def _run_job(self, job: Callable[[], Any]) -> Any:  # noqa: ANN401
        with self.working.step(threading.current_thread().name):
            return job()

    def _next(self, takes_plain: bool) -> Callable[[], Callable[[], None]] | None:  # noqa: FBT001
        with self._ready:
            while not self._stopping:
                if self._urgent:
                    return self._urgent.popleft()
                if takes_plain and self._plain:
                    return self._plain.popleft()
                (self._ready if takes_plain else self._ready_urgent).wait()
            return None


def give_way(nice: int) -> None:
    """Let the calling thread give way to the process's others, by so much as `nice` says. On Linux; elsewhere it would be the process."""
    with contextlib.suppress(OSError, AttributeError):
        if os.uname().sysname == "Linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
