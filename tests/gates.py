"""Gates and lines for tests: a reader of the bus in memory, results as an inspector would send them, a gate that runs."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from inspector.bus.connect import producer_client, start_client
from inspector.bus.ports import ConsumedRecord
from inspector.clients.topics import apply_topics
from inspector.errors import BusError
from inspector.gate.decide import Decision, Gate
from inspector.gate.ports.modbus import ModbusPort
from inspector.gate.ports.tcp import TcpPort
from inspector.gate.process import GateProcess, Status
from inspector.gate.reader import KafkaReader, ResultReader
from inspector.line.plc import Link, ModbusLink, TcpLink
from inspector.settings.settings import Settings
from schemas import DLResultMessage, encode, heartbeat_headers, result_headers
from tests.fakes import FakeBroker
from tests.messages import message

LINE, CAMERAS = "L1", ("side", "top")
PART_ID = "part-{number}"
KEY = f"{LINE}/any".encode()


def gate_settings(**gate: Any) -> Settings:
    """Two cameras at one line. Decisions leave a moment after the announcement, seconds before the part arrives."""
    patient = {
        "line_id": LINE,
        "window_ms": 2100,
        "lead_ms": 2000,
        "max_age_ms": 60_000,
        "keep_s": 200.0,
        "tcp_port": 0,
        "modbus_port": 0,
        "alive_ms": 50,
    }
    cameras = [{"line_id": LINE, "camera_id": camera, "model": "m"} for camera in CAMERAS]
    return Settings.model_validate({"models": {"m": "unused"}, "cameras": cameras, "gate": patient | gate})


def result(part_id: str, camera_id: str, *, late_s: float | None = None, **fields: Any) -> DLResultMessage:
    """An ok about a picture taken just now; due in a minute, or `late_s` ago."""
    now_us = time.time_ns() // 1000
    captured_at = now_us - 1000 if late_s is None else now_us - round(late_s * 1e6) - 1000
    stamps = {
        "captured_at": captured_at,
        "produced_at": captured_at + 500,
        "deadline_at": captured_at + (60_000_000 if late_s is None else 1000),
    }
    return message(line_id=LINE, camera_id=camera_id, part_id=part_id, **(stamps | fields))


def nok(part_id: str, camera_id: str, **fields: Any) -> DLResultMessage:
    verdict: dict[str, Any] = {"anomaly_score": 0.75, "anomaly_class": "nok", "anomaly_class_id": 1}
    return result(part_id, camera_id, **(verdict | fields))


def beat(camera_id: str, *, score: float = 0.25, expected: float = 0.25) -> tuple[DLResultMessage, float]:
    """A heartbeat of a camera and the score that it must have."""
    return result("golden-image_0", camera_id, anomaly_score=score, is_simulated=True), expected


class MemoryReader:
    """`ResultReader` on a `FakeBroker`; may be cut off."""

    def __init__(self, broker: FakeBroker, topics: Sequence[str]) -> None:
        self._broker = broker
        self._topics = topics
        self._positions: dict[str, int] = {}
        self.trouble: str | None = None

    async def start(self) -> None:
        if self.trouble is not None:
            raise BusError(self.trouble)
        self._positions = {topic: len(self._broker.records(topic)) for topic in self._topics}

    async def read(self, timeout_s: float) -> Sequence[ConsumedRecord]:
        if self.trouble is not None:
            raise BusError(self.trouble)
        found: list[ConsumedRecord] = []
        for topic, position in self._positions.items():
            records = self._broker.records(topic)[position:]
            self._positions[topic] += len(records)
            found += records
        if not found:
            await asyncio.sleep(0.01)
        return found

    async def check(self) -> str | None:
        return self.trouble

    async def stop(self) -> None:
        """Nothing to disconnect from."""


class ResultBus(ABC):
    """Where results are sent and read."""

    settings: Settings

    @abstractmethod
    async def send(self, topic: str, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        """Append a record."""

    @abstractmethod
    def reader(self, topics: Sequence[str]) -> ResultReader:
        """Return a reader, not started."""

    async def publish(self, *messages: DLResultMessage) -> None:
        """Send results."""
        for each in messages:
            topic = self.settings.topics.results_topic(each.line_id or "", each.camera_id or "")
            await self.send(topic, encode(each), result_headers(each))

    async def publish_beat(self, camera_id: str, **scores: float) -> None:
        """Send a heartbeat."""
        each, expected = beat(camera_id, **scores)
        await self.send(self.settings.topics.heartbeats_topic, encode(each), heartbeat_headers(each, expected))


class MemoryResults(ResultBus):
    """In memory; topics of one partition."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        topics = settings.topics
        self.broker = FakeBroker({topics.results_topic("", ""): 1, topics.heartbeats_topic: 1})
        self.readers: list[MemoryReader] = []

    async def send(self, topic: str, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        self.broker.append((topic, 0), KEY, value, headers)

    def reader(self, topics: Sequence[str]) -> ResultReader:
        reader = MemoryReader(self.broker, topics)
        self.readers.append(reader)
        return reader


class KafkaResults(ResultBus):
    """On Apache Kafka."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._producer: Any = None

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[KafkaResults]:
        await apply_topics(self.settings, replication=1)
        self._producer = producer_client(self.settings.kafka)
        await start_client(self._producer)
        try:
            yield self
        finally:
            await self._producer.stop()

    async def send(self, topic: str, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        await self._producer.send_and_wait(topic, value, KEY, headers=headers)

    def reader(self, topics: Sequence[str]) -> ResultReader:
        return KafkaReader(self.settings.kafka, topics)


class RunningGate:
    """A gate with both of its ports, and what it decided."""

    def __init__(self, bus: ResultBus, make_gate: Callable[..., Gate] = Gate) -> None:
        from inspector.gate.process import topics_of

        gate = bus.settings.gate
        self.bus = bus
        self.tcp = TcpPort(gate.host, 0)
        self.modbus = ModbusPort(gate.host, 0, gate.modbus_part_id)
        self.decisions: list[Decision] = []
        self.states: list[Status] = []
        self.process = GateProcess(
            bus.settings,
            [self.tcp, self.modbus],
            reader=bus.reader(topics_of(bus.settings)),
            watchers=[self],
            make_gate=make_gate,
        )

    def decided(self, decision: Decision) -> None:
        self.decisions.append(decision)

    def changed(self, status: Status) -> None:
        self.states.append(status)

    def link(self, over: str) -> Link:
        if over == "tcp":
            return TcpLink("127.0.0.1", self.tcp.port, PART_ID)
        return ModbusLink("127.0.0.1", self.modbus.port, PART_ID)

    async def until(self, condition: Callable[[], object], *, timeout_s: float = 60.0) -> None:
        give_up = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < give_up, f"it never came to that: {self.process.status}"
            await asyncio.sleep(0.01)

    async def trusts(self) -> None:
        """Wait until pictures count: those of `result` are a millisecond old, and none from before a start or a reset counts."""
        await self.until(lambda: time.time_ns() // 1000 > self.process.gate.trusted_from_us + 2000)


@asynccontextmanager
async def running_gate(bus: ResultBus, make_gate: Callable[..., Gate] = Gate) -> AsyncIterator[RunningGate]:
    """Run a gate for the duration of the block; it reads when the block begins."""
    gate = RunningGate(bus, make_gate)
    stop = asyncio.Event()
    task = asyncio.create_task(gate.process.run(stop))
    try:
        await gate.until(lambda: task.done() or gate.process.gate._can_read)
        await gate.trusts()
        yield gate
    finally:
        stop.set()
        await task
