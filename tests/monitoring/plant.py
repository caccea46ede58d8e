"""A plant in small, for dashboards and alerts: two inspectors share the partitions of five cameras, and faults are provoked on purpose.

Service, metrics, health and their HTTP servers are the real ones, with the real clock; the bus is the one in memory, and a model scores by brightness.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import numpy as np

from deploy.local.base import LOOPBACK
from inspector.anomaly.types import Thresholds
from inspector.loop.clock import SystemClock
from inspector.service import Service
from inspector.settings.settings import Settings
from inspector.settings.topics import TopicSettings
from tests.buses import MemoryBus
from tests.fakes import FakeModel, UnreliableProducer
from tests.frames import camera_frame, png, record_of
from tests.releases import FakeLog, on_topic
from tests.stage import Stage

CAMERAS = ("top", "left", "right", "front", "back")
WELL, SILENT, TROUBLED, AHEAD, BEHIND = CAMERAS
"""Which camera has which fault, once it is provoked; the troubled one sees defects, garbles some frames, and is judged by a stranger, too."""
INTERVAL_S = 0.1
"""Each camera sends a frame so often."""
SCORING_S = 0.004
"""What a frame takes on the device."""
FROM_THE_FUTURE_S = 0.2
FROM_THE_PAST_S = 30.0
MEAN_LEVEL, DEVIATION, DEFECT_LEVEL = 70, 9, 165
"""Brightnesses, which are 256 times the score; the threshold is 128."""


class Plant:
    """Cameras, bus and inspectors. Event loop only."""

    def __init__(self, cache: Path) -> None:
        """Prepare; nothing runs before `running`.

        Args:
            cache: folder for released bundles, of which there is none.
        """
        self._cache = str(cache)
        self._bus = MemoryBus(TopicSettings(prefix="plant", frames_partitions=len(CAMERAS)))
        self._stage = Stage(self._bus)
        self._producers: list[UnreliableProducer] = []
        self._leaked: list[bytearray] = []
        self._random = np.random.default_rng(0)
        self.services: list[Service] = []
        self.is_faulty = False

    @property
    def targets(self) -> list[str]:
        """Where the inspectors answer Prometheus."""
        return [f"{LOOPBACK}:{service.http_port}" for service in self.services]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Both inspectors work, and the cameras send, for the duration of the block."""
        settings = self._settings()
        await self._bus.make_topics(settings)
        self._bus.broker.partitions[settings.topics.heartbeats_topic] = 1
        on_topic(self._bus.broker, settings)
        async with AsyncExitStack() as stack:
            for number in (1, 2):
                self.services.append(await stack.enter_async_context(self._inspector(settings, number)))
            sending = asyncio.create_task(self._send())
            try:
                yield
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
                self.release_verdicts()

    def _settings(self) -> Settings:
        return self._stage.settings(
            cameras=[
                {"line_id": "line", "camera_id": camera, "model": "m", "partition": number}
                for number, camera in enumerate(CAMERAS)
            ],
            limits={
                "max_frame_bytes": 100_000,
                "max_pixels": 10_000,
                "max_bytes_in_flight": 4 << 20,
                "max_frames_in_flight": 50,
            },
            deadline={"default_budget_ms": 20_000},
            heartbeat={"interval_ms": 1000},
            second_writer_check_s=0.5,
            decode_threads=1,
            device_threads=1,
            drain_timeout_s=5,
            # Nothing is released, but what the metrics say of releases is there to be seen.
            releases={"store": "file:///srv/models/", "cache": self._cache},
        )

    def _inspector(self, settings: Settings, number: int) -> AbstractAsyncContextManager[Service]:
        """Return one that judges by a model of its own: the fault that is there from the beginning."""
        model = FakeModel(Thresholds(classification=0.5, segmentation=0.5))
        model.version, model.digest = str(number), f"{number}" * 64
        model.on_launch = lambda size: time.sleep(SCORING_S * size)
        producer = UnreliableProducer(self._bus.producer(settings))
        self._producers.append(producer)
        return self._stage.service(
            settings,
            producer=producer,
            clock=SystemClock(),
            read_model=lambda _path: model,
            release_log=FakeLog(self._bus.broker, settings.topics.models_topic),
        )

    def hold_verdicts(self) -> None:
        """Let no verdict leave, so that frames pile up in the broker."""
        for producer in self._producers:
            producer.open.clear()

    def release_verdicts(self) -> None:
        """Let verdicts leave again."""
        for producer in self._producers:
            producer.open.set()

    def leak(self) -> None:
        """Take as much memory as an inspector may grow by, and a GiB that this process may have given back since the inspector began."""
        bound = self.services[0].memory_bound_bytes(len(CAMERAS))
        self._leaked.append(bytearray(b"x") * (bound + (1 << 30)))

    def stop_second(self) -> None:
        """One inspector is gone; the other takes its partitions over."""
        self.services[1].stop()

    def delete_frames(self) -> None:
        """The frames topic is gone: whoever is left reads nothing any more."""
        self._bus.broker.delete(self._bus.topics.frames_topic)

    async def _send(self) -> None:
        results = self._bus.topics.results_topic("", "")
        for seq in itertools.count():
            for number, camera in enumerate(CAMERAS):
                if self.is_faulty and camera == SILENT:
                    continue
                key, value, headers = self._record(camera, seq)
                await self._bus.publish(number, key, value, headers)
                if self.is_faulty and camera == TROUBLED:
                    for partition in range(self._bus.broker.partitions[results]):
                        self._bus.broker.append((results, partition), key, b"", [("deployment", b"trial")])
            await asyncio.sleep(INTERVAL_S)

    def _record(self, camera: str, seq: int) -> tuple[bytes, bytes, list[tuple[str, bytes | None]]]:
        captured_s = time.time()
        mean = MEAN_LEVEL
        if self.is_faulty:
            captured_s += {AHEAD: FROM_THE_FUTURE_S, BEHIND: -FROM_THE_PAST_S}.get(camera, 0.0)
            mean = DEFECT_LEVEL if camera == TROUBLED and seq % 3 else mean
        level = int(np.clip(self._random.normal(mean, DEVIATION), 20, 190))
        key, value, headers = record_of(camera_frame(camera, seq, round(captured_s * 1e6), image=png(level)))
        is_garbled = self.is_faulty and camera == TROUBLED and seq % 5 == 0
        return key, value[: len(value) // 2] if is_garbled else value, headers
