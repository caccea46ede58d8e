"""The service on the bus in memory, with models that releases exchange."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from inspector.service import EXIT_CLEAN, Service
from inspector.settings.settings import Settings
from inspector.settings.topics import TopicSettings
from schemas import Candidate, ModelRelease, ShadowResultMessage, decode
from tests.buses import MemoryBus, wait_until
from tests.releases import FakeLog, Shelf, bundle, on_topic, told
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
    async def running(self, *, status: int = EXIT_CLEAN) -> AsyncIterator[Service]:
        """Run it; it has to end with this status."""
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
        assert await task == status

    async def until_told(self, count: int) -> None:
        await wait_until(lambda: len(self.outcomes()) >= count)

    def outcomes(self) -> list[tuple[str, int, str]]:
        """Action, number and reason of what was told."""
        records = told(self.bus.broker, self.settings)
        return [(record.action, record.number, record.detail.partition(":")[0]) for record in records]


def shadow(letter: str) -> Candidate:
    return Candidate(bundle=bundle(letter), role="shadow")


class ShadowLine(Line):
    """With one device thread, and a topic of the shadow."""

    def __init__(self, topics: TopicSettings, folder: Path) -> None:
        super().__init__(topics, folder)
        self.settings = self.settings.model_copy(update={"device_threads": 1})
        self.topic = topics.shadow_topic
        self.bus.broker.partitions[self.topic] = 1

    async def until_tried(self, service: Service, letter: str) -> None:
        await wait_until(lambda: tried(service, "line/a") == letter)

    def said(self) -> list[ShadowResultMessage]:
        return [decode(ShadowResultMessage, record.value or b"") for record in self.bus.broker.log((self.topic, 0))]

    async def until_said(self, count: int) -> list[ShadowResultMessage]:
        await wait_until(lambda: len(self.said()) >= count)
        return self.said()


def tried(service: Service, camera: str) -> str | None:
    """The letter of the model on trial, as /metrics has it."""
    for family in service.metrics.registry.collect():
        if family.name == "inspector_shadow_in_use":
            return next((one.labels["digest"][0] for one in family.samples if one.labels["camera"] == camera), None)
    return None
