"""`inspector results`: reads verdicts without a group and leaves no trace, as any other reader may."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from inspector.bus.admin import require_topics
from inspector.bus.connect import bus_errors, consumer_client, lacks, start_client
from inspector.errors import ConfigError
from inspector.settings.settings import Settings
from schemas import DLResultMessage, SchemaError, decode

POLL_MS = 200
# How many result ids are kept to tell a repeated result from a first one.
MAX_SEEN = 100_000


@dataclass(frozen=True)
class Verdict:
    """One record of a results topic.

    Attributes:
        message: None where the record is not what the contract says; `error` tells why.
        is_repeat: whether a result of the same id came before in this reading: the first one counts.
    """

    topic: str
    partition: int
    offset: int
    message: DLResultMessage | None
    is_repeat: bool = False
    error: str | None = None


def result_topics(settings: Settings) -> list[str]:
    """Return the topics that verdicts may be on.

    Raises:
        ConfigError: The name depends on the camera, and no camera is named.
    """
    names = [settings.topics.results_topic(camera.line_id, camera.camera_id) for camera in settings.cameras]
    if names:
        names.append(settings.topics.stray_results_topic)
    if not settings.topics.results_per_camera:
        names = [settings.topics.results_topic("", "")]
    if not names:
        raise ConfigError(
            f"topics.results = {settings.topics.results!r} depends on the camera, so list the [[cameras]]"
        )
    return sorted(set(names))


async def read_results(
    settings: Settings,
    *,
    follow: bool = False,
    from_beginning: bool = True,
    stop: asyncio.Event | None = None,
    begun: asyncio.Event | None = None,
) -> AsyncGenerator[Verdict, None]:
    """Yield verdicts: up to those that are there now, or without end.

    Args:
        settings: broker and topics.
        follow: whether to go on with those still to come, until `stop` is set.
        from_beginning: whether to begin with the oldest that the topics keep, instead of the next to come.
        stop: ends a following.
        begun: is set once it is settled where the reading begins.

    Raises:
        TopicError: A topic is missing.
        BusError: The broker cannot be reached.
    """
    stop = stop or asyncio.Event()
    topics = result_topics(settings)
    await require_topics(settings.kafka, topics)
    consumer = consumer_client(settings.kafka, *topics, group_id=None)
    seen = _Seen()
    lacking = lacks(settings.kafka, "Read", ", ".join(topics))
    try:
        async with bus_errors("read results", lacking):
            await start_client(consumer)
            ends = await _position(consumer, from_beginning=from_beginning)
        if begun is not None:
            begun.set()
        while not stop.is_set():
            if not follow and await _reached(consumer, ends):
                return
            async with bus_errors("read results", lacking):
                chunks = await consumer.getmany(timeout_ms=POLL_MS)
            for partition, records in chunks.items():
                for record in records:
                    if follow or record.offset < ends[partition]:
                        yield _verdict(record, seen)
    finally:
        await consumer.stop()


async def _position(consumer: Any, *, from_beginning: bool) -> dict[Any, int]:  # noqa: ANN401 aiokafka ships no types
    """Go to the first record to read; return the ends as of now."""
    partitions = consumer.assignment()
    ends: dict[Any, int] = await consumer.end_offsets(partitions)
    beginnings = await consumer.beginning_offsets(partitions)
    for partition in partitions:
        consumer.seek(partition, beginnings[partition] if from_beginning else ends[partition])
    return ends


async def _reached(consumer: Any, ends: dict[Any, int]) -> bool:  # noqa: ANN401
    for partition, end in ends.items():
        if await consumer.position(partition) < end:
            return False
    return True


def _verdict(record: Any, seen: _Seen) -> Verdict:  # noqa: ANN401
    place = (record.topic, record.partition, record.offset)
    if record.fault is not None:
        return Verdict(*place, message=None, error=record.fault.detail)
    try:
        message = decode(DLResultMessage, record.value or b"")
    except SchemaError as exc:
        return Verdict(*place, message=None, error=str(exc))
    return Verdict(*place, message=message, is_repeat=seen.before(message.result_id))


class _Seen:
    """The last result ids, in bounded memory."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()

    def before(self, result_id: str) -> bool:
        if result_id in self._ids:
            return True
        self._ids[result_id] = None
        if len(self._ids) > MAX_SEEN:
            self._ids.popitem(last=False)
        return False
