"""The side of systemd in sd_notify(3): a datagram socket, and what came in at it."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Self


class NotifySocket:
    """Listens at a path, or at an abstract name that begins with a NUL."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.setblocking(False)
        self._reader: threading.Thread | None = None

    def heard(self) -> list[str]:
        """Return what has come since the last time, a message each."""
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def follow(self) -> list[str]:
        """Return a list that a thread fills from now on: a queue that nobody reads is soon full."""
        messages: list[str] = []

        def read() -> None:
            while message := self._socket.recv(4096):
                messages.append(message.decode())

        self._socket.setblocking(True)
        self._reader = threading.Thread(target=read, daemon=True)
        self._reader.start()
        return messages

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _exc: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hear no more."""
        if self._reader is not None:
            self._socket.shutdown(socket.SHUT_RD)
            self._reader.join()
        self._socket.close()
