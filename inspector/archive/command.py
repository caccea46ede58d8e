"""Turns the settings into an archive, and runs, creates or verifies it."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector

from inspector.archive.holdings.verify import Account, verify
from inspector.archive.metrics import ArchiveMetrics
from inspector.archive.process import ArchiveProcess, Parts
from inspector.archive.storage.folder import FolderStorage
from inspector.archive.storage.objects import ObjectStorage
from inspector.archive.storage.port import Storage, StorageError
from inspector.bus.reading.group import KafkaGroup
from inspector.bus.reading.places import KafkaPlaces
from inspector.clients.results import result_topics
from inspector.errors import ArchiveError, ConfigError, InspectorError
from inspector.loop.signals import stopped_by_signals
from inspector.loop.supervisor import Supervisor
from inspector.observe.health import Health, HealthServer
from inspector.settings.places.archive import ArchiveSettings
from inspector.settings.settings import Settings
from inspector.store.pictures import PictureStore

log = logging.getLogger(__name__)

EXIT_CLEAN = 0
EXIT_FAILED = 1
EXIT_CUT_SHORT = 3


def storage_of(archive: ArchiveSettings) -> Storage:
    """Return the storage that the settings name; nothing is looked at yet.

    Raises:
        ConfigError: They name none.
        MissingExtraError: It is an S3 store, and obstore is not installed.
    """
    if archive.url is None:
        raise ConfigError('archive.url is not set; give a folder, or "s3://bucket/prefix"')
    return ObjectStorage(archive) if archive.is_s3 else FolderStorage(Path(archive.url))


def create(settings: Settings) -> None:
    """Make an archive at the place of the settings.

    Raises:
        ConfigError: No place is set.
        ArchiveError: It cannot be written to.
    """
    try:
        storage_of(settings.archive).create()
    except StorageError as exc:
        raise ArchiveError(f"the archive cannot be created: {exc}") from exc


def account_of(settings: Settings) -> Account:
    """Return how the archive's index and files agree.

    Raises:
        ConfigError: No place is set.
        ArchiveError: It cannot be read.
    """
    try:
        return verify(storage_of(settings.archive))
    except StorageError as exc:
        raise ArchiveError(f"the archive cannot be read: {exc}") from exc


def run(settings: Settings) -> int:
    """Keep pictures until a signal or a failure; return the exit status. Main thread only.

    Raises:
        ConfigError: A setting is wrong.
    """
    status, has_ended = asyncio.run(_run(settings))
    if not has_ended:  # a thread that hangs in a storage would hold up the interpreter's end
        logging.shutdown()
        os._exit(status)
    return status


async def _run(settings: Settings) -> tuple[int, bool]:
    archive = settings.archive
    registry = CollectorRegistry()
    metrics = ArchiveMetrics(registry, [camera.key for camera in settings.cameras])
    ProcessCollector(registry=registry)
    health = Health(hang_after_s=settings.http.hang_after_s, awaits=("broker", "partitions", "storage"))
    metrics.ready_when(lambda: not health.not_ready())
    server = HealthServer(settings.http.model_copy(update={"port": archive.http_port}), health, registry)
    supervisor = Supervisor()
    store = PictureStore(settings.store, post=supervisor.post)
    store.start()
    topics = settings.topics
    parts = Parts(
        storage=storage_of(archive),
        group=KafkaGroup(
            settings.kafka,
            result_topics(settings),
            archive.group_id,
            session_timeout_ms=archive.session_timeout_ms,
        ),
        places=KafkaPlaces(
            settings.kafka, topics.frames_topic, max_inflated_bytes=2 * settings.limits.max_message_bytes
        ),
        claims=StoreClaims(store),
        metrics=metrics,
        health=health,
    )
    process = ArchiveProcess(archive, parts)
    stop = asyncio.Event()
    server.start()
    status = EXIT_FAILED
    supervisor.spawn(health.keep_beating(metrics))
    supervisor.spawn(process.watch_thread())
    try:
        with stopped_by_signals(stop.set, at_once_status=EXIT_CUT_SHORT):
            await process.run(stop)
        status = EXIT_CLEAN
    except InspectorError as exc:
        log.error("%s", exc)  # noqa: TRY400 a sentence for the operator, not a stack
    finally:
        await supervisor.end()
        has_ended = store.stop() and process.has_ended
        await asyncio.to_thread(server.stop)
    return status, has_ended


class StoreClaims:
    """Pictures that frames only name, from where `[store]` allows."""

    def __init__(self, store: PictureStore) -> None:
        self._store = store

    async def fetch(self, uri: str, size_bytes: int) -> bytes:
        """Return a picture.

        Raises:
            ClaimError: It is not allowed, not there, or not as long.
        """
        return await self._store.read(self._store.find(uri), size_bytes)
