"""A burst, and batches that inflate, far beyond the byte budget: seen from outside, memory stays within the computed bound."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from deploy.local.base import Broker
from inspector.bus.connect import FETCH_BYTES
from inspector.bus.producer import SEND_BATCH_BYTES
from inspector.inflight.budget import memory_bound_bytes
from inspector.settings.file import load_settings
from inspector.settings.kafka import KafkaSettings
from inspector.settings.section import MIB
from inspector.settings.topics import TopicSettings
from tests.bombs import CODECS, bomb
from tests.buses import KafkaBus
from tests.e2e.processes import InspectorProcess
from tests.frames import camera_frame, record_of
from tests.models import write_tiny_bundle

pytestmark = [pytest.mark.slow, pytest.mark.kafka]

FRAMES = 400
SIDE = 1000
WORKERS = 2
DEVICE_THREADS = 2

SETTINGS = """
decode_threads = {workers}
device_threads = {device_threads}
torch_threads = 1
[kafka]
bootstrap_servers = "{servers}"
group_id = "{group}"
[topics]
prefix = "{prefix}"
frames_partitions = 4
[models]
tiny = "{bundle}"
[limits]
max_frame_bytes = 1048576
max_pixels = 1000000
max_bytes_in_flight = 25165824
[deadline]
default_budget_ms = 3600000
[[cameras]]
line_id = "line"
camera_id = "a"
model = "tiny"
"""


async def test_memory_stays_within_the_bound_that_the_settings_promise(
    tmp_path: Path, kafka_broker: Broker, topic_names: TopicSettings, kafka_settings: KafkaSettings
) -> None:
    file = tmp_path / "inspector.toml"
    file.write_text(
        SETTINGS.format(
            workers=WORKERS,
            device_threads=DEVICE_THREADS,
            servers=kafka_broker.bootstrap_servers,
            group=kafka_settings.group_id,
            prefix=topic_names.prefix,
            bundle=write_tiny_bundle(tmp_path / "tiny"),
        )
    )
    settings = load_settings(file)
    bound = memory_bound_bytes(
        settings,
        partitions=4,
        workers=WORKERS,
        device_threads=DEVICE_THREADS,
        domains=0,
        fetch_bytes=FETCH_BYTES,
        send_bytes=SEND_BATCH_BYTES,
    )
    burst = FRAMES * SIDE * SIDE
    assert bound < burst / 2, "a burst that would fit proves nothing"
    bus = KafkaBus(kafka_settings, topic_names)
    await bus.make_topics(settings)
    await bus.set_frames(compression_type="producer", max_message_bytes=str(2 * MIB))
    process = InspectorProcess("burst", file, tmp_path)
    process.start()
    try:
        await process.ready()
        idle = process.memory_bytes("VmRSS")
        generator = np.random.default_rng(0)
        raw = {"width": SIDE, "height": SIDE, "pixel_format": "mono8"}
        for first in range(0, FRAMES, 50):
            records = []
            for seq in range(first, first + 50):
                pixels = generator.integers(0, 255, (SIDE, SIDE), np.uint8).tobytes()
                frame = camera_frame("a", seq, time.time_ns() // 1000, image=pixels, encoding="raw", raw=raw)
                records.append((seq % 4, *record_of(frame)))
            await bus.publish_many(records)
        for partition, codec in enumerate(CODECS):
            await bus.publish_batch(partition, bomb(codec, 32 * MIB if codec == "snappy" else 200 * MIB))
        results = await bus.wait_for_results(FRAMES + len(CODECS), timeout_s=180)
        peak = process.memory_bytes("VmHWM")
        assert await process.stop() == 0
    finally:
        process.end()
    print(f"idle {idle >> 20} MiB, peak {peak >> 20} MiB, grew {peak - idle >> 20} of at most {bound >> 20} MiB")
    bombs = [result for result in results if result.status not in {"inspected", "failed"}]
    assert {(result.status, result.reason) for result in bombs} == {("undecodable", "too_large")}
    assert len({result.result_id for result in bombs}) == len(CODECS)
    assert peak - idle <= bound
