"""Each reason to reject, each fault and the way out of it."""

from __future__ import annotations

from typing import Any

import pytest

from inspector.gate import decide
from inspector.gate.decide import Decision, Gate, Rules
from inspector.gate.evidence import Seen, Verdict

START_US = 1_700_000_000_000_000
WINDOW_S = 1.0


def rules(**changes: Any) -> Rules:
    known: dict[str, Any] = {"cameras": frozenset({"side", "top"}), "lead_s": 0.1}
    return Rules(**(known | changes))


class Line:
    """A gate, and the one clock that both of its clocks follow."""

    def __init__(self, **changes: Any) -> None:
        self.now_s = 0.0
        self.gate = Gate(rules(**changes), now_us=self.now_us)
        self.gate.can_read(now_s=0.0, now_us=START_US)

    @property
    def now_us(self) -> int:
        return START_US + round(self.now_s * 1e6)

    def announce(self, part: str, window_s: float = WINDOW_S) -> str | None:
        return self.gate.announce(part, window_s, source="plc", now_s=self.now_s, now_us=self.now_us)

    def show(self, part: str, camera: str, verdict: Verdict = "ok", *, picture: str = "0", age_s: float = 0.0) -> None:
        captured_at = self.now_us - round(age_s * 1e6)
        seen = Seen(camera, part, f"{part}/{camera}/{picture}", verdict, captured_at)
        self.gate.observe(seen, now_s=self.now_s, now_us=self.now_us)

    def ok(self, part: str) -> None:
        self.show(part, "side")
        self.show(part, "top")

    def wait(self, seconds: float) -> list[Decision]:
        self.now_s += seconds
        return self.gate.decisions(now_s=self.now_s)

    def decide(self, part: str = "p", window_s: float = WINDOW_S) -> Decision:
        (decision,) = self.wait(window_s - 0.1)
        assert decision.part_id == part
        return decision

    def silence(self, count: int) -> None:
        for number in range(count):
            self.announce(f"silent-{self.now_s}-{number}")
            self.wait(WINDOW_S - 0.1)

    def reset(self) -> str | None:
        return self.gate.reset(now_s=self.now_s, now_us=self.now_us)


def test_a_part_passes_when_all_cameras_say_ok_and_no_sooner_than_its_lead() -> None:
    line = Line()
    assert line.announce("p") is None
    line.ok("p")
    assert line.gate.due_s() == pytest.approx(0.9)
    assert line.wait(0.89) == []
    (decision,) = line.wait(0.01)
    assert decision == Decision("p", passes=True, why="ok", camera_id=None, source="plc", waited_s=decision.waited_s)
    assert decision.waited_s == pytest.approx(0.9)
    assert line.wait(10) == []


def test_a_result_may_come_before_its_announcement() -> None:
    line = Line()
    line.ok("p")
    line.wait(0.5)
    line.announce("p")
    assert line.decide().passes


@pytest.mark.parametrize(
    "verdict", ["nok", "error", "late", "expired", "future", "stale", "simulated", "unreadable"]
)  # fmt: skip
def test_one_camera_that_says_anything_else_rejects(verdict: Verdict) -> None:
    line = Line()
    line.announce("p")
    line.show("p", "side")
    line.show("p", "top", verdict)
    decision = line.decide()
    assert (decision.passes, decision.why, decision.camera_id) == (False, verdict, "top")


def test_a_camera_that_says_nothing_rejects() -> None:
    line = Line()
    line.announce("p")
    line.show("p", "side")
    decision = line.decide()
    assert (decision.why, decision.camera_id) == ("missing", "top")


def test_what_comes_after_the_decision_changes_nothing() -> None:
    line = Line()
    line.announce("p")
    assert line.decide().why == "missing"
    line.ok("p")
    assert line.wait(5) == []
    assert line.announce("p") == "announced_twice"


