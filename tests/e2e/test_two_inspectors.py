"""Two inspector processes share eight partitions; one goes and comes back twice, and no frame is the worse for it."""

from __future__ import annotations

import asyncio
import collections
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.base import Broker
from inspector.service import EXIT_CUT_SHORT
from inspector.settings.file import load_settings
from inspector.settings.kafka import KafkaSettings
from inspector.settings.topics import TopicSettings
from tests.buses import KafkaBus
from tests.e2e.processes import InspectorProcess
from tests.frames import camera_frame, png, record_of
from tests.models import write_tiny_bundle

pytestmark = [pytest.mark.slow, pytest.mark.kafka, pytest.mark.timeout(600)]

CAMERAS = {"a": 0, "b": 1, "c": 2, "d": 3}
PHASES = (0, 60, 160, 200, 300, 360)
"""Frames of each camera that are published before the first farewell, around it, before the second, around it, and at the end."""
FRAMES_PER_CAMERA = PHASES[-1]

SETTINGS = """
device = "cpu"
decode_threads = 1
torch_threads = 1
drain_timeout_s = 10
[kafka]
bootstrap_servers = "{servers}"
group_id = "{group}"
session_timeout_ms = {session_timeout_ms}
rebalance_timeout_ms = 15000
[topics]
prefix = "{prefix}"
[models]
tiny = "{bundle}"
[limits]
max_frame_bytes = 200000
[deadline]
default_budget_ms = 3600000
"""
CAMERA = """
[[cameras]]
line_id = "line"
camera_id = "{name}"
model = "tiny"
partition = {partition}
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture
def settings_file(
    tmp_path: Path,
    bundle: Path,
    kafka_broker: Broker,
    topic_names: TopicSettings,
    kafka_settings: KafkaSettings,
    session_timeout_ms: int,
) -> Path:
    file = tmp_path / "inspector.toml"
    text = SETTINGS.format(
        servers=kafka_broker.bootstrap_servers,
        group=kafka_settings.group_id,
        session_timeout_ms=session_timeout_ms,
        prefix=topic_names.prefix,
        bundle=bundle,
    )
    cameras = (CAMERA.format(name=name, partition=partition) for name, partition in CAMERAS.items())
    file.write_text(text + "".join(cameras))
    return file


@pytest.fixture
def inspectors(settings_file: Path, tmp_path: Path) -> Iterator[tuple[InspectorProcess, InspectorProcess]]:
    pair = (InspectorProcess("first", settings_file, tmp_path), InspectorProcess("second", settings_file, tmp_path))
    yield pair
    for process in pair:
        process.end()


async def publish(bus: KafkaBus, first: int, last: int) -> None:
    """Publish frames `first` to `last` of every camera, in turn."""
    records = []
    for seq in range(first, last):
        for camera, partition in CAMERAS.items():
            frame = camera_frame(camera, seq, time.time_ns() // 1000, image=png(seq % 200))
            records.append((partition, *record_of(frame)))
    await bus.publish_many(records)


async def until_inspected(process: InspectorProcess, more_than: float = 0) -> None:
    async with asyncio.timeout(60):
        while await asyncio.to_thread(process.inspected) <= more_than:
            await asyncio.sleep(0.1)


async def test_every_frame_has_a_result_in_order_though_one_process_goes_and_comes_back_twice(
    inspectors: tuple[InspectorProcess, InspectorProcess],
    settings_file: Path,
    kafka_settings: KafkaSettings,
    topic_names: TopicSettings,
) -> None:
    """Once it is asked to go, and once it is killed."""
    first, second = inspectors
    bus = KafkaBus(kafka_settings, topic_names)
    await bus.make_topics(load_settings(settings_file))
    for process in inspectors:
        process.start()
    for process in inspectors:
        await process.ready()
        await process.until_partitions(4)

    await publish(bus, PHASES[0], PHASES[1])
    for process in inspectors:
        await until_inspected(process)
    for number, (begin, middle, end) in {signal.SIGTERM: PHASES[1:4], signal.SIGKILL: PHASES[3:]}.items():
        publishing = asyncio.create_task(publish(bus, begin, middle))
        status = await second.stop(number)
        assert status == (0 if number == signal.SIGTERM else -signal.SIGKILL)
        await publishing
        await first.until_partitions(8)

        second.start()
        await second.ready()
        for process in inspectors:
            await process.until_partitions(4)
        before = await asyncio.to_thread(first.inspected)
        await publish(bus, middle, end)
        await until_inspected(first, before)
        await until_inspected(second)

    total = FRAMES_PER_CAMERA * len(CAMERAS)
    results = await bus.wait_for_results(total, timeout_s=180)
    assert await asyncio.gather(*(process.stop() for process in inspectors)) == [0, 0]
    results = await bus.results()
    order: dict[str, list[int]] = collections.defaultdict(list)
    seen: set[str] = set()
    for result in results:
        assert (result.status, result.reason) == ("inspected", "none")
        assert result.camera_id is not None
        assert result.seq is not None
        if result.result_id not in seen:
            seen.add(result.result_id)
            order[result.camera_id].append(result.seq)
    assert order == {camera: list(range(FRAMES_PER_CAMERA)) for camera in CAMERAS}
    for partition in CAMERAS.values():
        assert await bus.committed(partition) == FRAMES_PER_CAMERA
    print(f"{len(results)} results for {total} frames, {len(results) - total} of them repeated")


async def test_a_second_signal_ends_a_drain_that_cannot_finish(
    inspectors: tuple[InspectorProcess, InspectorProcess],
    settings_file: Path,
    kafka_broker: Broker,
    kafka_settings: KafkaSettings,
    topic_names: TopicSettings,
) -> None:
    if kafka_broker.pid is None:
        pytest.skip("somebody else's broker is not ours to freeze")
    process, _ = inspectors
    bus = KafkaBus(kafka_settings, topic_names)
    await bus.make_topics(load_settings(settings_file))
    process.start()
    await process.ready()
    await publish(bus, 0, 100)
    await until_inspected(process)
    os.kill(kafka_broker.pid, signal.SIGSTOP)
    try:
        os.kill(process.pid, signal.SIGTERM)
        async with asyncio.timeout(60):
            while "finishing the frames in flight" not in process.log.read_text():
                await asyncio.sleep(0.05)
        assert await process.stop() == EXIT_CUT_SHORT
    finally:
        os.kill(kafka_broker.pid, signal.SIGCONT)
    results = await bus.results()
    assert await bus.committed(0) <= len([result for result in results if result.camera_id == "a"])
