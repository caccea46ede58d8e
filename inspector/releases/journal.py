"""How a change is written: first its record, which counts only if it is the first at its position, then the release. Event loop only."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from inspector.bus.ports import ProducedRecord, ResultProducer
from inspector.bus.producer import KafkaProducer
from inspector.bus.reading.log import KafkaLog, LogReader
from inspector.releases.chain import Audit, Verdict, read_audit, read_releases, verify
from inspector.releases.errors import ReleaseError, ReleaseRaceError
from inspector.settings.settings import Settings
from schemas import AuditRecord, CameraModels, ModelRelease, audit_hash, camera_chain, encode
from schemas.releases.audit import ChangeAction

MAX_RECORD_BYTES: Final = 256 * 1024

Edit = Callable[[CameraModels], CameraModels]
"""What a camera is judged by after a change, from what it is before; raises `ReleaseError` where the change makes no sense."""


class Change(NamedTuple):
    """What somebody wants to be changed."""

    action: ChangeAction
    edit: Edit
    by: str
    detail: str = ""


class Written(NamedTuple):
    """A change that counts."""

    release: ModelRelease
    old: CameraModels


class Journal:
    """The two topics of releases; see `connect_journal`."""

    def __init__(self, settings: Settings, models: LogReader, audit: LogReader, producer: ResultProducer) -> None:
        """Wrap started clients; `wall_us` may be replaced by tests."""
        self._models_topic, self._audit_topic = settings.topics.models_topic, settings.topics.audit_topic
        self._models, self._audit, self._producer = models, audit, producer
        self.wall_us: Callable[[], int] = lambda: time.time_ns() // 1000

    async def releases(self) -> dict[str, ModelRelease]:
        """Return the last release of each camera, by `line_id/camera_id`.

        Raises:
            BusError: The topic cannot be read.
        """
        return (await self.all_releases())[0]

    async def audit(self) -> Audit:
        """Return all chains.

        Raises:
            BusError: The topic cannot be read.
        """
        await self._audit.stop()
        await self._audit.start()
        return read_audit(await self._audit.read_to_end())

    async def change(self, line_id: str, camera_id: str, change: Change) -> Written:
        """Write one change of a camera.

        Raises:
            ReleaseError: It makes no sense as things are; nothing was written.
            ReleaseRaceError: Somebody else came first; it changed nothing.
            BusError: Whether it was written is unknown; `trainer releases` tells.
        """
        camera = f"{line_id}/{camera_id}"
        release = (await self.releases()).get(camera)
        chain = (await self.audit()).of_camera(line_id, camera_id)
        head = chain.head
        number, previous, old = 0, None, CameraModels(active=None)
        if release is not None:
            number, previous, old = release.number, release.audit_hash, release.models
        if head is not None and head.record.number >= number:
            # The record counts, also where whoever wrote it died before the release.
            number, previous, old = head.record.number, head.hash, head.record.new or old
        new = change.edit(old)
        if new == old:
            raise ReleaseError(f"{camera}: it is already judged this way (release {number})")
        record = AuditRecord(
            chain=camera_chain(line_id, camera_id),
            position=number,
            previous_hash=previous,
            action=change.action,
            line_id=line_id,
            camera_id=camera_id,
            number=number + 1,
            by=change.by,
            at=self.wall_us(),
            old=old,
            new=new,
            detail=change.detail,
        )
        value = encode(record)
        await self._send(self._audit_topic, record.chain.encode(), value)
        counts = (await self.audit()).of_camera(line_id, camera_id).links.get(record.position)
        if counts is None or counts.hash != audit_hash(value):
            by = "somebody" if counts is None else counts.record.by
            raise ReleaseRaceError(
                f"{camera} was changed by {by} at the same moment; look at this change, and try again"
            )
        release = ModelRelease(
            line_id=line_id,
            camera_id=camera_id,
            number=record.number,
            models=new,
            released_by=change.by,
            released_at=record.at,
            audit_hash=counts.hash,
        )
        await self._send(self._models_topic, camera.encode(), encode(release))
        return Written(release, old)

    async def all_releases(self) -> tuple[dict[str, ModelRelease], list[str]]:
        """Return the same as `releases`, and a sentence for each record that is not a valid release."""
        await self._models.stop()
        await self._models.start()
        return read_releases(await self._models.read_to_end())

    async def _send(self, topic: str, key: bytes, value: bytes) -> None:
        number = await self._producer.partition_for(topic, key)
        await self._producer.send((topic, number), [ProducedRecord(topic, key, value, [])])


async def verify_topics(settings: Settings) -> Verdict:
    """Read both topics and hold them against each other.

    Raises:
        BusError: One cannot be read.
        TopicError: There is none.
    """
    async with connect_journal(settings, writes=False) as journal:
        audit = await journal.audit()
        releases, unreadable = await journal.all_releases()
    found = verify(audit, releases)
    return found._replace(faults=[*found.faults, *(f"topic of releases, {sentence}" for sentence in unreadable)])


@asynccontextmanager
async def connect_journal(settings: Settings, *, writes: bool) -> AsyncIterator[Journal]:
    """Connect for the duration of a block.

    Args:
        settings: brokers and topics.
        writes: whether changes are to be written.

    Raises:
        BusError: No broker answers, or it refuses this client.
    """
    models = KafkaLog(settings.kafka, settings.topics.models_topic)
    audit = KafkaLog(settings.kafka, settings.topics.audit_topic)
    producer = KafkaProducer(settings.kafka, max_record_bytes=MAX_RECORD_BYTES)
    try:
        if writes:
            await producer.start()
        yield Journal(settings, models, audit, producer)
    finally:
        for client in (models, audit, producer):
            await client.stop()
