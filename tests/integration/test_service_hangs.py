"""What hangs ends the process with its own status and a sentence; what the rest had finished is sent and committed before."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from inspector.bus.ports import Partition, ProducedRecord
from inspector.errors import HangError
from inspector.service import Service
from inspector.settings.topics import TopicSettings
from inspector.watchdog.limits import (
    EXIT_DEVICE_HANGS,
    EXIT_DEVICE_LOST,
    EXIT_LOOP_HANGS,
    EXIT_SEND_HANGS,
    EXIT_WORKER_HANGS,
)
from inspector.watchdog.watchdog import TICK_S
from tests.buses import MemoryBus, wait_until
from tests.fakes import FakeProducer
from tests.notified import NotifySocket
from tests.stage import Stage

CHECKOUT = Path(__file__).resolve().parents[2]


class Process:
    """One process of `hanging`: what it prints, and how it ends."""

    def __init__(self, mode: str, notify: Path) -> None:
        self._notify = NotifySocket(str(notify))
        self.told = self._notify.follow()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.hanging", mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=CHECKOUT,
            env=os.environ | {"OMP_NUM_THREADS": "1", "NOTIFY_SOCKET": str(notify)},
        )
        self.said: list[dict[str, Any]] = []

    def until(self, **fields: Any) -> None:
        """Read lines until one says this."""
        assert self._process.stdout is not None
        while not self.said or self.said[-1] != fields:
            line = self._process.stdout.readline()
            assert line, f"it ended:\n{self.end()[1]}"
            self.said.append(json.loads(line))

    def begin(self) -> None:
        """Let the fault begin."""
        assert self._process.stdin is not None
        self._process.stdin.write("now\n")
        self._process.stdin.flush()

    def suspend(self, seconds: float) -> None:
        """Stop the process for so long, and let it go on."""
        self._process.send_signal(signal.SIGSTOP)
        threading.Event().wait(seconds)
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> tuple[int, str]:
        """Return exit status and log, once it has ended by itself."""
        try:
            out, log = self._process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        self.said += [json.loads(line) for line in out.splitlines()]
        self._notify.close()
        return self._process.returncode, log


def test_a_loop_or_a_device_that_hangs_or_is_lost_ends_the_process(tmp_path: Path) -> None:
    """Three at once, for most of it is starting Python."""
    loop, device, lost = (Process(mode, tmp_path / mode) for mode in ("loop", "device", "lost"))
    for process in (loop, device, lost):
        process.until(partition=0, committed=1)
    lost.begin()
    loop.suspend(5)  # longer than it may hang
    device.begin()
    device.until(hangs=True)
    loop.begin()

    status, log = loop.end()
    assert status == EXIT_LOOP_HANGS
    assert "the event loop has not run for 4 s; the process is ended at once" in log
    assert "stacks of all threads:" in log
    assert 'selectors.py", line' in log or "asyncio/base_events.py" in log, "the stacks"
    assert loop.told.count("READY=1") == 1
    signs = [number for number, message in enumerate(loop.told) if message.startswith("WATCHDOG=1")]
    at_the_end = loop.told[signs[-1] + 1 :]
    assert len([message for message in at_the_end if "event loop: has not run for" in message]) > 2, "no sign of life"

    status, log = device.end()
    assert status == EXIT_DEVICE_HANGS
    assert "has computed one batch for 2 s; everything else is finished and committed, then the process ends" in log
    assert "in wait" in log, "the stack of the thread that hangs"
    assert device.told.index("READY=1") < device.told.index("STOPPING=1")
    assert "WATCHDOG=1" in device.told[device.told.index("STOPPING=1") :], "systemd lets it drain"
    assert [line["seq"] for line in device.said if line.get("camera") == "b"] == [1, 2, 3, 4, 5]
    assert {"partition": 1, "committed": 5} in device.said
    assert {"partition": 0, "committed": 2} not in device.said, "it is read again"

    status, log = lost.end()
    assert status == EXIT_DEVICE_LOST
    assert "the device is lost: CUDA error: an illegal memory access" in log
    assert {"partition": 0, "committed": 2} not in lost.said


async def stand_still(service: Service, seconds: float) -> None:
    """Let the watchdog of a service that is not watched by its thread see so much time pass."""
    for _ in range(int(seconds / TICK_S) + 2):
        service.health.beat()
        service.watchdog._seen_s -= TICK_S
        service.watchdog.tick()
    await asyncio.sleep(0)


@pytest.fixture
async def stage(topic_names: TopicSettings, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr("inspector.service.CRASH_DRAIN_S", 0.5)
    stage = Stage(MemoryBus(topic_names))
    await stage.bus.make_topics(stage.settings())
    return stage


async def test_a_worker_that_hangs_ends_the_service(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hung, gate = threading.Event(), threading.Event()

    def hang(*_args: Any, **_options: Any) -> None:
        hung.set()
        gate.wait(60)

    service, task = await stage.start()
    await stage.publish("a", 0)
    await stage.bus.wait_for_results(1)
    monkeypatch.setattr("inspector.stages.decode.decode_image", hang)
    await stage.publish("a", 1)
    assert await asyncio.to_thread(hung.wait, 60)
    await stand_still(service, 60)
    assert await task == EXIT_WORKER_HANGS
    assert "has decoded or encoded one picture for 60 s" in caplog.text
    assert await stage.bus.committed(0) == 1
    gate.set()


class Silent(FakeProducer):
    """Never answers."""

    asked = False

    async def send(self, partition: Partition, records: Sequence[ProducedRecord]) -> int:
        self.asked = True
        await asyncio.Event().wait()
        return 0


async def test_a_send_that_neither_fails_nor_is_acknowledged_ends_the_service(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(stage.bus, MemoryBus)
    producer = Silent(stage.bus.broker)
    service, task = await stage.start(producer=producer)
    await stage.publish("a", 0)
    await wait_until(lambda: producer.asked)
    await stand_still(service, 250)
    assert not task.done()
    await stand_still(service, 60)
    assert await task == EXIT_SEND_HANGS
    assert "was neither acknowledged nor did it fail for 300 s" in caplog.text


async def test_models_that_never_finish_loading_end_the_service(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    hung, gate = threading.Event(), threading.Event()

    def read(_path: Path) -> Any:
        hung.set()
        gate.wait(60)
        raise HangError("never", 0)

    service, task = await stage.start(read_model=read)
    assert await asyncio.to_thread(hung.wait, 60)
    await stand_still(service, 500)
    assert not task.done()
    await stand_still(service, 110)
    assert await task == EXIT_DEVICE_HANGS
    assert "has loaded or warmed up models for 600 s" in caplog.text
    gate.set()
