"""Reads a topic from some time on to its present end: without a group, leaving no trace, one chunk in memory at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from aiokafka import TopicPartition

from inspector.bus.admin import require_topics
from inspector.bus.connect import bus_errors, consumer_client, lacks, start_client
from inspector.bus.ports import ConsumedRecord
from inspector.bus.records import limit_inflated
from inspector.errors import BusError
from inspector.settings.kafka import KafkaSettings

POLL_MS: Final = 200
CHUNK_RECORDS: Final = 1000
INFLATED_BYTES: Final = 16 * 1024 * 1024
SILENT_S: Final = 15.0
"""A topic of which nothing comes for so long, though it has more, is not read at all."""


async def read_window(
    kafka: KafkaSettings, topic: str, take: Callable[[ConsumedRecord], None], *, since_ms: int | None = None
) -> None:
    """Hand every record that is there now to `take`, each partition in its order.

    Args:
        kafka: the brokers.
        topic: all partitions of it.
        take: called on the event loop.
        since_ms: only records that were written since then, in ms since 1970, as the brokers know it; None: all that are kept.

    Raises:
        AccessError: An operator must act.
        BusError: It cannot be read.
        TopicError: There is none.
    """
    await require_topics(kafka, [topic])
    limit_inflated(topic, INFLATED_BYTES)
    consumer = consumer_client(kafka, topic, group_id=None)
    try:
        async with bus_errors(f"read {topic}", lacks(kafka, "Read", topic)):
            await start_client(consumer)
            partitions = consumer.assignment()
            ends = await consumer.end_offsets(partitions)
            for place, begin in (await _begins(consumer, partitions, since_ms)).items():
                consumer.seek(place, begin)
                await read_up_to(consumer, place, ends[place], partial(_take_before, ends[place], take))
    finally:
        await consumer.stop()


async def _begins(consumer: Any, partitions: set[TopicPartition], since_ms: int | None) -> dict[TopicPartition, int]:  # noqa: ANN401 aiokafka ships no types
    """Return where to begin with each partition that has something to read."""
    begins: dict[TopicPartition, int] = await consumer.beginning_offsets(partitions)
    if since_ms is None:
        return begins
    found = await consumer.offsets_for_times(dict.fromkeys(partitions, max(0, since_ms)))
    return {place: max(at.offset, begins[place]) for place, at in found.items() if at is not None}


def _take_before(end: int, take: Callable[[ConsumedRecord], None], record: ConsumedRecord) -> None:
    if record.offset < end:
        take(record)


async def read_up_to(
    consumer: Any,  # noqa: ANN401
    place: TopicPartition,
    end: int,
    take: Callable[[ConsumedRecord], None],
) -> None:
    """Hand what comes of a partition to `take`, from where the consumer stands until it stands at `end` or beyond.

    Raises:
        BusError: Nothing comes any more, though there is more.
    """
    loop = asyncio.get_running_loop()
    position, moved_s = -1, loop.time()
    while (at := await consumer.position(place)) < end:
        if at > position:
            position, moved_s = at, loop.time()
        elif loop.time() - moved_s > SILENT_S:
            raise BusError(
                f"{place.topic}/{place.partition} cannot be read beyond offset {at}, although it ends at {end}"
            )
        chunks = await consumer.getmany(place, timeout_ms=POLL_MS, max_records=CHUNK_RECORDS)
        for records in chunks.values():
            for record in records:
                take(record)
