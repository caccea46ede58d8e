"""How a PLC talks to the gate over either port, and what it is told. Event loop only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

from inspector.errors import BusError
from inspector.gate.ports import registers as r
from inspector.settings.gate import PART_NUMBER

log = logging.getLogger(__name__)

POLL_S = 0.02
"""A PLC's cycle: how often registers are read."""


class LinkError(BusError):
    """The gate cannot be reached, or has hung up."""


class Heard(NamedTuple):
    """What the gate says."""

    kind: Literal["PASS", "REJECT", "REFUSED", "STATE", "ALIVE"]
    part_id: str = ""
    text: str = ""
    """Why; of STATE: the state and what goes with it."""


class Link(Protocol):
    """A connection to the gate; raises `LinkError` when it is gone."""

    async def open(self) -> None:
        """Connect."""
        ...

    async def announce(self, number: int, window_ms: int) -> None:
        """Name the part that is at the photo eye."""
        ...

    async def reset(self) -> None:
        """Ask for an end of the fault."""
        ...

    async def listen(self, hear: Callable[[Heard], None]) -> None:
        """Tell everything that the gate says, until it is gone."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


class TcpLink:
    """`Link` over lines of text."""

    def __init__(self, host: str, port: int, part_id: str) -> None:
        """Connect to this address, once opened; `part_id` says how a number is written as a part id."""
        self._address = (host, port)
        self._part_id = part_id
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> None:
        """Connect."""
        try:
            self._reader, self._writer = await asyncio.open_connection(*self._address)
        except OSError as exc:
            raise LinkError(_unreachable(self._address, exc)) from exc

    async def announce(self, number: int, window_ms: int) -> None:
        """Name the part that is at the photo eye."""
        await self._say(f"PART {self._part_id.replace(PART_NUMBER, str(number))} {window_ms}")

    async def reset(self) -> None:
        """Ask for an end of the fault."""
        await self._say("RESET")

    async def _say(self, line: str) -> None:
        if self._writer is None:
            raise LinkError("the gate is not connected")
        try:
            self._writer.write(line.encode("ascii") + b"\n")
            await self._writer.drain()
        except OSError as exc:
            raise LinkError(f"the gate has closed the connection: {exc}") from exc

    async def listen(self, hear: Callable[[Heard], None]) -> None:
        """Tell everything that the gate says, until it is gone."""
        if self._reader is None:
            raise LinkError("the gate is not connected")
        try:
            while line := await self._reader.readline():
                word, _, rest = line.decode("ascii", "replace").strip().partition(" ")
                name, _, text = rest.partition(" ")
                if word in {"PASS", "REJECT", "REFUSED"}:
                    hear(Heard(word, name, text))  # type: ignore[arg-type] # one of these
                elif word in {"STATE", "ALIVE"}:
                    hear(Heard(word, text=rest))  # type: ignore[arg-type] # the same
        except OSError as exc:
            raise LinkError(f"the gate has closed the connection: {exc}") from exc
        raise LinkError("the gate has closed the connection")

    async def close(self) -> None:
        """Hang up."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class ModbusLink:
    """`Link` over holding registers, read in every cycle."""

    def __init__(self, host: str, port: int, part_id: str) -> None:
        """Connect to this address, once opened."""
        from pymodbus.client import AsyncModbusTcpClient  # noqa: PLC0415 only where it is wanted

        self._address = (host, port)
        self._part_id = part_id
        # It is the line that decides when to try again.
        self._client = AsyncModbusTcpClient(host, port=port, reconnect_delay=0, retries=0)
        self._announced = 0
        self._resets = 0
        self._decisions = 0
        self._refused: list[Heard] = []

    async def open(self) -> None:
        """Connect; decisions from before are nothing to this line."""
        if not await self._client.connect():
            raise LinkError(_unreachable(self._address, None))
        status = await self._read(r.STATUS, r.STATUS_COUNT)
        self._decisions = status[r.DECISIONS - r.STATUS]
        command = await self._read(0, r.COMMAND_COUNT)
        self._announced, self._resets = command[r.ANNOUNCE], command[r.RESET]

    async def announce(self, number: int, window_ms: int) -> None:
        """Name the part that is at the photo eye."""
        self._announced = self._announced % 0xFFFF + 1
        await self._write(r.NUMBER_HIGH, [number >> 16, number & 0xFFFF, window_ms, self._announced])
        status = await self._read(r.STATUS, r.STATUS_COUNT)
        code = status[r.ANNOUNCE_RESULT - r.STATUS]
        if status[r.ANNOUNCED - r.STATUS] == self._announced and code:
            names = {value: name for name, value in r.REFUSED.items()}
            self._refused.append(Heard("REFUSED", self._part_id.replace(PART_NUMBER, str(number)), names[code]))

    async def reset(self) -> None:
        """Ask for an end of the fault."""
        self._resets = self._resets % 0xFFFF + 1
        await self._write(r.RESET, [self._resets])

    async def listen(self, hear: Callable[[Heard], None]) -> None:
        """Tell everything that the gate says, until it is gone."""
        alive = state = -1
        while True:
            shown = await self._read(r.STATUS, r.STATUS_COUNT + r.RING_COUNT)
            status, ring = shown[: r.STATUS_COUNT], shown[r.STATUS_COUNT :]
            if status[r.STATE - r.STATUS] != state:
                state = status[r.STATE - r.STATUS]
                names = {number: name for name, number in r.STATES.items()}
                faults = {number: name for name, number in r.FAULTS.items()}
                fault = faults[status[r.FAULT - r.STATUS]]
                hear(Heard("STATE", text=names[state] + ("" if fault == "none" else f" {fault}")))
            if status[r.ALIVE - r.STATUS] != alive:
                alive = status[r.ALIVE - r.STATUS]
                hear(Heard("ALIVE", text=str(alive)))
            self._hear_decisions(status[r.DECISIONS - r.STATUS], ring, hear)
            while self._refused:
                hear(self._refused.pop(0))
            await asyncio.sleep(POLL_S)

    def _hear_decisions(self, count: int, ring: list[int], hear: Callable[[Heard], None]) -> None:
        behind = (count - self._decisions) & 0xFFFF
        if behind > r.RING_ENTRIES:
            # Their parts have no answer, so they are rejected.
            log.warning("%s decisions were not read in time", behind - r.RING_ENTRIES)
            self._decisions = (count - r.RING_ENTRIES) & 0xFFFF
        entries = [r.ring_entry(ring[at : at + r.RING_WIDTH]) for at in range(0, r.RING_COUNT, r.RING_WIDTH)]
        by_count = {entry.count: entry for entry in entries}
        whys = {number: name for name, number in r.WHYS.items()}
        while (entry := by_count.get((self._decisions + 1) & 0xFFFF)) is not None:
            self._decisions = entry.count
            part_id = self._part_id.replace(PART_NUMBER, str(entry.number))
            hear(Heard("PASS" if entry.passes else "REJECT", part_id, "" if entry.passes else whys[entry.why]))

    async def _read(self, address: int, count: int) -> list[int]:
        from pymodbus.exceptions import ModbusException  # noqa: PLC0415

        try:
            answer = await self._client.read_holding_registers(address, count=count)
        except (ModbusException, OSError) as exc:
            raise LinkError(f"the gate does not answer: {exc}") from exc
        if answer.isError():
            raise LinkError(f"the gate refuses to read register {address}: {answer}")
        return list(answer.registers)

    async def _write(self, address: int, values: list[int]) -> None:
        from pymodbus.exceptions import ModbusException  # noqa: PLC0415

        try:
            answer = await self._client.write_registers(address, values)
        except (ModbusException, OSError) as exc:
            raise LinkError(f"the gate does not answer: {exc}") from exc
        if answer.isError():
            raise LinkError(f"the gate refuses to write register {address}: {answer}")

    async def close(self) -> None:
        """Hang up."""
        self._client.close()


def _unreachable(address: tuple[str, int], exc: OSError | None) -> str:
    why = "" if exc is None else f" ({exc.strerror or exc})"
    return (
        f"no gate answers at {address[0]}:{address[1]}{why}; start `inspector gate`, or correct gate.host and its ports"
    )
