"""The clocks: a deadline, once converted, does not follow the wall clock's jumps."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from inspector.loop.clock import SystemClock, monotonic_deadline_s
from tests.fakes import FakeClock


@given(st.integers(-10_000_000, 10_000_000), st.floats(-3600, 3600), st.floats(0, 100))
def test_a_converted_deadline_ignores_a_step_of_the_wall_clock(ahead_us: int, step_s: float, passed_s: float) -> None:
    clock = FakeClock()
    deadline_s = monotonic_deadline_s(clock, clock.wall_us() + ahead_us)
    clock.step_wall(step_s)
    clock.advance(passed_s)
    assert abs((deadline_s - clock.monotonic_s()) - (ahead_us / 1e6 - passed_s)) < 1e-6


def test_the_system_clock_reads_the_hosts() -> None:
    before = time.time_ns() // 1000
    assert before <= SystemClock().wall_us() <= time.time_ns() // 1000
    assert SystemClock().monotonic_s() <= time.monotonic()
