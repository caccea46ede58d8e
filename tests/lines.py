"""The service on the bus in memory, with models that releases exchange."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from inspector.service import EXIT_CLEAN, Service
from inspector.settings.settings import Settings
from inspector.settings.topics import TopicSettings
from schemas import ModelRelease
from tests.buses import MemoryBus, wait_until
from tests.releases import FakeLog, Shelf, on_topic, told
from tests.stage import Stage


class Line:
    """A service, its bus, its shelf of bundles and its topic of releases."""

    def __init__(self, topics: TopicSettings, folder: Path) -> None:
        self.bus = MemoryBus(topics)
        self.stage = Stage(self.bus)
        self.settings: Settings = self.stage.settings(
            releases={"store": "file:///srv/models/", "cache": folder, "wait_s": 0.05}
        )
        self.shelf = Shelf(folder)
        self.log = FakeLog(self.bus.broker, topics.models_topic)

    def release(self, *releases: ModelRelease) -> None:
        on_topic(self.bus.broker, self.settings, *releases)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Service]:
        service = Service(
            self.settings,
            read_model=self.shelf.read,
            producer=self.bus.producer(self.settings),
            shadow_producer=self.bus.producer(self.settings),
            consumer=self.bus.consumer(self.settings),
            tail=self.bus.tail(self.settings),
            release_log=self.log,
            clock=self.stage.clock,
        )
        task = asyncio.create_task(service.run())
        try:
            await wait_until(lambda: not service.health.not_ready() or task.done(), timeout_s=240)
            yield service
        except BaseException:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise
        service.stop()
        assert await task == EXIT_CLEAN

    async def until_told(self, count: int) -> None:
        await wait_until(lambda: len(self.outcomes()) >= count)

    def outcomes(self) -> list[tuple[str, int, str]]:
        """Action, number and reason of what was told."""
        records = told(self.bus.broker, self.settings)
        return [(record.action, record.number, record.detail.partition(":")[0]) for record in records]
