"""pymodbus' server as the gate needs it: three functions, one request after the other, a limited number of connections.

This module imports pymodbus, so it is only imported if there is a Modbus port. It avoids what would surprise a PLC in pymodbus 3: coils and registers
share one memory, so that a coil could announce a part; the second of two requests in one segment gets no answer; if it cannot listen on an
address, it does not say why; the number of connections is not limited.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.pdu import ExceptionResponse
from pymodbus.server import ModbusTcpServer
from pymodbus.server.requesthandler import ServerRequestHandler

from inspector.gate.ports.sockets import MAX_CONNECTIONS, let_go_of_the_gone

log = logging.getLogger(__name__)

FUNCTIONS = frozenset({3, 6, 16})
"""Read holding registers, write one, write some."""
HEAD_BYTES = 6
"""Transaction, protocol and length of what follows."""
MAX_FRAME_BYTES = 260
MAX_WAITING_BYTES = 16 * MAX_FRAME_BYTES


class GateModbusServer(ModbusTcpServer):
    """Serves registers. Event loop only."""

    async def listen(self) -> bool:
        """Listen.

        Raises:
            OSError: The address cannot be listened at.
        """
        self.is_closing, self.is_listener = False, True
        self.transport = await self.call_create()
        return True

    def callback_new_connection(self) -> ServerRequestHandler:
        """Serve one connection."""
        return _Handler(self, self.trace_packet, self.trace_pdu, self.trace_connect)


class _Handler(ServerRequestHandler):
    """One connection: whole requests, one after the other."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)  # type: ignore[no-untyped-call]
        self._waiting = b""
        self._is_busy = False

    def callback_connected(self) -> None:
        """Take the connection, or refuse it where there are too many."""
        super().callback_connected()
        if len(self.server.active_connections) > MAX_CONNECTIONS:
            log.warning("a connection to gate.modbus_port is refused: there are already %s", MAX_CONNECTIONS)
            self._hang_up()
            return
        let_go_of_the_gone(self.transport)

    def data_received(self, data: bytes) -> None:
        """Take what has come, and deal with the first request if none is in work."""
        self._waiting += data
        if len(self._waiting) > MAX_WAITING_BYTES:
            self._hang_up()
        elif not self._is_busy:
            self._go_on()

    def _go_on(self) -> None:
        while not self._is_busy and len(self._waiting) >= HEAD_BYTES:
            size = HEAD_BYTES + int.from_bytes(self._waiting[4:HEAD_BYTES], "big")
            if self._waiting[2:4] != b"\0\0" or not HEAD_BYTES + 2 <= size <= MAX_FRAME_BYTES:
                self._hang_up()  # no Modbus: where the next request begins nobody knows
                return
            if len(self._waiting) < size:
                return
            request, self._waiting = self._waiting[:size], self._waiting[size:]
            if request[7] in FUNCTIONS:
                super().data_received(request)
                self._is_busy = self.last_pdu is not None
            else:
                self._refuse(request)

    def _refuse(self, request: bytes) -> None:
        transaction, unit, function = int.from_bytes(request[:2], "big"), request[6], request[7]
        refusal = ExceptionResponse(function & 0x7F, ExcCodes.ILLEGAL_FUNCTION, unit, transaction)
        self.server_send(refusal, None)  # type: ignore[no-untyped-call] # as below

    async def handle_request(self) -> None:
        """Answer the request, then go on with the next."""
        await super().handle_request()  # type: ignore[no-untyped-call]
        self._is_busy = False
        self._go_on()

    def _hang_up(self) -> None:
        self._waiting = b""
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()
