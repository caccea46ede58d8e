"""A process whose verdicts do not leave is unready, and ends where no broker is to blame."""

from __future__ import annotations

from typing import Any

import pytest

from inspector.errors import HangError
from inspector.inflight.budget import Budget, Reservation
from inspector.inflight.frame import Frame
from inspector.inflight.registry import Registry
from inspector.settings.settings import Settings
from inspector.stages.standstill import Standstill
from tests.fakes import FakeClock
from tests.inflight import inflight_frame


class Bench:
    def __init__(self, *, batch_takes_s: float = 0.1, **sections: Any) -> None:
        settings = Settings(**sections)
        self.clock = FakeClock()
        self.budget = Budget(settings.limits.max_bytes_in_flight)
        registry = Registry({})
        registry.slowest_batch_s = batch_takes_s
        self.standstill = Standstill(settings, self.budget, registry, self.clock)

    def fill(self) -> Reservation:
        return self.budget.hold(self.budget.limit_bytes)

    def frame(self, *, expected_score: float | None = None) -> Frame:
        return inflight_frame(self.budget.hold(0), expected_score=expected_score)

    def passes(self, seconds: int, *, frames: int = 0, beats: int = 0, unsent: int = 0) -> str | None:
        in_flight = [*(self.frame() for _ in range(frames)), *(self.frame(expected_score=0.1) for _ in range(beats))]
        for _ in range(seconds):
            self.clock.advance(1)
            self.standstill.look(in_flight, unsent)
        return self.standstill.not_ready


def test_frames_of_which_none_leaves_make_unready_and_then_end_the_process() -> None:
    bench = Bench()
    assert bench.passes(9, frames=3) is None
    assert bench.passes(1, frames=3) == "3 frames are in flight, and no verdict has left for 10 s"
    assert bench.passes(79, frames=3) is not None, "the limits of the watchdog come first"
    with pytest.raises(HangError, match=r"no verdict has left for 90 s; a new process may help") as failure:
        bench.passes(1, frames=3)
    assert failure.value.status == 13


def test_a_full_budget_with_nothing_in_flight_is_told_and_ends_the_process() -> None:
    bench = Bench()
    taken = bench.fill()
    why = bench.passes(10)
    assert why is not None
    assert "no frame is in flight, but 536870912 of the 536870912 bytes of limits.max_bytes_in_flight" in why
    with pytest.raises(HangError):
        bench.passes(80)
    taken.release()
    assert bench.passes(1) is None


def test_who_waits_for_brokers_is_unready_and_does_not_end() -> None:
    assert Bench().passes(1000, frames=3, unsent=3) is not None


def test_a_verdict_or_nothing_to_do_makes_ready() -> None:
    bench = Bench()
    assert bench.passes(10, frames=1) is not None
    bench.standstill.delivered(bench.frame(expected_score=0.1))
    assert bench.standstill.not_ready is not None, "a heartbeat is not what is owed"
    bench.standstill.delivered(bench.frame())
    assert bench.passes(9, frames=1) is None
    assert bench.passes(1, frames=1) is not None
    assert bench.passes(1) is None
    assert bench.passes(9, frames=1) is None


def test_heartbeats_in_flight_are_owed_to_nobody() -> None:
    assert Bench().passes(1000, beats=2) is None


def test_time_in_which_nobody_looked_does_not_count() -> None:
    bench = Bench()
    bench.passes(1, frames=1)
    bench.clock.advance(3600)
    assert bench.passes(8, frames=1) is None
    assert bench.passes(1, frames=1) is not None


def test_a_slow_device_a_linger_and_a_store_have_their_time() -> None:
    slow = Bench(batch_takes_s=4.0, batching={"linger_ms": 3000}, store={"allowed_prefixes": ("file:///pictures/",)})
    assert slow.passes(24, frames=1) is None
    assert slow.passes(1, frames=1) is not None, "five batches, the linger, and 2 s for the store"


@pytest.mark.parametrize(
    ("batch_takes_s", "watchdog", "limit_s"),
    [
        (0.1, {"device_s": 40, "worker_s": 50}, 30 + 50),
        (0.1, {"device_s": 60, "worker_s": 50}, 30 + 60),
        (20.0, {"device_s": 40, "worker_s": 50}, 30 + 100),
    ],
)
def test_the_end_comes_half_a_minute_after_whatever_may_hang_longest(
    batch_takes_s: float, watchdog: dict[str, float], limit_s: int
) -> None:
    bench = Bench(batch_takes_s=batch_takes_s, batching={"linger_ms": 2000}, watchdog=watchdog)
    bench.passes(limit_s + 1, frames=1)
    with pytest.raises(HangError, match=f"no verdict has left for {limit_s + 2} s"):
        bench.passes(1, frames=1)


def test_a_fetch_time_counts_only_where_there_is_a_store() -> None:
    store = {"fetch_timeout_ms": 5000}
    assert Bench(store=store).passes(10, frames=1) is not None
    assert Bench(store={**store, "allowed_prefixes": ("file:///pictures/",)}).passes(14, frames=1) is None


def test_looks_that_come_often_count_the_time_between_them() -> None:
    bench = Bench()
    for _ in range(39):
        bench.clock.advance(0.25)
        bench.standstill.look([bench.frame()], 0)
    assert bench.standstill.not_ready is None
    bench.clock.advance(0.25)
    bench.standstill.look([bench.frame()], 0)
    assert bench.standstill.not_ready == "1 frame is in flight, and no verdict has left for 10 s"
