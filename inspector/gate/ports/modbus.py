"""Modbus TCP by pymodbus: a PLC writes part numbers into registers, and reads decisions, the state and a counter that counts up."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from inspector.gate.decide import Decision
from inspector.gate.ports import registers as r
from inspector.gate.ports.sockets import cannot_listen
from inspector.gate.process import Desk, Status
from inspector.settings.gate import PART_NUMBER

if TYPE_CHECKING:
    from pymodbus.constants import ExcCodes

    from inspector.gate.ports.modbus_server import GateModbusServer

_WORD = 0xFFFF


class ModbusPort:
    """`Port` of holding registers (`inspector.gate.ports.registers`). Event loop only."""

    def __init__(self, host: str, port: int, part_id: str) -> None:
        """Listen at this address, once started; `part_id` says how a number is written as a part id."""
        self._host = host
        self._asked_port = port
        self._part_id = part_id
        self._desk: Desk | None = None
        self._server: GateModbusServer | None = None
        self._numbers: dict[str, int] = {}
        self._command = [0] * r.COMMAND_COUNT
        self._status = [0] * r.STATUS_COUNT
        self._status[r.BOOT - r.STATUS] = secrets.randbelow(_WORD) + 1
        self._ring = [0] * r.RING_COUNT

    @property
    def port(self) -> int:
        """Where it listens."""
        listening: object = None if self._server is None else self._server.transport
        return int(listening.sockets[0].getsockname()[1]) if isinstance(listening, asyncio.Server) else self._asked_port

    async def start(self, desk: Desk) -> None:
        """Listen."""
        from pymodbus.simulator import DataType, SimData, SimDevice  # noqa: PLC0415 only where a port is wanted

        from inspector.gate.ports.modbus_server import GateModbusServer  # noqa: PLC0415

        self._desk = desk
        blocks = [
            SimData(0, count=r.COMMAND_COUNT, datatype=DataType.REGISTERS),
            SimData(r.STATUS, count=r.STATUS_COUNT, datatype=DataType.REGISTERS, readonly=True),
            SimData(r.RING, count=r.RING_COUNT, datatype=DataType.REGISTERS, readonly=True),
        ]
        # Device 0 stands for whatever id the PLC asks for.
        device = SimDevice(0, simdata=blocks, action=self._access)
        self._server = GateModbusServer(device, address=(self._host, self._asked_port))
        try:
            await self._server.serve_forever(background=True)
        except OSError as exc:
            raise cannot_listen("gate.modbus_port", self._host, self._asked_port, exc) from exc

    def decided(self, decision: Decision) -> None:
        """Write the decision into the ring, over the oldest."""
        number = self._numbers.pop(decision.part_id, None)
        if decision.source is not self or number is None:
            return
        count = (self._status[r.DECISIONS - r.STATUS] + 1) & _WORD
        self._status[r.DECISIONS - r.STATUS] = count
        what = r.PASS if decision.passes else r.REJECT
        at = count % r.RING_ENTRIES * r.RING_WIDTH
        self._ring[at : at + r.RING_WIDTH] = [count, number >> 16, number & _WORD, what, r.WHYS[decision.why]]

    def changed(self, status: Status) -> None:
        """Show how the gate is."""
        self._status[r.ALIVE - r.STATUS] = status.alive
        self._status[r.STATE - r.STATUS] = r.STATES[status.state]
        self._status[r.FAULT - r.STATUS] = r.FAULTS[status.fault]

    async def stop(self) -> None:
        """Hang up."""
        if self._server is not None:
            await self._server.shutdown()  # type: ignore[no-untyped-call] # pymodbus gives it no types

    async def _access(
        self,
        _function: int,
        start: int,
        address: int,
        _count: int,
        current: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Called before each read and each write: dealing with a command never waits, so requests do not overlap."""
        if values is not None:
            self._write(address, [int(value) & _WORD for value in values])
        current[r.STATUS - start : r.STATUS - start + r.STATUS_COUNT] = self._status
        current[r.RING - start : r.RING - start + r.RING_COUNT] = self._ring
        return None

    def _write(self, address: int, values: list[int]) -> None:
        before = list(self._command)
        self._command[address : address + len(values)] = values
        after = self._command
        if after[r.RESET] != before[r.RESET] and after[r.RESET] != 0 and self._desk is not None:
            self._status[r.RESET_RESULT - r.STATUS] = int(self._desk.reset() is not None)
            self._status[r.RESET_DONE - r.STATUS] = after[r.RESET]
        if after[r.ANNOUNCE] != before[r.ANNOUNCE] and after[r.ANNOUNCE] != 0:
            self._announce(after)

    def _announce(self, command: list[int]) -> None:
        if self._desk is None:
            return
        number = command[r.NUMBER_HIGH] << 16 | command[r.NUMBER_LOW]
        part_id = self._part_id.replace(PART_NUMBER, str(number))
        refused = self._desk.announce(part_id, command[r.WINDOW_MS] or None, self)
        if refused is None:
            self._numbers[part_id] = number
        self._status[r.ANNOUNCE_RESULT - r.STATUS] = 0 if refused is None else r.REFUSED[refused]
        self._status[r.ANNOUNCED - r.STATUS] = command[r.ANNOUNCE]
