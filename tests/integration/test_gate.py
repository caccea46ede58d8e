"""The gate between a bus and a simulated line, over both of its ports, in memory and on Apache Kafka."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from deploy.local.base import free_port
from inspector.gate.decide import Gate
from inspector.gate.evidence import Evidence, Finding
from inspector.line.cameras import RealCameras
from inspector.line.plc import TcpLink
from inspector.line.simulate import Happened, Line, LinePlan
from inspector.line.verdicts import Verdicts
from inspector.settings.kafka import KafkaSettings
from inspector.settings.topics import TopicSettings
from schemas import DLResultMessage
from tests.gates import (
    CAMERAS,
    LINE,
    PART_ID,
    KafkaResults,
    MemoryReader,
    MemoryResults,
    ResultBus,
    RunningGate,
    gate_settings,
    nok,
    result,
    running_gate,
)

FIRST = 70_000
"""Its number needs both words of Modbus."""
WHYS = (
    "ok",
    "nok",
    "ok",
    "missing",
    "ok",
    "late",
    "error",
    "ok",  # three in a row without an answer would be a fault
    "conflict",
    "ok",
    "future",
    "simulated",
    "ok",
    "unreadable",
)


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
async def results(request: pytest.FixtureRequest, topic_names: TopicSettings) -> AsyncIterator[ResultBus]:
    settings = gate_settings().model_copy(update={"topics": topic_names})
    if request.param == "memory":
        yield MemoryResults(settings)
        return
    kafka: KafkaSettings = request.getfixturevalue("kafka_settings")
    async with KafkaResults(settings.model_copy(update={"kafka": kafka})).connected() as bus:
        yield bus


def plan(parts: int, **changes: Any) -> LinePlan:
    known: dict[str, Any] = {"parts": parts, "interval_s": 0.01, "window_ms": 2100, "first_number": FIRST}
    return LinePlan(part_id=PART_ID, **(known | changes))


def answers(part: str, why: str) -> list[DLResultMessage]:
    """Results of both cameras that come to this."""
    side = result(part, "side")
    failed = {"anomaly_score": None, "status": "failed", "reason": "geometry"}
    top: dict[str, list[DLResultMessage]] = {
        "ok": [result(part, "top")] * 2,
        "nok": [nok(part, "top")],
        "missing": [],
        "late": [result(part, "top", late_s=1.0)],
        "error": [nok(part, "top", **failed)],
        "conflict": [result(part, "top"), nok(part, "top", seq=6)],
        "future": [result(part, "top", late_s=-30.0, deadline_at=result(part, "top").captured_at + 10**9)],  # type: ignore[operator]
        "simulated": [result(part, "top", is_simulated=True)],
    }
    return [side, *top.get(why, [])]


async def publish(bus: ResultBus, part: str, why: str) -> int:
    """Send what comes to this; return how many records."""
    messages = answers(part, why)
    await bus.publish(*messages)
    if why == "unreadable":
        headers = [("line_id", LINE.encode()), ("camera_id", b"top"), ("part_id", part.encode())]
        await bus.send(bus.settings.topics.results_topic(LINE, "top"), b"garbage", headers)
        return len(messages) + 1
    return len(messages)


@pytest.mark.parametrize("over", ["tcp", "modbus"])
async def test_the_line_passes_what_every_camera_called_ok_and_rejects_the_rest_with_its_reason(
    results: ResultBus, over: str
) -> None:
    await results.publish(*answers(f"part-{FIRST + 3}", "ok"))  # before the gate is there: it never hears of it
    async with running_gate(results) as gate:
        sent = 0
        for number, why in enumerate(WHYS):
            sent += await publish(results, f"part-{FIRST + number}", why)
        await gate.until(lambda: gate.process.intake.counts.results >= sent)
        line = Line(plan(len(WHYS)), gate.link(over), RealCameras())
        await line.run(asyncio.Event())
    passed = [part.part_id for part in line.belt.passed]
    assert passed == [f"part-{FIRST + number}" for number, why in enumerate(WHYS) if why == "ok"]
    assert line.tally.whys == {why: 1 for why in WHYS if why != "ok"}
    tally = line.tally
    assert (tally.announced, tally.passed + tally.rejected) == (len(WHYS), len(WHYS))
    assert (tally.acted_twice, tally.unanswered, tally.late, tally.refused, tally.stops) == (0, 0, 0, 0, 0)
    assert len(gate.decisions) == len(WHYS)


def memory(**gate: Any) -> MemoryResults:
    return MemoryResults(gate_settings(**gate))


async def lets_run(gate: RunningGate, line: Line) -> None:
    await gate.until(lambda: line.belt.runs)


@pytest.mark.parametrize("over", ["tcp", "modbus"])
async def test_silence_faults_the_gate_the_line_stops_and_runs_again_after_a_reset(over: str) -> None:
    bus = memory(fault_after=3)
    async with running_gate(bus) as gate:
        line = Line(plan(40, interval_s=0.05), gate.link(over), RealCameras())
        running = asyncio.create_task(line.run(asyncio.Event()))
        await gate.until(lambda: gate.process.gate.state == "fault")
        await gate.until(lambda: not line.belt.runs and line.tally.stops == 1)
        announced = line.tally.announced
        assert announced < 40
        counts = gate.process.intake.counts
        sent = counts.results + 3 * (40 - announced)
        for number in range(announced, 40):
            await bus.publish(*answers(f"part-{FIRST + number}", "ok"))
        await gate.until(lambda: counts.results >= sent)
        gate.process.reset()
        await gate.trusts()
        # Pictures from before the reset pass nothing: take them again.
        for number in range(announced, 40):
            await bus.publish(*(result(f"part-{FIRST + number}", camera, seq=9) for camera in CAMERAS))
        await lets_run(gate, line)
        await running
    tally = line.tally
    assert tally.announced == 40
    assert tally.passed + tally.rejected == 40
    assert {int(part.part_id[5:]) - FIRST for part in line.belt.passed} <= set(range(announced, 40))
    assert tally.acted_twice == 0
    assert [status.fault for status in gate.states][:3] == ["none", "none", "silence"]


async def test_the_gate_faults_when_heartbeats_stop_or_are_wrong_and_starts_with_them() -> None:
    bus = memory(heartbeat_timeout_ms=1000)
    async with running_gate(bus) as gate:
        states = gate.process.gate
        assert states.state == "starting"
        for camera in CAMERAS:
            await bus.publish_beat(camera)
        await gate.until(lambda: states.state == "running")
        await gate.until(lambda: states.state == "fault")
        assert states.fault == "heartbeat"
        assert gate.process.reset() is not None
        for camera in CAMERAS:
            await bus.publish_beat(camera)
        await gate.until(lambda: gate.process.reset() is None)
        await bus.publish_beat("top", score=0.3)
        await gate.until(lambda: states.fault in {"golden", "heartbeat"})
    assert next(status.fault for status in gate.states if status.fault != "none") == "heartbeat"


async def test_a_wrong_score_of_the_golden_picture_is_a_fault_at_once() -> None:
    bus = memory(heartbeat_timeout_ms=60_000)
    async with running_gate(bus) as gate:
        for camera in CAMERAS:
            await bus.publish_beat(camera)
        await gate.until(lambda: gate.process.gate.state == "running")
        await bus.publish_beat("top", score=0.3)
        await gate.until(lambda: gate.process.gate.fault == "golden")
    assert gate.process.gate.fault_detail == "the picture stored with the model of camera top scores 0.3, not 0.25"


async def test_a_line_ends_with_its_last_part_also_where_the_gate_is_at_fault_by_then() -> None:
    async with running_gate(memory(fault_after=1)) as gate:
        line = Line(plan(1, interval_s=0.5), gate.link("tcp"), RealCameras())
        await line.run(asyncio.Event())
        assert gate.process.gate.state == "fault"
    assert (line.tally.announced, line.tally.rejected) == (1, 1)


async def test_losing_the_bus_is_a_fault_that_the_line_sees() -> None:
    bus = memory()
    async with running_gate(bus) as gate:
        line = Line(plan(1000, interval_s=0.05), gate.link("tcp"), RealCameras())
        stop = asyncio.Event()
        running = asyncio.create_task(line.run(stop))
        await lets_run(gate, line)
        bus.readers[0].trouble = "no broker answers there"
        await gate.until(lambda: line.tally.stops == 1)
        assert gate.process.gate.fault == "results"
        assert gate.process.reset() == "results cannot be read"
        bus.readers[0].trouble = None
        await gate.until(lambda: gate.process.reset() is None)
        await lets_run(gate, line)
        stop.set()
        await running


async def test_a_gate_that_has_gone_stops_the_line_and_nothing_passes() -> None:
    bus = memory()
    async with running_gate(bus) as gate:
        for number in range(100):
            await bus.publish(*answers(f"part-{FIRST + number}", "ok"))
        line = Line(plan(100, interval_s=0.02), gate.link("tcp"), RealCameras())
        stop = asyncio.Event()
        running = asyncio.create_task(line.run(stop))
        await gate.until(lambda: line.tally.announced > 3)
    await gate.until(lambda: not line.belt.runs)
    stop.set()
    await running
    assert line.tally.passed == 0, "none had arrived when the gate went; the line stood meanwhile"
    assert line.tally.stopped == line.tally.announced


async def test_an_ok_of_a_picture_from_before_the_reading_began_passes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bus, start = memory(), MemoryReader.start
    stamps: list[int] = []

    async def start_late(reader: MemoryReader) -> None:
        stamps.append(time.time_ns() // 1000)
        await bus.publish(nok("p", "top"))  # nobody will ever read it
        await start(reader)

    monkeypatch.setattr(MemoryReader, "start", start_late)
    async with running_gate(bus) as gate:
        early = {"captured_at": stamps[0], "produced_at": stamps[0] + 1, "deadline_at": stamps[0] + 60_000_000}
        await bus.publish(result("p", "side"), result("p", "top", seq=6, **early))
        await gate.until(lambda: gate.process.intake.counts.results == 2)
        assert gate.process.announce("p", None, "line") is None
        await gate.until(lambda: gate.decisions)
    assert (gate.decisions[0].why, gate.decisions[0].camera_id) == ("stale", "top")


class Lenient(Gate):
    """The mutant: silence passes."""

    def _count(self, finding: Finding) -> None: ...


async def test_a_gate_that_passes_on_silence_is_caught_by_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Evidence, "finding", lambda *_args, **_kwargs: Finding("ok"))
    bus = memory()
    async with running_gate(bus, Lenient) as gate:
        shown = answers(f"part-{FIRST}", "ok")
        await bus.publish(*shown)
        await gate.until(lambda: gate.process.intake.counts.results >= len(shown))
        line = Line(plan(5), gate.link("tcp"), RealCameras())
        await line.run(asyncio.Event())
    verdicts = Verdicts(LINE, CAMERAS)
    for message in shown:
        verdicts.take(message)
    assert verdicts.without(line.belt.passed) == [f"part-{FIRST + number}" for number in range(1, 5)]


async def test_a_line_without_a_gate_says_so_and_ends_when_it_is_told() -> None:
    seen: list[Happened] = []
    line = Line(plan(1), TcpLink("127.0.0.1", free_port(), PART_ID), RealCameras(), show=seen.append)
    stop = asyncio.Event()
    running = asyncio.create_task(line.run(stop))
    async with asyncio.timeout(60):
        while not seen:
            await asyncio.sleep(0.01)
    stop.set()
    await running
    assert [happened.what for happened in seen] == ["waits"]
    assert "no gate answers at 127.0.0.1" in seen[0].text
    assert "start `inspector gate`" in seen[0].text
    assert not line.has_run
