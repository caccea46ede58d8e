"""Brokers that are away, freeze or come back: the service waits, says so, and loses nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from deploy.local.base import Broker
from inspector.anomaly.types import Thresholds
from inspector.service import EXIT_CLEAN, Service
from inspector.settings.kafka import KafkaSettings
from inspector.settings.settings import Settings
from inspector.settings.topics import TopicSettings
from inspector.watchdog.limits import EXIT_FAILED
from tests.buses import KafkaBus, MemoryBus, wait_until
from tests.fakes import FakeClock, FakeModel
from tests.frames import camera_frame, record_of

MODEL = FakeModel(Thresholds(classification=0.5, segmentation=0.5))


class BreakingClock(FakeClock):
    """Fails once when told to; the pipeline reads it in every callback of the loop."""

    _is_broken = False

    def break_once(self) -> None:
        self._is_broken = True

    @override
    def monotonic_s(self) -> float:
        if self._is_broken:
            self._is_broken = False
            raise ZeroDivisionError("a fault of ours")
        return super().monotonic_s()


def settings_of(kafka: KafkaSettings, topics: TopicSettings) -> Settings:
    values: dict[str, Any] = {
        "kafka": kafka,
        "topics": topics,
        "models": {"m": Path("unused")},
        "cameras": [{"line_id": "line", "camera_id": "a", "model": "m"}],
        "http": {"port": 0},
        "decode_threads": 1,
        "drain_timeout_s": 10,
    }
    return Settings(**values)


async def test_without_a_broker_the_service_waits_says_so_and_still_stops(topic_names: TopicSettings) -> None:
    service = Service(
        settings_of(KafkaSettings(bootstrap_servers="127.0.0.1:9"), topic_names), read_model=lambda _path: MODEL
    )
    task = asyncio.create_task(service.run())

    def says_why() -> bool:
        return any("connect to the brokers" in reason for reason in service.health.not_ready())

    await wait_until(says_why)
    assert service.health.not_alive() == [], "a restart would not bring the broker back"

    def ask(path: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{service.http_port}{path}", timeout=10) as answer:
                status: int = answer.status
                return status
        except urllib.error.HTTPError as error:
            return error.code

    assert await asyncio.to_thread(ask, "/readyz") == 503
    assert await asyncio.to_thread(ask, "/healthz") == 200
    service.stop()
    assert await task == EXIT_CLEAN


async def test_a_frozen_broker_delays_verdicts_and_loses_none(
    kafka_broker: Broker, kafka_settings: KafkaSettings, topic_names: TopicSettings
) -> None:
    if kafka_broker.pid is None:
        pytest.skip("somebody else's broker is not ours to freeze")
    settings = settings_of(kafka_settings, topic_names)
    bus = KafkaBus(kafka_settings, topic_names)
    await bus.make_topics(settings)
    clock = FakeClock()
    service = Service(settings, read_model=lambda _path: MODEL, clock=clock)
    task = asyncio.create_task(service.run())

    async def publish(first: int, last: int) -> None:
        frames = [camera_frame("a", seq, clock.wall_us()) for seq in range(first, last)]
        await bus.publish_many([(0, *record_of(frame)) for frame in frames])

    await publish(0, 50)
    await bus.wait_for_results(1)
    os.kill(kafka_broker.pid, signal.SIGSTOP)
    publishing = asyncio.create_task(publish(50, 100))
    try:
        await asyncio.sleep(3)
        assert not task.done()
        assert service.health.not_alive() == []
    finally:
        os.kill(kafka_broker.pid, signal.SIGCONT)
    await publishing
    results = await bus.wait_for_results(100)
    assert list(dict.fromkeys(result.seq for result in results)) == list(range(100))
    # A freeze may have cost the group its member: then it joins anew, and what was not committed is read and answered again.
    async with asyncio.timeout(60):
        while await bus.committed(0) < 100:
            await asyncio.sleep(0.1)
    service.stop()
    assert await task == EXIT_CLEAN
    assert await bus.committed(0) == 100


async def test_an_error_in_a_callback_ends_the_process_instead_of_leaving_it_half_dead(
    topic_names: TopicSettings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bus = MemoryBus(topic_names)
    settings = settings_of(bus.kafka, topic_names)
    await bus.make_topics(settings)
    clock = BreakingClock()
    model = FakeModel(MODEL.thresholds)
    model.on_launch = lambda _size: clock.break_once()
    service = Service(
        settings,
        read_model=lambda _path: model,
        consumer=bus.consumer(settings),
        producer=bus.producer(settings),
        clock=clock,
    )

    monkeypatch.setattr("inspector.service.CRASH_DRAIN_S", 0.2)
    await bus.publish(0, *record_of(camera_frame("a", 0, clock.wall_us())))
    assert await service.run() == EXIT_FAILED
    assert "a fault of ours" in caplog.text
    assert await bus.committed(0) == 0
