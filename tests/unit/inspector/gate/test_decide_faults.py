"""What the gate takes for granted, and what it counts: from when pictures count, a clock that goes back, parts in a row without an answer."""

from __future__ import annotations

import pytest

from inspector.gate.decide import Gate
from inspector.gate.evidence import Verdict, judge
from tests.messages import message
from tests.unit.inspector.gate.test_decide import START_US, Line, rules


def worth(line: Line, *, captured_s: float) -> str:
    """What an ok about a picture of this moment is worth now."""
    captured_at = START_US + round(captured_s * 1e6)
    ok = message(captured_at=captured_at, produced_at=captured_at, deadline_at=captured_at + 10**9)
    trusted_from_us = line.gate.trusted_from_us
    return judge(ok, line.now_us, skew_us=0, trusted_from_us=trusted_from_us, takes_simulated=False)


def test_a_picture_from_before_results_were_read_passes_nothing_for_its_nok_may_lie_there() -> None:
    line = Line()
    line.gate = Gate(rules(), now_us=START_US)
    line.wait(3.0)
    line.gate.can_read(now_s=line.now_s, now_us=line.now_us)
    line.wait(1.0)
    assert (worth(line, captured_s=2.9), worth(line, captured_s=3.0)) == ("stale", "ok")


def test_the_return_of_the_bus_does_not_move_what_a_running_gate_trusts() -> None:
    line = Line()
    line.wait(5.0)
    line.gate.can_read(now_s=line.now_s, now_us=line.now_us)
    assert line.gate.trusted_from_us == START_US


def test_a_clock_that_goes_back_is_a_fault_and_after_the_reset_pictures_count_from_then() -> None:
    line = Line(skew_s=0.05)
    line.gate.check_clock(now_us=START_US - 50_000)
    assert line.gate.state == "running"
    line.gate.check_clock(now_us=START_US - 7_200_000_000)
    assert (line.gate.state, line.gate.fault) == ("fault", "gate")
    assert line.gate.fault_detail == "the gate's clock went back: it is 7200.0 s before the start or the last reset"
    assert line.gate.reset(now_s=1.0, now_us=START_US - 7_200_000_000) is None
    assert line.gate.trusted_from_us == START_US - 7_200_000_000
    line.gate.check_clock(now_us=START_US - 7_199_000_000)
    assert line.gate.state == "running"


def test_a_clock_that_goes_back_before_the_gate_runs_is_none() -> None:
    line = Line(heartbeat_s=2.0)
    line.ok("p")
    line.gate.check_clock(now_us=START_US - 7_200_000_000)
    assert line.gate.state == "starting"
    assert line.gate.trusted_from_us == START_US - 7_200_000_000


def test_a_dead_camera_is_a_fault_though_another_one_says_nok_now_and_then() -> None:
    line = Line(fault_after=3)
    for number in range(3):
        assert line.gate.state == "running"
        part = f"p{number}"
        line.announce(part)
        line.show(part, "side", "nok" if number % 2 else "ok")
        assert line.decide(part).why == ("nok" if number % 2 else "missing")
    assert (line.gate.state, line.gate.fault) == ("fault", "silence")
    assert line.gate.fault_detail.endswith(
        "3 parts in a row did not get an ok or nok in time from every camera; the last one: camera top: missing"
    )


@pytest.mark.parametrize("verdict", ["error", "late", "expired", "future", "stale", "simulated", "unreadable"])
def test_whatever_is_neither_ok_nor_nok_is_no_answer(verdict: Verdict) -> None:
    line = Line(fault_after=2)
    for part in ("a", "b"):
        assert line.gate.state == "running"
        line.announce(part)
        line.show(part, "side", verdict)
        line.show(part, "top", "nok")
        line.decide(part)
    assert (line.gate.state, line.gate.fault) == ("fault", "silence")
    assert line.gate.fault_detail.endswith(f"camera side: {verdict}")


def test_conflicts_in_a_row_are_a_fault() -> None:
    line = Line(fault_after=2)
    for part in ("a", "b"):
        line.announce(part)
        line.ok(part)
        line.show(part, "top", "nok", picture="1")
        assert line.decide(part).why == "conflict"
    assert line.gate.fault == "silence"


def test_parts_that_the_line_itself_spoilt_neither_count_nor_begin_the_count_anew() -> None:
    line = Line(fault_after=2)
    line.silence(1)
    for _ in range(3):
        line.announce(f"twice-{line.now_s}")
        line.announce(f"twice-{line.now_s}")
        (decision,) = line.wait(0.9)
        assert decision.why == "announced_twice"
    assert line.gate.state == "running"
    line.silence(1)
    assert line.gate.fault == "silence"
