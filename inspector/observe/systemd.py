"""Messages to systemd (sd_notify(3)): the process is ready, what it waits for, that it lives, that it ends.

The protocol is one datagram to the socket that `NOTIFY_SOCKET` names. Without that variable nothing is sent, so a process that a person
starts, or a container, does the same as under systemd.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping, Sequence

MAX_STATUS = 500
"""Characters of a status line; `systemctl status` cuts long ones anyway."""

START_MORE_S = 60
"""Each sign of life during the start extends the start by this many seconds."""


class ServiceManager:
    """The one who started this process, if it wants to be told. Any thread may call anything; nothing here raises or waits."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Take the socket's name from the environment; a name that begins with @ is an abstract socket."""
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self._lock = threading.Lock()
        self._is_ready = False
        self._is_stopping = False
        self._status = ""

    def tell(self, *, is_alive: bool, not_ready: Sequence[str], ready: str) -> None:
        """Tell how the process is: call it again and again.

        Args:
            is_alive: whether to give a sign of life.
            not_ready: why the work does not flow; empty: it does.
            ready: says, in the status line, that it does.
        """
        if is_alive:
            self.alive()
        if not not_ready:
            self.ready()
        self.status("not ready: " + "; ".join(not_ready) if not_ready else ready)

    def alive(self) -> None:
        """Tell that the process lives: call it again and again, and only while it does.

        Before `ready` this also extends the time that the start may take, which `WatchdogSec=` does not cover: waiting for a broker is no
        hang.
        """
        extension = "" if self._is_ready or self._is_stopping else f"\nEXTEND_TIMEOUT_USEC={START_MORE_S * 1_000_000}"
        self._send(f"WATCHDOG=1{extension}")

    def ready(self) -> None:
        """Tell that the start is over; once it was taken, no more."""
        with self._lock:
            if not self._is_ready and not self._is_stopping:
                self._is_ready = self._send("READY=1")

    def status(self, sentence: str) -> None:
        """Say what `systemctl status` shows; the same sentence again is not sent."""
        line = " ".join(sentence.split())[:MAX_STATUS]
        with self._lock:
            if line != self._status and self._send(f"STATUS={line}"):
                self._status = line

    def stopping(self) -> None:
        """Tell, once, that the process is about to end."""
        with self._lock:
            if not self._is_stopping:
                self._is_stopping = True
                self._send("STOPPING=1")

    def _send(self, message: str) -> bool:
        """Return whether it was taken: what was not is told again, since the next call comes in half a second."""
        if not self._address:
            return True
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
                notify.setblocking(False)
                notify.sendto(message.encode(), self._address)
        except OSError:  # nobody listens, or the queue is full: inspection must not suffer
            return False
        return True
