"""Bytes in flight: whatever is revoked, fetched, given up or beaten meanwhile, where nothing is in flight none are booked."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from inspector.inflight.budget import chunk_bytes, room_bytes
from inspector.loop.clock import SystemClock
from inspector.pipeline import Pipeline
from inspector.service import Service
from inspector.settings.settings import Settings
from inspector.settings.topics import TopicSettings
from inspector.store.allowed import AllowedPlace
from inspector.store.pictures import PictureStore
from inspector.watchdog.limits import EXIT_PARTITION_STALLS
from tests.buses import MemoryBus, wait_until
from tests.fakes import FakeConsumer
from tests.frames import png, record_of
from tests.stage import CAMERAS, Stage
from tests.stores import claim

LONG_US = 600_000_000
STORE = {
    "allowed_prefixes": ("s3://bucket/lines/",),
    "endpoint": "http://127.0.0.1:1",
    "concurrency": 4,
    "fetch_timeout_ms": 60_000,
}


class Gate:
    """A store that gives its pictures when the test says so."""

    def __init__(self) -> None:
        self.open = False
        self.asked: list[asyncio.Future[bytes]] = []

    async def read(self, _allowed: AllowedPlace, _size_bytes: int) -> bytes:
        if self.open:
            return png()
        self.asked.append(asyncio.get_running_loop().create_future())
        return await self.asked[-1]

    def give(self, most: int = 1000) -> None:
        """Give up to `most` of the pictures that are asked for."""
        given, self.asked = self.asked[:most], self.asked[most:]
        for picture in given:
            if not picture.done():
                picture.set_result(png())


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate()
    monkeypatch.setattr(PictureStore, "read", lambda _self, allowed, size_bytes: gate.read(allowed, size_bytes))
    return gate


@pytest.fixture
async def stage(topic_names: TopicSettings) -> Stage:
    """On the bus in memory alone: the bytes are the pipeline's own."""
    return Stage(MemoryBus(topic_names))


async def started(stage: Stage, **sections: Any) -> tuple[Settings, Service, asyncio.Task[int], Pipeline]:
    settings = stage.settings(**({"store": STORE, "drain_timeout_s": 3, "device_threads": 1} | sections))
    await stage.bus.make_topics(settings)
    assert isinstance(stage.bus, MemoryBus)
    stage.bus.broker.partitions[settings.topics.heartbeats_topic] = 1
    service, task = await stage.start(settings)
    await wait_until(lambda: service.pipeline is not None and service.pipeline.source.leases)
    assert service.pipeline is not None
    return settings, service, task, service.pipeline


async def publish_claim(stage: Stage, camera: str, seq: int) -> None:
    message = claim(camera, seq, stage.clock.wall_us(), f"s3://bucket/lines/{seq}.png", png(), budget_us=LONG_US)
    await stage.bus.publish(CAMERAS.index(camera), *record_of(message))


def consumer_of(service: Service) -> FakeConsumer:
    assert isinstance(service._consumer, FakeConsumer)
    return service._consumer


async def assign(service: Service, settings: Settings) -> None:
    topics = settings.topics
    await consumer_of(service).assign([(topics.frames_topic, number) for number in range(topics.frames_partitions)])


def held(pipeline: Pipeline) -> list[int]:
    """Return what no stage may hold when nothing is in flight, and the bytes that are booked."""
    stages = (pipeline._frames, pipeline._fetcher, pipeline._decoder, pipeline._batcher, pipeline._sequence)
    return [*(len(stage) for stage in stages), pipeline._scoring, len(pipeline.sink), pipeline.budget.used_bytes]


async def until_nothing_is_held(pipeline: Pipeline) -> None:
    try:
        await wait_until(lambda: not any(held(pipeline)))
    except AssertionError:
        assert held(pipeline) == [0] * 8


