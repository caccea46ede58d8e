"""Releases in tests: a log in memory, releases and records on it, and models by the digests of their bundles."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from inspector.anomaly.types import Thresholds
from inspector.bus.ports import ConsumedRecord
from inspector.errors import BusError
from inspector.inflight.route import Model
from inspector.settings.settings import Settings
from schemas import (
    AuditRecord,
    BundleReference,
    CameraModels,
    Candidate,
    LiveChanges,
    ModelReference,
    ModelRelease,
    decode,
    encode,
)
from tests.fakes import FakeBroker, FakeModel

THRESHOLDS = Thresholds(classification=0.5, segmentation=0.5)


def digest_of(letter: str) -> str:
    return letter * 64


def bundle(letter: str) -> BundleReference:
    """A bundle by one of the letters a to f."""
    model = ModelReference(name=f"model-{letter}", version="1", digest=digest_of(letter))
    return BundleReference(model=model, url=f"file:///srv/models/{letter}/")


def release(
    camera: str,
    number: int,
    active: str | None,
    *,
    canary: tuple[str, float] | None = None,
    candidate: Candidate | None = None,
    **changes: Any,
) -> ModelRelease:
    if canary is not None:
        candidate = Candidate(bundle=bundle(canary[0]), role="canary", percent=canary[1])
    models = CameraModels(
        active=None if active is None else bundle(active), candidate=candidate, changes=LiveChanges(**changes)
    )
    return ModelRelease(
        line_id="line",
        camera_id=camera,
        number=number,
        models=models,
        released_by="ada@host",
        released_at=1,
        audit_hash="ab" * 32,
    )


class FakeLog:
    """`LogReader` on a `FakeBroker`."""

    def __init__(self, broker: FakeBroker, topic: str) -> None:
        self._broker, self._topic = broker, topic
        self._next = 0
        self.is_away = False
        self.starts = 0

    async def start(self) -> None:
        self.starts += 1
        if self.is_away or self._topic not in self._broker.partitions:
            raise BusError(f"no broker has {self._topic}")
        self._next = 0

    async def read_to_end(self) -> list[ConsumedRecord]:
        return list(self._take())

    async def read(self, timeout_s: float) -> Sequence[ConsumedRecord]:
        if self.is_away:
            raise BusError("no broker answers")
        found = self._take()
        if not found:
            await asyncio.sleep(0.01)
        return found

    def _take(self) -> list[ConsumedRecord]:
        log = self._broker.log((self._topic, 0))
        found = log[self._next :]
        self._next = len(log)
        return list(found)

    async def stop(self) -> None: ...


class Shelf:
    """Bundles that lie in a cache as folders of their digests, and the models that reading them gives."""

    def __init__(self, cache: Path) -> None:
        self._bundles = cache / "bundles"
        self.models: dict[str, Model] = {}
        self.on_read: dict[str, Callable[[], None]] = {}
        self.settings_model = FakeModel(THRESHOLDS)

    def put(self, letter: str, model: FakeModel | None = None) -> FakeModel:
        """Let a bundle lie in the cache."""
        (self._bundles / digest_of(letter)).mkdir(parents=True)
        made = model or FakeModel(THRESHOLDS)
        made.name, made.digest = f"model-{letter}", digest_of(letter)
        self.models[digest_of(letter)] = made
        return made

    def read(self, path: Path) -> Model:
        """What the service reads bundles with."""
        if path.name in self.on_read:
            self.on_read[path.name]()
        return self.models.get(path.name, self.settings_model)


def on_topic(broker: FakeBroker, settings: Settings, *releases: ModelRelease) -> None:
    topic = settings.topics.models_topic
    broker.partitions |= {topic: 1, settings.topics.audit_topic: 1}
    for one in releases:
        broker.append((topic, 0), one.camera.encode(), encode(one))


def told(broker: FakeBroker, settings: Settings) -> list[AuditRecord]:
    """What the processes have told the audit topic."""
    return [decode(AuditRecord, record.value or b"") for record in broker.log((settings.topics.audit_topic, 0))]
