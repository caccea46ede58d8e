"""The watchdog, with a clock of the test's: who hangs ends the process with its own status, after a drain where there can be one."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from inspector.errors import HangError
from inspector.watchdog import watchdog
from inspector.watchdog.hang import Watched
from inspector.watchdog.watchdog import LEAVE_S, TICK_S, Watchdog


class Bench:
    """A process of two parts, a clock, and what became of it."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.loop = {"": 0}
        self.device: dict[str, int] = {}
        self.left: list[int] = []
        self.hangs: list[HangError] = []
        self.signs = 0
        self.dog = Watchdog(
            [
                Watched("the loop has not run for {seconds} s", 10.0, 10, lambda: dict(self.loop), drains=False),
                Watched("{doer} hangs for {seconds} s", 20.0, 11, lambda: dict(self.device)),
            ],
            on_hang=self.hangs.append,
            drain_s=5.0,
            leave=self.left.append,
            on_alive=self._sign,
            clock=lambda: self.now_s,
        )

    def _sign(self) -> None:
        self.signs += 1

    def run(self, seconds: float, *, loop_runs: bool = True) -> None:
        """Let time pass, tick by tick."""
        for _ in range(round(seconds / TICK_S)):
            self.now_s += TICK_S
            self.loop[""] += loop_runs
            self.dog.tick()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.dog.stop()


def test_who_goes_on_or_has_nothing_to_do_ends_nothing(bench: Bench) -> None:
    bench.run(100)
    for step in range(10):
        bench.device["device-0"] = step
        bench.run(19)
    del bench.device["device-0"]
    bench.run(100)
    assert bench.left == []
    assert bench.hangs == []


def test_a_loop_that_hangs_ends_the_process_at_once_with_all_stacks_in_the_log(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.run(9.5, loop_runs=False)
    assert (bench.left, bench.signs) == ([], 19)
    bench.run(1, loop_runs=False)
    assert bench.left[0] == 10
    assert bench.signs <= 20, "no look that ends the process is a sign of life"
    assert "the loop has not run for 10 s; the process is ended at once" in caplog.text
    assert "test_a_loop_that_hangs_ends_the_process_at_once" in caplog.text, "the stack of this very thread"
    assert bench.hangs == []


def test_a_device_that_hangs_lets_the_rest_drain_and_is_told_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.device["device-0"] = 7
    bench.run(21)
    (hang,) = bench.hangs
    assert (str(hang), hang.status) == ("device-0 hangs for 20 s", 11)
    assert bench.left == []
    bench.run(5.0 + LEAVE_S - 2)
    assert bench.left == []
    assert bench.signs == (21 + 5 + LEAVE_S - 2) / TICK_S, "the drain is not cut short from outside"
    assert len(bench.hangs) == 1
    assert caplog.text.count("device-0 hangs for") == 1
    bench.run(2)
    assert bench.left[0] == 11, "the drain did not end it"
    assert "should have ended but did not" in caplog.text


def test_a_loop_that_hangs_while_it_drains_ends_with_the_first_status(bench: Bench) -> None:
    bench.device["device-0"] = 7
    bench.run(21)
    bench.run(11, loop_runs=False)
    assert bench.left[0] == 11


def test_a_process_that_was_suspended_has_not_stood_still(bench: Bench) -> None:
    bench.device["device-0"] = 7
    bench.run(5)
    for _ in range(5):
        bench.now_s += 3600
        bench.dog.tick()
    assert bench.left == []
    assert bench.hangs == []
    bench.run(1)
    assert bench.left == []


def test_a_process_that_is_to_end_and_does_not_is_ended(bench: Bench) -> None:
    bench.dog.leave_within(20.0, 3)
    bench.run(5)
    bench.dog.leave_within(1.0, 9)  # something failed while it was draining
    bench.dog.leave_within(60.0, 9)
    bench.run(1 + LEAVE_S - 1)
    assert bench.left == []
    bench.run(2)
    assert bench.left[0] == 9


def test_a_log_that_nobody_reads_holds_up_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "LAST_WORDS_S", 0.01)
    gate = threading.Event()
    monkeypatch.setattr(watchdog.log, "critical", lambda *_args: gate.wait(60))
    bench.run(11, loop_runs=False)
    assert bench.left[0] == 10
    gate.set()


def test_the_thread_ticks_by_itself() -> None:
    left = threading.Event()
    dog = Watchdog(
        [Watched("still for {seconds} s", 1.0, 10, lambda: {"": 1}, drains=False)],
        on_hang=lambda _hang: None,
        drain_s=1.0,
        leave=lambda _status: left.set(),
    )
    dog.start()
    assert left.wait(60)
    dog.stop()
