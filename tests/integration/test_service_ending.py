"""A service that ends: it is heard to live until it has gone, hears what fails meanwhile, and knows what it leaves behind."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
from typing_extensions import override

import inspector.service
from inspector.bus.ports import Partition, ProducedRecord, ResultProducer
from inspector.errors import AccessError, DeviceLostError
from inspector.inflight.route import Model
from inspector.loop.heap import freeze_heap
from inspector.service import EXIT_CLEAN, Service
from inspector.settings.settings import Settings
from inspector.settings.topics import TopicSettings
from inspector.watchdog.limits import EXIT_DEVICE_LOST, EXIT_FAILED, EXIT_USAGE
from tests.buses import MemoryBus, wait_until
from tests.fakes import FakeProducer
from tests.stage import Held, Stage


@pytest.fixture
async def stage() -> Stage:
    stage = Stage(MemoryBus(TopicSettings()))
    await stage.bus.make_topics(stage.settings())
    return stage


class SlowToStop:
    """A client that stops when the heart of the service has beaten twice more."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.service: Service | None = None
        self.has_heard = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def stop(self) -> None:
        service = self.service
        assert service is not None
        before = service.health.beats
        await wait_until(lambda: service.health.beats >= before + 2)
        self.has_heard = True


async def test_the_loop_is_seen_to_run_until_all_is_disconnected(stage: Stage) -> None:
    settings = stage.settings()
    clients = [SlowToStop(stage.bus.consumer(settings)), SlowToStop(stage.bus.producer(settings))]
    async with stage.service(settings, consumer=clients[0], producer=clients[1]) as service:
        for client in clients:
            client.service = service
        await wait_until(lambda: service.pipeline is not None and bool(service.pipeline.source.leases))
    assert [client.has_heard for client in clients] == [True, True]
    assert service.has_ended


async def draining(stage: Stage, producer: ResultProducer | None = None) -> tuple[Service, asyncio.Task[int], Held]:
    """A service that was told to stop while its device holds a batch."""
    held = stage.hold_device()
    service, task = await stage.start(producer=producer)
    await stage.publish("a", 0)
    await asyncio.to_thread(held.scoring.wait, 60)
    service.stop()
    await wait_until(lambda: any("stopping" in reason for reason in service.health.not_ready()))
    return service, task, held


async def test_a_device_that_is_lost_while_it_drains_gives_the_status(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("inspector.service.CRASH_DRAIN_S", 0.2)
    service, task, held = await draining(stage)
    service._supervisor.crash(DeviceLostError("the device is gone"))
    await wait_until(lambda: "the service cannot continue: the device is gone" in caplog.text)
    held.gate.set()
    assert await task == EXIT_DEVICE_LOST


class Refusing(FakeProducer):
    """Has no right to send."""

    @override
    async def send(self, partition: Partition, records: Sequence[ProducedRecord]) -> int:
        raise AccessError("no right Write")


async def test_a_sink_that_is_refused_while_it_drains_gives_the_status(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("inspector.service.CRASH_DRAIN_S", 0.2)
    assert isinstance(stage.bus, MemoryBus)
    _, task, held = await draining(stage, Refusing(stage.bus.broker))
    held.gate.set()
    assert await task == EXIT_FAILED
    assert "the service cannot continue: no right Write" in caplog.text
    assert await stage.bus.committed(0) == 0


async def test_a_model_that_still_loads_is_left_behind_and_known_to_be(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspector.service.JOIN_S", 0.1)
    loading, gate = threading.Event(), threading.Event()

    def read_model(_path: Path) -> Model:
        loading.set()
        gate.wait(60)
        return stage.model

    service, task = await stage.start(read_model=read_model)
    await asyncio.to_thread(loading.wait, 60)
    service.stop()
    assert await task == EXIT_CLEAN
    assert not service.has_ended
    gate.set()


async def test_the_heap_is_frozen_once_when_models_are_loaded_and_before_frames_are_read(stage: Stage) -> None:
    has_read: list[Path] = []
    then: list[tuple[int, list[str]]] = []

    def read_model(path: Path) -> Model:
        has_read.append(path)
        return stage.model

    await stage.publish("a", 1)
    service, task = await stage.start(read_model=read_model)
    service.on_loaded = lambda: then.append((len(has_read), service.health.not_ready()))
    await stage.bus.wait_for_results(1)
    service.stop()
    assert await task == EXIT_CLEAN
    assert then == [(1, ["partitions: not there yet"])]


def test_the_process_freezes_its_heap(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Service] = []
    run = Service.run

    async def run_and_stop(service: Service) -> int:
        begun.append(service)
        service.stop()
        return await run(service)

    monkeypatch.setattr(Service, "run", run_and_stop)
    status, _ = asyncio.run(inspector.service._run(Settings.model_validate({"http": {"port": 0}})))
    assert status == EXIT_CLEAN
    assert begun[0].on_loaded is freeze_heap


@pytest.mark.parametrize(("has_ended", "leaves_at_once"), [(True, False), (False, True)])
def test_the_interpreter_does_not_end_under_a_thread_that_works(
    monkeypatch: pytest.MonkeyPatch,
    has_ended: bool,  # noqa: FBT001
    leaves_at_once: bool,  # noqa: FBT001
) -> None:
    async def run(_settings: Settings) -> tuple[int, bool]:
        return EXIT_CLEAN, has_ended

    def leave(status: int) -> NoReturn:
        raise SystemExit(status)

    monkeypatch.setattr("inspector.service._run", run)
    monkeypatch.setattr("inspector.service.tune_process", lambda: None)
    monkeypatch.setattr(sys, "setswitchinterval", lambda _seconds: None)
    monkeypatch.setattr("inspector.service.os._exit", leave)
    monkeypatch.setattr("logging.shutdown", lambda: None)
    if leaves_at_once:
        with pytest.raises(SystemExit) as left:
            inspector.service.run(Settings())
        assert left.value.code == EXIT_CLEAN
    else:
        assert inspector.service.run(Settings()) == EXIT_CLEAN


async def test_a_device_that_is_not_here_is_found_by_a_watched_thread_and_ends_as_a_wrong_setting(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []

    def is_available() -> bool:
        asked.append(threading.current_thread().name)
        return False

    monkeypatch.setattr("torch.cuda.is_available", is_available)
    _, task = await stage.start(stage.settings(device="cuda"))
    assert await task == EXIT_USAGE
    assert "device: device 'cuda' was requested, but torch finds no CUDA device" in caplog.text
    assert asked
    assert set(asked) != {threading.main_thread().name}