def test_two_verdicts_under_one_id_are_a_conflict_whichever_came_first() -> None:
    for first, second in (("ok", "nok"), ("nok", "ok"), ("ok", "expired")):
        line = Line()
        line.announce("p")
        line.ok("p")
        line.show("p", "side", first, picture="x")  # type: ignore[arg-type]
        line.show("p", "side", second, picture="x")  # type: ignore[arg-type]
        assert line.decide().why == "conflict"


def test_two_pictures_of_one_camera_that_disagree_are_a_conflict() -> None:
    line = Line()
    line.announce("p")
    line.ok("p")
    line.show("p", "side", "nok", picture="1")
    assert line.decide().why == "conflict"


def test_two_deployments_that_write_about_one_camera_are_a_conflict_even_if_they_agree() -> None:
    for writers, why in (("aa", "ok"), ("ab", "conflict"), (("", "b"), "conflict"), (("a", None), "ok")):
        line = Line()
        line.announce("p")
        line.show("p", "side")
        for writer in writers:
            line.gate.observe(Seen("top", "p", "0", "ok", line.now_us, writer), now_s=0.0, now_us=line.now_us)
        assert line.decide().why == why


def test_a_repeat_changes_nothing_even_after_its_deadline() -> None:
    line = Line()
    line.announce("p")
    line.ok("p")
    line.show("p", "top")
    line.show("p", "top", "late")
    assert line.decide().passes


def test_too_many_pictures_of_one_part_are_a_conflict() -> None:
    line = Line()
    line.announce("p")
    line.ok("p")
    for picture in range(1, 17):
        line.show("p", "top", picture=str(picture))
    assert line.decide().why == "conflict"


def test_a_picture_of_an_earlier_part_with_the_same_id_passes_nothing() -> None:
    line = Line(max_age_s=2.0)
    line.announce("p")
    line.show("p", "side")
    line.show("p", "top", age_s=2.5)
    assert line.decide().why == "stale"


def test_a_part_that_is_announced_twice_is_rejected_once() -> None:
    line = Line()
    line.announce("p")
    line.ok("p")
    assert line.announce("p") == "announced_twice"
    assert line.decide().why == "announced_twice"


def test_an_id_may_be_used_again_when_it_is_forgotten() -> None:
    line = Line(keep_s=10.0)
    line.announce("p")
    line.ok("p")
    assert line.decide().passes
    line.wait(11)
    assert line.announce("p") is None
    assert line.decide().why == "missing", "the results of the first part say nothing about the second"


def test_a_window_shorter_than_the_lead_is_refused() -> None:
    assert Line().announce("p", 0.1) == "window_too_short"


def test_parts_are_bounded_and_what_is_beyond_is_refused() -> None:
    line = Line(max_parts=3)
    assert [line.announce(f"p{number}") for number in range(4)] == [None, None, None, "full"]
    line.wait(100)
    assert line.announce("p9") == "full", "those that are decided are remembered"
    line.wait(100)
    assert line.announce("p9") is None


def test_results_of_parts_that_nobody_announces_are_bounded_and_too_many_are_a_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decide, "MAX_EARLY_PARTS", 5)
    line = Line()
    for number in range(5):
        line.ok(f"p{number}")
    assert line.gate.state == "running"
    line.ok("p5")
    assert (line.gate.state, line.gate.fault) == ("fault", "overflow")
    assert line.reset() is None
    line.announce("p1")
    assert line.decide("p1").why == "missing"


def test_a_decision_that_the_gate_makes_too_late_is_a_reject() -> None:
    line = Line()
    line.announce("p")
    line.ok("p")
    (decision,) = line.wait(WINDOW_S)
    assert (decision.passes, decision.why) == (False, "gate_late")


def test_too_many_parts_in_a_row_without_an_answer_are_a_fault_that_a_reset_ends() -> None:
    line = Line(fault_after=3)
    line.silence(2)
    line.announce("p")
    line.ok("p")
    assert line.decide().passes
    line.silence(2)
    assert line.gate.state == "running", "they are counted in a row"
    line.announce("before")
    line.wait(0.5)
    line.announce("meanwhile")
    line.ok("meanwhile")
    (before,) = line.wait(0.4)
    assert (before.why, line.gate.state, line.gate.fault) == ("missing", "fault", "silence")
    assert "3 parts in a row" in line.gate.fault_detail
    line.announce("at-fault")
    line.ok("at-fault")
    assert [decision.why for decision in line.wait(0.9)] == ["fault", "fault"]
    assert line.reset() is None
    assert line.gate.state == "running"
    line.announce("q")
    line.ok("q")
    assert line.decide("q").passes


