"""Inspector processes as an operator runs them: a settings file, a command, signals, and what they serve over HTTP."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from deploy.local.base import LOOPBACK, free_port

CHECKOUT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 120.0


class InspectorProcess:
    """One `inspector run`, which may be stopped and started again; its log stays in one file."""

    command = "run"
    port_variable = "INSPECTOR_HTTP__PORT"

    def __init__(self, name: str, settings_file: Path, folder: Path) -> None:
        """Prepare; nothing runs before `start`."""
        self.name = name
        self.log = folder / f"{name}.log"
        self._settings_file = settings_file
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._host = LOOPBACK

    @property
    def pid(self) -> int:
        """Id of the running process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it; it is ready later."""
        self._port = free_port()
        environment = os.environ | {self.port_variable: str(self._port), "OMP_NUM_THREADS": "1"}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.arguments(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=CHECKOUT, env=environment
            )

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        assert self._process is not None
        return self._process.poll()

    async def ended(self) -> int:
        """Wait until it ends by itself; return the exit status."""
        assert self._process is not None
        return await asyncio.to_thread(self._process.wait, START_TIMEOUT_S)

    def arguments(self) -> list[str]:
        """Return the command line."""
        return [sys.executable, "-m", "inspector", self.command, "--config", str(self._settings_file)]

    async def ready(self) -> None:
        """Wait until it says that frames may flow."""
        await self._until(lambda: self._get("/readyz") is not None, "ready")

    async def until_partitions(self, count: int) -> None:
        """Wait until it has this many partitions."""
        await self._until(lambda: self.metric("inspector_assigned_partitions") == count, f"at {count} partitions")

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of this name whose labels include these; 0 where there is none."""
        return sum_of_samples(self._get("/metrics") or "", name, **labels)

    def inspected(self) -> float:
        """Return how many frames it has inspected since it was started."""
        return self.metric("inspector_frames_total", status="inspected")

    def memory_bytes(self, field: str) -> int:
        """Return `VmRSS` (now) or `VmHWM` (most so far) of the process."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(f"{field}:"))
        return int(line.split()[1]) * 1024

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status; negative where the signal ended it."""
        assert self._process is not None
        self._process.send_signal(number)
        return await asyncio.to_thread(self._process.wait, 60)

    def end(self) -> None:
        """Make sure that nothing of it is left."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _get(self, path: str) -> str | None:
        return text_at(f"http://{self._host}:{self._port}{path}")

    async def _until(self, condition: Callable[[], bool], state: str) -> None:
        give_up = time.monotonic() + START_TIMEOUT_S
        while not await asyncio.to_thread(condition):
            assert self._process is not None
            status = self._process.poll()
            assert status is None, f"{self.name} ended with {status}:\n{self.log.read_text()[-4000:]}"
            assert time.monotonic() < give_up, f"{self.name} is not {state}:\n{self.log.read_text()[-4000:]}"
            await asyncio.sleep(0.1)


class ArchiveProcess(InspectorProcess):
    """One `inspector archive`."""

    command = "archive"
    port_variable = "INSPECTOR_ARCHIVE__HTTP_PORT"


def text_at(url: str) -> str | None:
    """Return what is served there; None where nobody answers, or not with 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 of a process that was started here
            text: bytes = answer.read()
            return text.decode()
    except (urllib.error.URLError, OSError):
        return None


def sum_of_samples(text: str, name: str, **labels: str) -> float:
    """Return the sum of the samples of this name whose labels include these, in what /metrics says; 0 where there is none."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
