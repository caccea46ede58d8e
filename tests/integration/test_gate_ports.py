"""The two ports of the gate, spoken to by hand."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.constants import ExcCodes

from deploy.local.base import Broker
from inspector.errors import ConfigError, TopicError
from inspector.gate.ports import registers as r
from inspector.gate.ports.modbus import ModbusPort
from inspector.gate.ports.sockets import MAX_CONNECTIONS
from inspector.gate.ports.tcp import TcpPort
from inspector.gate.reader import KafkaReader
from inspector.settings.kafka import KafkaSettings
from tests.gates import MemoryResults, RunningGate, gate_settings, result, running_gate


@pytest.fixture
async def gate() -> AsyncIterator[RunningGate]:
    bus = MemoryResults(gate_settings(fault_after=1, alive_ms=20))
    async with running_gate(bus) as running:
        yield running


class Talk:
    """Lines of text with the gate."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def say(self, line: str) -> None:
        self.writer.write(line.encode() + b"\n")

    async def hear(self, *beginnings: str) -> str:
        """Return the next line that begins so."""
        async with asyncio.timeout(60):
            while line := (await self.reader.readline()).decode():
                if line.startswith(beginnings):
                    return line.strip()
        raise AssertionError("the gate has closed the connection")


@asynccontextmanager
async def talk(gate: RunningGate) -> AsyncIterator[Talk]:
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.tcp.port)
    try:
        yield Talk(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_a_conversation(gate: RunningGate) -> None:
    async with talk(gate) as plc, talk(gate) as other:
        assert await plc.hear("STATE") == "STATE running"
        first, second = await plc.hear("ALIVE"), await plc.hear("ALIVE")
        assert int(second[6:]) == int(first[6:]) + 1
        await gate.bus.publish(result("a", "side"), result("a", "top"))
        await gate.until(lambda: gate.process.intake.counts.results == 2)
        plc.say("PART a")
        assert await plc.hear("PASS", "REJECT") == "PASS a"
        plc.say("PART a")
        assert await plc.hear("REFUSED") == "REFUSED a announced_twice"
        plc.say("PART b 2050")
        assert await plc.hear("PASS", "REJECT") == "REJECT b missing side"
        assert (await plc.hear("STATE")).startswith("STATE fault silence 1 parts in a row")
        assert (await other.hear("STATE fault")).startswith("STATE fault silence")
        plc.say("STATE")
        assert (await plc.hear("STATE")).startswith("STATE fault silence")
        plc.say("RESET")
        assert await plc.hear("STATE") == "STATE running"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("PART a b", "REFUSED line say PART id [window_ms], RESET or STATE"),
        ("part a", "REFUSED line say PART"),
        ("", "REFUSED line say PART"),
        ("PART a 2000", "REFUSED a window_too_short"),
        ("PART a 60001", "REFUSED a window_too_long"),
        ("PART a 0", "REFUSED line say PART"),
        ("PART " + "a" * 65, "REFUSED line say PART"),
        ("PART a" + " " * 300, "REFUSED line longer than 256 bytes"),
    ],
)
async def test_what_is_not_understood_is_refused(gate: RunningGate, line: str, answer: str) -> None:
    async with talk(gate) as plc:
        plc.say(line)
        assert (await plc.hear("REFUSED")).startswith(answer)
    assert gate.decisions == []


async def test_parts_of_a_connection_that_ends_are_rejected_and_nobody_else_hears_of_them(gate: RunningGate) -> None:
    await gate.bus.publish(result("a", "side"), result("a", "top"))
    await gate.until(lambda: gate.process.intake.counts.results == 2)
    async with talk(gate) as other:
        async with talk(gate) as plc:
            plc.say("PART a 4000")
            await gate.until(lambda: gate.process.gate._open)
        await gate.until(lambda: gate.decisions)
        assert gate.decisions[0].why == "line_lost"
        await other.hear("ALIVE")


async def test_more_connections_than_there_is_room_for_are_refused(gate: RunningGate) -> None:
    async with contextlib.AsyncExitStack() as stack:
        talks = [await stack.enter_async_context(talk(gate)) for _ in range(MAX_CONNECTIONS)]
        for each in talks:
            await each.hear("STATE")
        async with talk(gate) as beyond:
            assert await beyond.hear("REFUSED") == "REFUSED connection there are already 16"
            assert await beyond.reader.read() == b""


# -------------------------------------------------------------------------------------------------------------- Modbus


@asynccontextmanager
async def modbus(gate: RunningGate) -> AsyncIterator[AsyncModbusTcpClient]:
    client = AsyncModbusTcpClient("127.0.0.1", port=gate.modbus.port, retries=0, reconnect_delay=0)
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()


