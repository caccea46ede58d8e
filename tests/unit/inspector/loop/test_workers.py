"""The workers: jobs run off the loop, the urgent ones first, and none dies unheard."""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Callable

import pytest

from inspector.loop.workers import Workers
from inspector.watchdog.hang import Stillness


def test_urgent_jobs_go_first_and_each_kind_keeps_its_order() -> None:
    posted: queue.Queue[Callable[[], None]] = queue.Queue()
    workers = Workers(1, posted.put, lambda exc: None)
    begun: list[str] = []
    together = threading.Barrier(2, timeout=30)  # both threads have an urgent job before either ends

    def urgent(name: str) -> None:
        begun.append(name)
        together.wait()

    for name in ("p1", "p2"):
        workers.submit(functools.partial(begun.append, name), lambda _outcome: None)
    for name in ("u1", "u2"):
        workers.submit(functools.partial(urgent, name), lambda _outcome: None, urgent=True)
    workers.start()
    for _ in range(4):
        posted.get(timeout=30)
    workers.stop(30)
    assert (sorted(begun[:2]), begun[2:]) == (["u1", "u2"], ["p1", "p2"])


def test_jobs_run_at_the_same_time_on_as_many_threads_as_asked() -> None:
    posted: queue.Queue[Callable[[], None]] = queue.Queue()
    workers = Workers(2, posted.put, lambda exc: None)
    together = threading.Barrier(2, timeout=30)
    workers.start()
    done: list[object] = []
    workers.submit(together.wait, done.append)
    workers.submit(together.wait, done.append)
    posted.get(timeout=30)()
    posted.get(timeout=30)()
    workers.stop(30)
    assert len(done) == 2


def test_a_job_that_raises_is_reported() -> None:
    posted: queue.Queue[Callable[[], None]] = queue.Queue()
    crashes: list[BaseException] = []
    workers = Workers(1, posted.put, crashes.append)
    workers.start()

    def fail() -> None:
        raise RuntimeError("a job must not raise")

    workers.submit(fail, lambda _outcome: None)
    posted.get(timeout=30)()
    workers.stop(30)
    assert [str(exc) for exc in crashes] == ["a job must not raise"]


def test_a_stop_drops_what_was_not_begun() -> None:
    posted: queue.Queue[Callable[[], None]] = queue.Queue()
    workers = Workers(1, posted.put, lambda exc: None)
    workers.submit(lambda: 1, lambda _outcome: None)
    workers.stop(30)
    workers.start()
    workers.stop(30)
    assert posted.empty()


def test_an_urgent_job_never_waits_behind_plain_ones() -> None:
    """A refusal is answered while every thread that decodes is busy."""
    posted: queue.Queue[Callable[[], None]] = queue.Queue()
    workers = Workers(2, posted.put, lambda exc: None)
    workers.start()
    busy, release = threading.Semaphore(0), threading.Event()
    done: list[object] = []

    def decode() -> str:
        busy.release()
        return "decoded" if release.wait(30) else "hung"

    for _ in range(3):
        workers.submit(decode, done.append)
    for _ in range(2):
        assert busy.acquire(timeout=30)
    for _ in range(5):
        workers.submit(lambda: "refused", done.append, urgent=True)
    for _ in range(5):
        posted.get(timeout=30)()
    assert done == ["refused"] * 5
    assert not busy.acquire(blocking=False), "the thread for urgent jobs takes no other"
    release.set()
    for _ in range(3):
        posted.get(timeout=30)()
    workers.stop(30)
    assert done[5:] == ["decoded"] * 3


def test_all_threads_share_one_time_to_end_and_those_that_have_not_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    posted: queue.Queue[Callable[[], None]] = queue.Queue()
    workers = Workers(3, posted.put, lambda exc: None)
    waits: list[float] = []
    busy, release = threading.Semaphore(0), threading.Event()

    def work() -> None:
        busy.release()
        release.wait(60)

    workers.start()
    for _ in range(3):
        workers.submit(work, lambda _outcome: None)
    for _ in range(3):
        assert busy.acquire(timeout=30)

    def join(thread: threading.Thread, timeout: float | None = None) -> None:
        assert timeout is not None
        waits.append(timeout)
        wait(thread, timeout)

    wait = threading.Thread.join
    monkeypatch.setattr(threading.Thread, "join", join)
    assert not workers.stop(0.2)
    assert sum(waits) < 2 * 0.2
    release.set()
    assert workers.stop(30)


def test_each_of_many_jobs_is_a_step_of_its_own_for_whoever_watches() -> None:
    """None of them hangs because all together take long: 40 s for each job, by the watcher's clock."""
    posted: queue.Queue[Callable[[], None]] = queue.Queue()
    workers = Workers(1, posted.put, lambda exc: None)
    stillness = Stillness(60.0)

    def job() -> list[float]:
        return [still_s for _ in range(3) for still_s in stillness.look(workers.working.steps(), 20.0).values()]

    done: list[list[list[float]]] = []
    workers.submit_each([job] * 3, done.append, urgent=True)
    workers.start()
    posted.get(timeout=30)()
    workers.stop(30)
    assert done == [[[0.0, 20.0, 40.0]] * 3]
    assert workers.working.steps() == {}
