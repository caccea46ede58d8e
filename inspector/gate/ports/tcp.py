"""The text protocol: lines of ASCII over TCP, by which a line announces its parts and gets the decisions.

The line sends `PART id [window_ms]`, `RESET` and `STATE`; the gate sends `PASS id`, `REJECT id why`, `REFUSED what why`, `STATE
running|starting|fault …` and, while it runs, `ALIVE n`. Only the connection that announced a part gets its decision.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from typing import Final

from inspector.gate.decide import Decision
from inspector.gate.ports.sockets import MAX_CONNECTIONS, cannot_listen, let_go_of_the_gone
from inspector.gate.process import Desk, Status

log = logging.getLogger(__name__)

MAX_LINE_BYTES: Final = 256
MAX_UNREAD_BYTES: Final = 64 * 1024
"""A line that leaves so much unread hears nothing in time: it is hung up on."""

_PART = re.compile(r"PART ([A-Za-z0-9_-]{1,64})(?: ([1-9][0-9]{0,8}))?")


class TcpPort:
    """`Port` that speaks lines of text. Event loop only."""

    def __init__(self, host: str, port: int) -> None:
        """Listen at this address, once started; port 0 takes a free one."""
        self._host = host
        self._asked_port = port
        self._server: asyncio.Server | None = None
        self._desk: Desk | None = None
        self._connections: dict[_Connection, asyncio.Task[None]] = {}

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server is not None else self._asked_port

    async def start(self, desk: Desk) -> None:
        """Listen."""
        self._desk = desk
        try:
            self._server = await asyncio.start_server(self._serve, self._host, self._asked_port, limit=MAX_LINE_BYTES)
        except OSError as exc:
            raise cannot_listen("gate.tcp_port", self._host, self._asked_port, exc) from exc

    def decided(self, decision: Decision) -> None:
        """Tell the connection that announced the part, or all connections if none did."""
        line = f"PASS {decision.part_id}" if decision.passes else f"REJECT {decision.part_id} {decision.why}"
        for connection in self._connections:
            if decision.source is None or decision.source is connection:
                connection.say(line if decision.passes or not decision.camera_id else f"{line} {decision.camera_id}")

    def changed(self, status: Status) -> None:
        """Tell everybody how the gate is."""
        for connection in self._connections:
            connection.tell(status)

    async def stop(self) -> None:
        """Hang up."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._connections.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        desk, task = self._desk, asyncio.current_task()
        connection = _Connection(writer)
        if desk is None or task is None or len(self._connections) >= MAX_CONNECTIONS:
            connection.say(f"REFUSED connection there are already {MAX_CONNECTIONS}")
            writer.close()
            return
        let_go_of_the_gone(writer.transport)
        self._connections[connection] = task
        try:
            connection.tell(desk.status)
            while line := await reader.readline():
                connection.hear(line, desk)
        except ValueError:
            connection.say(f"REFUSED line longer than {MAX_LINE_BYTES} bytes")
        except OSError as exc:
            log.info("the line has closed the connection: %s", exc)
        except asyncio.CancelledError:  # the gate is leaving
            pass
        finally:
            del self._connections[connection]
            desk.lost(connection)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class _Connection:
    """One client: its own parts, its own copy of the state."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._told: tuple[str, str] | None = None
        with contextlib.suppress(AttributeError, OSError):
            writer.transport.set_write_buffer_limits(high=MAX_UNREAD_BYTES)

    def hear(self, line: bytes, desk: Desk) -> None:
        """Do what a line asks for."""
        text = line.decode("ascii", "replace").strip()
        part = _PART.fullmatch(text)
        if part is not None:
            refused = desk.announce(part[1], None if part[2] is None else int(part[2]), self)
            if refused is not None:
                self.say(f"REFUSED {part[1]} {refused}")
        elif text == "RESET":
            sentence = desk.reset()
            if sentence is not None:
                self.say(f"REFUSED RESET {sentence}")
        elif text == "STATE":
            self._told = None
            self.tell(desk.status)
        else:
            self.say("REFUSED line say PART id [window_ms], RESET or STATE")

    def tell(self, status: Status) -> None:
        """Say the state where it is another than before, else that the gate is alive."""
        if (status.state, status.fault) != self._told:
            self._told = (status.state, status.fault)
            self.say(f"STATE {status.state}" + (f" {status.fault} {status.detail}" if status.fault != "none" else ""))
        elif status.state == "running":
            self.say(f"ALIVE {status.alive}")

    def say(self, line: str) -> None:
        """Send a line; close the connection of a client that does not read."""
        if self._writer.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            self._writer.transport.abort()
            return
        self._writer.write(line.encode("ascii", "replace") + b"\n")
