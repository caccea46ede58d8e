"""The Modbus port of the gate, spoken to by hand: what a PLC might do that the map of registers does not foresee."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.constants import ExcCodes

from inspector.gate.ports import registers as r
from inspector.gate.ports.modbus import ModbusPort
from inspector.gate.ports.sockets import GONE_AFTER_S, MAX_CONNECTIONS
from inspector.line.plc import Heard, ModbusLink
from tests.gates import PART_ID, MemoryResults, RunningGate, gate_settings, running_gate

WHOLE = r.STATUS_COUNT + r.RING_COUNT


@pytest.fixture
async def gate() -> AsyncIterator[RunningGate]:
    bus = MemoryResults(gate_settings(fault_after=1000, alive_ms=20))
    async with running_gate(bus) as running:
        yield running


@asynccontextmanager
async def connected(gate: RunningGate) -> AsyncIterator[AsyncModbusTcpClient]:
    client = AsyncModbusTcpClient("127.0.0.1", port=gate.modbus.port, retries=0, reconnect_delay=0, timeout=60)
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()


async def read(client: AsyncModbusTcpClient, address: int, count: int) -> list[int]:
    answer = await client.read_holding_registers(address, count=count)
    assert not answer.isError()
    return list(answer.registers)


def request(transaction: int, function: int, *words: int) -> bytes:
    body = struct.pack(f">BB{len(words)}H", 1, function, *words)
    return struct.pack(">HHH", transaction, 0, len(body)) + body


async def answer_to(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    """Return transaction, function and the rest of the next answer."""
    async with asyncio.timeout(60):
        transaction, _, size, _, function = struct.unpack(">HHHBB", await reader.readexactly(8))
        return transaction, function, await reader.readexactly(size - 2)


async def test_nothing_but_reading_and_writing_registers_is_done(gate: RunningGate) -> None:
    gate.process.gate.fail("golden", "a score is off")
    async with connected(gate) as plc:
        answers = [
            await plc.write_coil(r.RESET, True),
            await plc.write_coils(0, [True] * 80),
            await plc.write_coils(r.ANNOUNCE, [True] * 16),
            await plc.read_coils(0, count=8),
            await plc.read_discrete_inputs(0, count=8),
            await plc.read_input_registers(r.STATUS, count=1),
            await plc.mask_write_register(address=r.RESET, and_mask=0, or_mask=7),
            await plc.readwrite_registers(read_address=0, read_count=1, address=r.RESET, values=[7]),
            await plc.report_device_id(),
        ]
        assert [getattr(answer, "exception_code", None) for answer in answers] == [ExcCodes.ILLEGAL_FUNCTION] * 9
        assert await read(plc, 0, r.COMMAND_COUNT) == [0] * r.COMMAND_COUNT
        assert (await read(plc, r.RESET_DONE, 1), await read(plc, r.ANNOUNCED, 1)) == ([0], [0])
    assert gate.process.gate.state == "fault"
    assert gate.process.gate._open == {}


async def test_requests_in_one_segment_are_answered_one_after_the_other_and_halves_are_put_together(
    gate: RunningGate,
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.modbus.port)
    announce = struct.pack(">HHBHHHH", 0, 4, 8, 0, 9, 0, 1)
    body = bytes([1, 16]) + announce
    writer.write(
        struct.pack(">HHH", 1, 0, len(body)) + body + request(2, 3, r.ANNOUNCED, 2) + request(3, 6, r.RESET, 4)
    )
    assert await answer_to(reader) == (1, 16, struct.pack(">HH", 0, 4))
    assert await answer_to(reader) == (2, 3, struct.pack(">BHH", 4, 1, 0))
    assert await answer_to(reader) == (3, 6, struct.pack(">HH", r.RESET, 4))
    halves = request(4, 3, r.RESET_DONE, 1)
    for part in (halves[:3], halves[3:9], halves[9:]):
        writer.write(part)
        await asyncio.sleep(0.05)
    assert await answer_to(reader) == (4, 3, struct.pack(">BH", 2, 4))
    writer.write(request(5, 99, 1) + request(6, 3, r.RESERVED, 1))
    assert [(await answer_to(reader))[:2] for _ in range(2)] == [(5, 99 | 0x80), (6, 3)]
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    "noise", [b"GET / HTTP/1.1\r\n\r\n", struct.pack(">HHH", 1, 0, 400), struct.pack(">HHH", 1, 0, 1)]
)
async def test_what_is_no_modbus_ends_the_connection(gate: RunningGate, noise: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.modbus.port)
    writer.write(noise)
    with contextlib.suppress(ConnectionResetError):
        async with asyncio.timeout(60):
            assert await reader.read() == b""
    writer.close()
    async with connected(gate) as plc:
        assert await read(plc, r.RESERVED, 1) == [0]


async def test_more_connections_than_there_is_room_for_are_refused_and_a_place_is_free_again(gate: RunningGate) -> None:
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(gate)) for _ in range(MAX_CONNECTIONS)]
        for client in clients:
            assert len(await read(client, r.STATUS, WHOLE)) == WHOLE
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.modbus.port)
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(60):
                assert await reader.read() == b""
        writer.close()
    server = gate.modbus._server
    assert server is not None
    await gate.until(lambda: not server.active_connections)
    async with connected(gate) as again:
        assert await read(again, r.STATE, 1) == [r.STATES["running"]]


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this platform cannot")
async def test_a_peer_that_goes_without_a_word_does_not_keep_its_place(gate: RunningGate) -> None:
    async with connected(gate) as plc:
        await read(plc, r.STATE, 1)
        _, writer = await asyncio.open_connection("127.0.0.1", gate.tcp.port)
        await gate.until(lambda: gate.tcp._connections)
        server = gate.modbus._server
        assert server is not None
        transports = [handler.transport for handler in server.active_connections.values()]
        transports += [connection._writer.transport for connection in gate.tcp._connections]
        sockets = [transport.get_extra_info("socket") for transport in transports]
        assert len(sockets) == 2
        for each in sockets:
            assert each.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert each.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == GONE_AFTER_S * 1000
            probes = [
                each.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            ]
            assert probes[0] + probes[1] * probes[2] <= GONE_AFTER_S
        writer.close()
        await writer.wait_closed()


async def test_announcing_0_is_nothing_and_each_start_has_another_number(gate: RunningGate) -> None:
    async with connected(gate) as plc:
        await plc.write_registers(r.NUMBER_HIGH, [0, 7, 0, 5])
        await gate.until(lambda: gate.decisions)
        await plc.write_registers(r.NUMBER_HIGH, [0, 8, 0, 0])
        assert await read(plc, r.ANNOUNCED, 2) == [5, 0]
        await plc.write_registers(r.NUMBER_HIGH, [0, 9, 0, 5])
        await gate.until(lambda: len(gate.decisions) == 2)
        (boot,) = await read(plc, r.BOOT, 1)
    assert [decision.part_id for decision in gate.decisions] == ["part-7", "part-9"]
    boots = {boot, *(ModbusPort("", 0, PART_ID)._status[r.BOOT - r.STATUS] for _ in range(20))}
    assert 0 not in boots
    assert len(boots) > 15


async def test_a_line_that_is_behind_goes_on_with_what_the_ring_still_holds(gate: RunningGate) -> None:
    link, heard = gate.link("modbus"), list[Heard]()
    assert isinstance(link, ModbusLink)
    await link.open()
    for number in range(20):
        await link.announce(number, 2100)
    await gate.until(lambda: len(gate.decisions) == 20)
    listening = asyncio.create_task(link.listen(heard.append))
    await gate.until(lambda: any(each.kind == "REJECT" for each in heard))
    await link.announce(20, 2100)
    await gate.until(lambda: any(each.part_id == "part-20" for each in heard))
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await link.close()
    assert [each.part_id for each in heard if each.kind == "REJECT"] == [f"part-{number}" for number in range(4, 21)]