async def test_pictures_that_come_after_their_frames_were_given_up_leave_no_bytes_behind(
    stage: Stage, gate: Gate
) -> None:
    """Frames of the camera wait for decoding before those whose pictures are on their way: a revocation gives all of them up."""
    settings, service, task, pipeline = await started(stage, batching={"max_batch_size": 1})
    device = stage.hold_device()
    for seq in range(20):
        await stage.publish("a", seq, budget_us=LONG_US)
    for seq in range(20, 23):
        await publish_claim(stage, "a", seq)
    await wait_until(lambda: len(gate.asked) == 3)
    await asyncio.to_thread(device.scoring.wait, 60)
    revoking = asyncio.create_task(consumer_of(service).revoke())
    await wait_until(lambda: all(lease.closing for lease in pipeline.source.leases))
    assert len(pipeline._frames) < 20
    gate.give()
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(pipeline._decoder) == 0, "nothing of what was given up is begun"
    device.gate.set()
    await revoking
    await until_nothing_is_held(pipeline)
    gate.open = True
    await assign(service, settings)
    await stage.bus.wait_for_results(23)
    await until_nothing_is_held(pipeline)
    service.stop()
    assert await task == 0


async def test_heartbeats_that_nobody_takes_keep_no_frame_from_being_read(stage: Stage) -> None:
    """Their topic is gone, and the budget has room for less than a chunk: a partition is read only when nothing is in flight."""
    limits = {"max_frame_bytes": 100_000, "max_pixels": 10_000, "max_bytes_in_flight": 2 << 20}
    settings, service, task, pipeline = await started(stage, limits=limits, heartbeat={"interval_ms": 20})
    assert room_bytes(settings) < chunk_bytes(settings)
    assert isinstance(stage.bus, MemoryBus)
    del stage.bus.broker.partitions[settings.topics.heartbeats_topic]
    await wait_until(lambda: len(pipeline.sink) == len(CAMERAS))
    for seq in range(3):
        for camera in CAMERAS:
            await stage.publish(camera, seq)
        await stage.bus.wait_for_results((seq + 1) * len(CAMERAS))
    stage.bus.broker.partitions[settings.topics.heartbeats_topic] = 1
    service.stop()
    assert await task == 0


async def test_a_process_whose_budget_stays_full_says_so_and_ends(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However bytes are lost: nothing would be read any more, and no partition that is not asked for counts as one that stands still."""
    monkeypatch.setattr("inspector.stages.standstill.UNREADY_AFTER_S", 0.5)
    monkeypatch.setattr("inspector.stages.standstill.GIVE_UP_AFTER_S", 0.0)
    settings = stage.settings(watchdog={"device_s": 2, "worker_s": 2})
    await stage.bus.make_topics(settings)
    service, task = await stage.start(settings, clock=SystemClock())
    await wait_until(lambda: not service.health.not_ready())
    assert service.pipeline is not None
    service.pipeline.budget.hold(service.pipeline.budget.limit_bytes)
    await wait_until(lambda: "no frame is in flight, but" in str(service.health.not_ready()))
    assert await task == EXIT_PARTITION_STALLS


@pytest.mark.parametrize("seed", range(3))
async def test_after_any_mix_of_revokes_claims_heartbeats_and_frames_none_are_booked(
    stage: Stage, gate: Gate, seed: int
) -> None:
    draw = random.Random(seed)
    cameras = [
        {"line_id": "line", "camera_id": camera, "model": "m", "partition": number, "policy": policy}
        for number, (camera, policy) in enumerate(zip(CAMERAS, ("inspect_all", "freshest_first") * 2, strict=True))
    ]
    settings, service, task, pipeline = await started(
        stage, batching={"max_batch_size": 2}, cameras=cameras, heartbeat={"interval_ms": 50}
    )
    device, count = stage.hold_device(), 0
    for _ in range(6):
        for _ in range(draw.randint(20, 60)):
            camera = draw.choice("aaabbbcd")
            if draw.random() < 0.2:
                await publish_claim(stage, camera, count)
            else:
                await stage.publish(camera, count, budget_us=1 if draw.random() < 0.1 else LONG_US)
            count += 1
        await asyncio.sleep(draw.random() / 5)
        gate.give(draw.randint(0, 3))
        revoking = asyncio.create_task(consumer_of(service).revoke())
        await asyncio.sleep(draw.random() / 20)
        gate.give()
        device.gate.set()
        await revoking
        device = stage.hold_device()
        await assign(service, settings)
    gate.open = True
    device.gate.set()
    gate.give()
    await stage.bus.wait_for_results(count)
    await consumer_of(service).revoke()
    pipeline.heartbeats._routes.clear()
    await until_nothing_is_held(pipeline)
    service.stop()
    assert await task == 0