async def read(client: AsyncModbusTcpClient, address: int, count: int = 1) -> list[int]:
    answer = await client.read_holding_registers(address, count=count)
    assert not answer.isError()
    return list(answer.registers)


async def test_registers(gate: RunningGate) -> None:
    number = 70_001
    part = f"part-{number}"
    await gate.bus.publish(result(part, "side"), result(part, "top"))
    await gate.until(lambda: gate.process.intake.counts.results == 2)
    async with modbus(gate) as plc:
        assert await read(plc, r.STATE, 2) == [r.STATES["running"], 0]
        before = (await read(plc, r.ALIVE))[0]
        await gate.until(lambda: gate.process.status.alive > before + 2)
        assert (await read(plc, r.ALIVE))[0] > before
        await plc.write_registers(r.NUMBER_HIGH, [number >> 16, number & 0xFFFF, 0, 1])
        assert await read(plc, r.ANNOUNCED, 2) == [1, 0]
        await gate.until(lambda: gate.decisions)
        assert await read(plc, r.DECISIONS) == [1]
        assert await read(plc, r.RING + r.RING_WIDTH, r.RING_WIDTH) == [1, number >> 16, number & 0xFFFF, r.PASS, 0]
        await plc.write_registers(r.NUMBER_HIGH, [number >> 16, number & 0xFFFF, 0, 2])
        assert await read(plc, r.ANNOUNCED, 2) == [2, r.REFUSED["announced_twice"]]
        await plc.write_registers(r.NUMBER_HIGH, [0, 5, 2050, 3])
        await gate.until(lambda: gate.process.gate.state == "fault")
        entry = r.ring_entry(await read(plc, r.RING + 2 * r.RING_WIDTH, r.RING_WIDTH))
        assert entry == r.RingEntry(count=2, number=5, passes=False, why=r.WHYS["missing"])
        assert await read(plc, r.STATE, 2) == [r.STATES["fault"], r.FAULTS["silence"]]
        still = await read(plc, r.ALIVE)
        await asyncio.sleep(0.1)
        assert await read(plc, r.ALIVE) == still
        await plc.write_registers(r.RESET, [9])
        assert await read(plc, r.RESET_DONE, 2) == [9, 0]
        assert await read(plc, r.STATE) == [r.STATES["running"]]


async def test_what_the_gate_shows_cannot_be_written(gate: RunningGate) -> None:
    async with modbus(gate) as plc:
        for address in (r.ALIVE, r.STATE, r.RING, 50, 1000):
            assert (await plc.write_registers(address, [7])).isError(), address
        assert await read(plc, r.RING, r.RING_COUNT) == [0] * r.RING_COUNT
        assert (await plc.write_coils(0, [True] * 80)).exception_code == ExcCodes.ILLEGAL_FUNCTION
        assert await read(plc, 0, r.COMMAND_COUNT) == [0] * r.COMMAND_COUNT
    assert gate.decisions == []
    assert gate.process.gate._open == {}


async def test_every_word_has_a_number_and_no_two_the_same() -> None:
    from typing import get_args

    from inspector.gate.decide import Fault, Refused, State
    from inspector.gate.evidence import Why

    words: list[tuple[Any, Any]] = [(State, r.STATES), (Fault, r.FAULTS), (Why, r.WHYS)]
    for names, numbers in words:
        assert set(get_args(names)) == set(numbers)
        assert len(set(numbers.values())) == len(numbers)
    assert set(get_args(Refused)) | {"window_too_long"} == set(r.REFUSED)


# ------------------------------------------------------------------------------------------------------------- starting


async def test_a_port_that_is_taken_is_refused(gate: RunningGate) -> None:
    with pytest.raises(ConfigError, match=r"gate.tcp_port: cannot listen on 127.0.0.1:\d+: .*in use"):
        await TcpPort("127.0.0.1", gate.tcp.port).start(gate.process)
    with pytest.raises(ConfigError, match=rf"gate.modbus_port: .*:\d+: .*in use.*\(errno {errno.EADDRINUSE}\)"):
        await ModbusPort("127.0.0.1", gate.tcp.port, "p-{number}").start(gate.process)


async def test_a_missing_topic_is_named(kafka_broker: Broker, kafka_settings: KafkaSettings, unique_name: str) -> None:
    del kafka_broker
    reader = KafkaReader(kafka_settings, [unique_name])
    with pytest.raises(
        TopicError, match=f"topic {unique_name} does not exist; create it with `inspector topics apply`"
    ):
        await reader.start()
    await reader.stop()
