"""An inspector process on a bus in memory, in which one thing goes wrong: `python -m tests.integration.hanging loop|device|lost`.

It prints a JSON line for each verdict that is sent and each commit. Whatever line comes in on standard input lets the fault begin.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

import inspector.service
from inspector.anomaly.types import Thresholds
from inspector.bus.ports import Partition, ProducedRecord
from inspector.settings.settings import Settings
from inspector.settings.topics import TopicSettings
from schemas import DLResultMessage, decode
from tests.buses import MemoryBus
from tests.device import DeviceModel
from tests.fakes import FakeConsumer, FakePending, FakeProducer
from tests.frames import camera_frame, png, record_of
from tests.stage import CAMERAS

HANGS = 90
"""The brightness of a frame that the device never finishes."""
LOST = 91
TOPIC = TopicSettings().frames_topic


def say(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


class Telling(FakeProducer):
    """Prints what is sent."""

    @override
    async def send(self, partition: Partition, records: Sequence[ProducedRecord]) -> int:
        for record in records:
            if record.topic != TopicSettings().deadletters_topic:
                result = decode(DLResultMessage, record.value)
                say(camera=result.camera_id, seq=result.seq, status=result.status)
        return await super().send(partition, records)


class Committing(FakeConsumer):
    """Prints what is committed."""

    @override
    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        await super().commit(offsets)
        for (_, number), offset in offsets.items():
            say(partition=number, committed=offset)


class Faulty(DeviceModel):
    """Never finishes one picture, and loses the device at another."""

    @override
    def launch(self, images: Sequence[NDArray[np.uint8]]) -> FakePending:
        levels = {round(float(image.mean())) for image in images}
        if HANGS in levels:
            say(hangs=True)
            threading.Event().wait()
        if LOST in levels:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return super().launch(images)


async def publish(bus: MemoryBus, level: int) -> None:
    """A frame of camera a with this brightness, and five of camera b behind it."""
    await bus.publish(0, *record_of(camera_frame("a", 1, time.time_ns() // 1000, image=png(level))))
    for seq in range(1, 6):
        await bus.publish(1, *record_of(camera_frame("b", seq, time.time_ns() // 1000)))


def begin(mode: str, bus: MemoryBus, loop: asyncio.AbstractEventLoop) -> None:
    """Wait for a line, and let the fault begin."""
    for _ in sys.stdin:
        if mode == "loop":
            loop.call_soon_threadsafe(time.sleep, 3600)
        else:
            asyncio.run_coroutine_threadsafe(publish(bus, HANGS if mode == "device" else LOST), loop)


def main(mode: str) -> int:
    """Run the service until the watchdog ends it."""
    logging.basicConfig(level=logging.INFO)
    bus = MemoryBus(TopicSettings())
    settings = Settings(
        models={"m": Path("unused")},
        cameras=[{"line_id": "line", "camera_id": c, "model": "m", "partition": n} for n, c in enumerate(CAMERAS)],  # type: ignore[arg-type]
        http={"port": 0, "hang_after_s": 1},  # type: ignore[arg-type]
        # What is not tried here has time enough on a machine that does ten other things.
        watchdog={"loop_s": 4 if mode == "loop" else 120, "device_s": 2 if mode == "device" else 120},  # type: ignore[arg-type]
        deadline={"default_budget_ms": 600_000},  # type: ignore[arg-type]
        device_threads=2,
        batching={"max_batch_size": 1},  # type: ignore[arg-type]
    )

    class Service(inspector.service.Service):
        @override
        async def run(self) -> int:
            await bus.make_topics(settings)
            await bus.publish(0, *record_of(camera_frame("a", 0, time.time_ns() // 1000)))
            arguments = (mode, bus, asyncio.get_running_loop())
            threading.Thread(target=begin, args=arguments, daemon=True).start()
            return await super().run()

    model = Faulty(Thresholds(classification=0.5, segmentation=0.5), room=8)
    inspector.service.Service = partial(  # type: ignore[misc, assignment]
        Service,
        read_model=lambda _path: model,
        consumer=Committing(bus.broker, TOPIC),
        producer=Telling(bus.broker),
    )
    return inspector.service.run(settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
