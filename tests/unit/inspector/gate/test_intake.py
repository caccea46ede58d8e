"""What the gate is told of the records on the bus."""

from __future__ import annotations

from typing import Any

import pytest

from inspector.bus.ports import Fault
from inspector.gate.decide import Gate, Rules
from inspector.gate.evidence import Seen
from inspector.gate.intake import Intake
from schemas import DLResultMessage, encode, heartbeat_headers, result_headers
from tests.fakes import FakeClock, FakeRecord
from tests.messages import message

RESULTS, HEARTBEATS = "t.results", "t.heartbeats"


class Notebook(Gate):
    """A gate that also writes down what it is told."""

    def __init__(self) -> None:
        super().__init__(Rules(frozenset({"C1"}), heartbeat_s=10.0), now_us=0)
        self.seen: list[Seen] = []
        self.beats: list[tuple[str, str | None]] = []

    def observe(self, seen: Seen, *, now_s: float, now_us: int) -> None:
        self.seen.append(seen)
        super().observe(seen, now_s=now_s, now_us=now_us)

    def beat(self, camera_id: str, fault: str | None, *, now_s: float) -> None:
        self.beats.append((camera_id, fault))


@pytest.fixture
def gate() -> Notebook:
    return Notebook()


@pytest.fixture
def intake(gate: Notebook) -> Intake:
    return Intake(gate, "L1", HEARTBEATS, skew_us=0, takes_simulated=False, clock=FakeClock())


def fresh(**changes: Any) -> DLResultMessage:
    now_us = FakeClock().wall_us()
    return message(**({"captured_at": now_us, "produced_at": now_us, "deadline_at": now_us + 10**6} | changes))


def record(told: DLResultMessage, topic: str = RESULTS, **changes: Any) -> FakeRecord:
    known: dict[str, Any] = {"value": encode(told), "headers": tuple(result_headers(told)), "fault": None} | changes
    return FakeRecord(topic, 0, 7, b"L1/C1", known["value"], known["headers"], known["fault"])


def test_a_result_of_the_line_is_evidence(gate: Notebook, intake: Intake) -> None:
    told = fresh()
    intake.take([record(told)])
    assert gate.seen == [Seen("C1", "part-1", told.result_id, "ok", told.captured_at or 0, "")]
    assert intake.counts.results == 1


def test_results_of_other_lines_are_passed_over(gate: Notebook, intake: Intake) -> None:
    intake.take([record(fresh(line_id="L2"))])
    assert gate.seen == []
    assert intake.counts.strangers == 1


def test_a_result_that_cannot_be_read_counts_against_the_part_that_its_headers_name(
    gate: Notebook, intake: Intake
) -> None:
    told = fresh()
    intake.take([record(told, value=b"garbage"), record(told, fault=Fault("corrupt", "a digest differs"))])
    assert [(seen.camera_id, seen.part_id, seen.verdict) for seen in gate.seen] == [("C1", "part-1", "unreadable")] * 2
    intake.take([record(told, value=b"garbage", headers=()), record(fresh(line_id="L2"), value=None)])
    assert len(gate.seen) == 2
    assert intake.counts.unreadable == 4


def test_a_heartbeat_is_a_beat_and_never_evidence(gate: Notebook, intake: Intake) -> None:
    told = fresh()
    good, bad = heartbeat_headers(told, 0.25), heartbeat_headers(told, 0.5)
    intake.take([record(told, HEARTBEATS, headers=tuple(good)), record(told, HEARTBEATS, headers=tuple(bad))])
    intake.take([record(told, HEARTBEATS), record(told, HEARTBEATS, value=b"garbage")])
    intake.take([record(fresh(line_id="L2"), HEARTBEATS, headers=tuple(good))])
    assert [(camera, fault is None) for camera, fault in gate.beats] == [("C1", True), ("C1", False)]
    assert gate.seen == []
    assert intake.counts.heartbeats == 2
