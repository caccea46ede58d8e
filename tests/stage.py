"""The service under test on one bus, and what its results are asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from inspector.anomaly.types import Thresholds
from inspector.bus.ports import FrameConsumer, Partition, ResultProducer
from inspector.bus.reading.log import LogReader
from inspector.inflight.route import Model
from inspector.loop.clock import Clock
from inspector.service import EXIT_CLEAN, Service
from inspector.settings.settings import Settings
from schemas import DLResultMessage
from tests.buses import BusUnderTest, Headers
from tests.fakes import FakeClock, FakeModel
from tests.frames import camera_frame, record_of

CAMERAS = ("a", "b", "c", "d")


class Held(NamedTuple):
    """A device that stands still: `scoring` is set as soon as a batch has come to it, `gate` lets all go on."""

    scoring: threading.Event
    gate: threading.Event


class Bystander:
    """A member of the group that does nothing with its partitions."""

    async def on_assigned(self, partitions: set[Partition]) -> None: ...

    async def on_revoked(self, partitions: set[Partition]) -> None: ...


class Stage:
    """The service on one bus, with a model that scores by brightness and a clock that stands still."""

    def __init__(self, bus: BusUnderTest) -> None:
        self.bus = bus
        self.clock = FakeClock()
        self.model = FakeModel(Thresholds(classification=0.5, segmentation=0.5))
        self.other_models: dict[Path, FakeModel] = {}
        """By the path that the settings give; all others have `model`."""
        self.sent = 0

    def hold_device(self, model: FakeModel | None = None) -> Held:
        """Let batches of a model, by default the settings' own, wait, each on its device thread, until `gate` is set."""
        held = Held(threading.Event(), threading.Event())

        def block(_size: int) -> None:
            held.scoring.set()
            held.gate.wait(60)

        (model or self.model).on_launch = block
        return held

    def settings(self, **sections: Any) -> Settings:
        values: dict[str, Any] = {
            "kafka": self.bus.kafka,
            "topics": self.bus.topics,
            "models": {"m": Path("unused")},
            "cameras": [
                {"line_id": "line", "camera_id": camera, "model": "m", "partition": number}
                for number, camera in enumerate(CAMERAS)
            ],
            "http": {"port": 0},
            "limits": {"max_frame_bytes": 100_000, "max_pixels": 1_000_000, "max_bytes_in_flight": 64 << 20},
            "decode_threads": 2,
            "commit_interval_ms": 20,
            "drain_timeout_s": 10,
        }
        return Settings(**(values | sections))

    async def publish(self, camera: str, seq: int, **fields: Any) -> str:
        """Publish a frame on its camera's partition; return its result_id by way of its identity."""
        await self.publish_many([(camera, seq)], **fields)
        return camera

    async def publish_many(self, frames: Iterable[tuple[str, int]], **fields: Any) -> None:
        """Publish frames of these cameras and numbers in this order, as `publish` does, at once."""
        captured_at = fields.pop("captured_at", self.clock.wall_us())
        records: list[tuple[int, bytes | None, bytes | None, Headers]] = []
        for camera, seq in frames:
            partition = CAMERAS.index(camera) if camera in CAMERAS else 7
            records.append((partition, *record_of(camera_frame(camera, seq, captured_at, **fields))))
        self.sent += len(records)
        await self.bus.publish_many(records)

    @asynccontextmanager
    async def service(
        self,
        settings: Settings | None = None,
        *,
        producer: ResultProducer | None = None,
        consumer: FrameConsumer | None = None,
        clock: Clock | None = None,
        read_model: Callable[[Path], Model] | None = None,
        release_log: LogReader | None = None,
    ) -> AsyncIterator[Service]:
        """Run the service for the duration of the block, then stop it and expect a clean end."""
        service, task = await self.start(
            settings,
            producer=producer,
            consumer=consumer,
            clock=clock,
            read_model=read_model,
            release_log=release_log,
        )
        try:
            yield service
        except BaseException:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise
        service.stop()
        assert await task == EXIT_CLEAN

    async def start(
        self,
        settings: Settings | None = None,
        *,
        producer: ResultProducer | None = None,
        consumer: FrameConsumer | None = None,
        clock: Clock | None = None,
        read_model: Callable[[Path], Model] | None = None,
        release_log: LogReader | None = None,
    ) -> tuple[Service, asyncio.Task[int]]:
        """Start the service; return it and the task that ends with its exit status."""
        settings = settings or self.settings()
        service = Service(
            settings,
            read_model=read_model or (lambda path: self.other_models.get(path, self.model)),
            producer=producer or self.bus.producer(settings),
            consumer=consumer or self.bus.consumer(settings),
            tail=self.bus.tail(settings),
            release_log=release_log,
            clock=clock or self.clock,
        )
        return service, asyncio.create_task(service.run())


def metric(service: Service, name: str, **labels: str) -> float:
    """Return the value of a series of the service's metrics; 0 where nothing has happened yet."""
    return service.metrics.registry.get_sample_value(f"inspector_{name}", labels) or 0


def sequences(results: Sequence[DLResultMessage]) -> dict[str, list[int]]:
    """Return the sequence numbers of each camera in the order of the first occurrence of each result."""
    seen: set[str] = set()
    order: dict[str, list[int]] = {}
    for result in results:
        if result.result_id not in seen and result.camera_id is not None and result.seq is not None:
            seen.add(result.result_id)
            order.setdefault(result.camera_id, []).append(result.seq)
    return order


def by_seq(results: Sequence[DLResultMessage]) -> dict[int, DLResultMessage]:
    return {result.seq: result for result in results if result.seq is not None}