def test_a_nok_is_an_answer() -> None:
    line = Line(fault_after=2)
    for number in range(5):
        line.announce(f"p{number}")
        line.show(f"p{number}", "side")
        line.show(f"p{number}", "top", "nok")
        assert line.decide(f"p{number}").why == "nok"
    assert line.gate.state == "running"


def test_what_was_announced_at_fault_stays_rejected_after_the_reset() -> None:
    line = Line(fault_after=1)
    line.silence(1)
    line.announce("p")
    assert line.reset() is None
    line.ok("p")
    assert line.decide().why == "fault"


def test_until_results_can_be_read_everything_is_rejected() -> None:
    line = Line()
    line.gate = Gate(rules(), now_us=START_US)
    line.announce("p")
    line.gate.can_read(now_s=0.0, now_us=START_US)
    line.ok("p")
    assert line.decide().why == "starting"
    line.announce("q")
    line.ok("q")
    assert line.decide("q").passes


def test_losing_the_bus_is_a_fault_and_a_reset_waits_for_its_return() -> None:
    line = Line()
    line.announce("p")
    line.ok("p")
    line.gate.cannot_read("no broker answers")
    assert (line.gate.state, line.gate.fault) == ("fault", "results")
    assert line.decide().why == "fault"
    assert line.reset() == "results cannot be read"
    line.gate.can_read(now_s=line.now_s, now_us=line.now_us)
    assert line.gate.state == "fault", "it does not recover by itself"
    assert line.reset() is None


def test_parts_of_a_line_that_has_gone_are_rejected() -> None:
    line = Line()
    line.announce("p")
    line.ok("p")
    line.gate.lost("other")
    line.gate.lost("plc")
    assert line.decide().why == "line_lost"


def test_the_gate_starts_with_the_heartbeats_of_all_cameras_and_faults_without_one() -> None:
    line = Line(heartbeat_s=2.0)
    states = [line.gate.state]
    for camera, now_s in (("top", 0.0), ("side", 0.5)):
        line.gate.beat(camera, None, now_s=now_s)
        states.append(line.gate.state)
    assert states == ["starting", "starting", "running"]
    assert line.gate.due_s() == 2.0
    line.gate.beat("top", None, now_s=1.0)
    line.wait(2.4)
    assert line.gate.state == "running"
    line.wait(0.1)
    assert (line.gate.state, line.gate.fault) == ("fault", "heartbeat")
    assert line.gate.fault_detail == "camera side has had no heartbeat for 2.0 s"
    assert line.reset() == "camera side has had no heartbeat for 2.0 s"
    line.gate.beat("side", None, now_s=line.now_s)
    line.gate.beat("top", None, now_s=line.now_s)
    assert line.reset() is None


def test_a_wrong_heartbeat_is_a_fault_until_a_right_one_comes() -> None:
    line = Line(heartbeat_s=2.0)
    for camera in ("top", "side"):
        line.gate.beat(camera, None, now_s=0.0)
    line.gate.beat("top", "scores 0.2 instead of 0.3", now_s=0.1)
    assert (line.gate.fault, line.gate.fault_detail) == ("golden", "scores 0.2 instead of 0.3")
    assert line.reset() == "camera top has not sent a valid heartbeat yet"
    line.gate.beat("top", None, now_s=0.2)
    assert line.reset() is None


def test_without_announcements_a_part_is_known_by_its_first_result() -> None:
    line = Line(window_s=1.0)
    line.show("p", "top")
    line.wait(0.5)
    line.show("p", "side")
    (decision,) = line.wait(0.4)
    assert (decision.passes, decision.source) == (True, None)
    line.show("q", "top")
    assert line.decide("q").why == "missing"
