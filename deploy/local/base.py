"""What the broker starters share: the broker as clients see it, free ports, and one process of our own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from inspector.bus.admin import connect_admin
from inspector.errors import BusError
from inspector.settings.kafka import KafkaSettings

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
_POLL_S = 0.1
_GIVEN: set[int] = set()
"""Ports that `free_port` has returned."""


class BrokerStartError(Exception):
    """A broker cannot be started here; the message says why and what would help."""


@dataclass(frozen=True)
class Broker:
    """A running broker, as its clients need to know it.

    Attributes:
        name: product and version, for every published figure.
        bootstrap_servers: where it answers.
        supports_idempotence: whether producers may be idempotent.
        pid: its process where we started it, else None.
    """

    name: str
    bootstrap_servers: str
    supports_idempotence: bool
    pid: int | None = None


def free_port() -> int:
    """Return a loopback port that was free a moment ago, and that this process has not asked for before.

    The system may offer a port again as long as nobody listens on it, but a node with several listeners needs different ones.
    """
    while True:
        with socket.socket() as listener:
            listener.bind((LOOPBACK, 0))
            port: int = listener.getsockname()[1]
        if port not in _GIVEN:
            _GIVEN.add(port)
            return port


class BrokerProcess:
    """A child process with its output in a file, and nothing else: it ends what it started, by its own id.

    The process leads a session of its own, so that Ctrl-C in a terminal reaches the clients first, and leaves the broker up for their drain.
    """

    def __init__(self, command: Sequence[str], *, log: Path, cwd: Path) -> None:
        """Start the command; a pipe would stay open as long as the broker lives, hence the file."""
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=cwd, start_new_session=True
            )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def wait_until_ready(self, bootstrap_servers: str, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return once an admin client can list the cluster; an open port would say less.

        Raises:
            BrokerStartError: It ended, or was not ready in time; the process is stopped.
        """
        give_up = time.monotonic() + timeout_s
        while True:
            if not self.is_running:
                raise BrokerStartError(f"the broker ended with status {self._process.returncode}:\n{self.log_tail()}")
            if _accepts(bootstrap_servers) and answers(bootstrap_servers):
                return
            if time.monotonic() > give_up:
                self.stop()
                raise BrokerStartError(f"the broker was not ready after {timeout_s:.0f} s:\n{self.log_tail()}")
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """Ask it to end, and insist after a while. Does nothing where it has ended."""
        if self.is_running:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_S)
        self.kill()

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        if self.is_running:
            self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """Freeze it; connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen one go on."""
        os.kill(self.pid, signal.SIGCONT)

    def log_tail(self, max_lines: int = 20) -> str:
        """Return the end of what it printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-max_lines:])


def answers(bootstrap_servers: str) -> bool:
    """Whether a broker at this address lists itself to an admin client. May be called inside a running event loop."""

    async def ask() -> bool:
        async with connect_admin(KafkaSettings(bootstrap_servers=bootstrap_servers, client_id="probe")) as admin:
            return await admin.num_brokers() > 0

    # A thread of its own, because a fixture may run while the caller's thread has a running loop.
    with ThreadPoolExecutor(1) as pool:
        try:
            return pool.submit(asyncio.run, ask()).result()
        except BusError:
            return False


def _accepts(bootstrap_servers: str) -> bool:
    host, _, port = bootstrap_servers.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True
