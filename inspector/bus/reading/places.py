"""Reads only the wanted offsets of partitions, without a group."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from inspector.bus.connect import bus_errors, consumer_client, lacks, start_client
from inspector.bus.ports import ConsumedRecord, Partition
from inspector.bus.records import limit_inflated
from inspector.errors import BusError
from inspector.settings.kafka import KafkaSettings

FETCH_BYTES: Final = 256 * 1024
"""Of one fetch: a place far from the one before costs one or two of these. A larger record still comes, alone."""
NEAR_OFFSETS: Final = 50
"""A place so near behind the one before is read on to, instead of asked for anew."""
POLL_MS: Final = 200
SILENT_S: Final = 15.0
CHUNK_RECORDS: Final = 50


class Found(NamedTuple):
    """What lies at a place; None: no record does, or none any more."""

    partition: Partition
    offset: int
    record: ConsumedRecord | None


class PlaceReader(Protocol):
    """Reads records at known places. Event loop only."""

    def take(self, wanted: Mapping[Partition, Sequence[int]]) -> AsyncGenerator[Found, None]:
        """Yield what lies at each of these offsets, partition by partition in the order of offsets.

        Raises:
            AccessError: An operator must act.
            BusError: Worth another try.
        """
        ...

    async def stop(self) -> None:
        """Disconnect."""
        ...


class KafkaPlaces:
    """`PlaceReader` on aiokafka. One `take` at a time."""

    def __init__(self, kafka: KafkaSettings, topic: str, *, max_inflated_bytes: int) -> None:
        """Prepare; the first `take` connects.

        Args:
            kafka: the brokers.
            topic: the only one that places may name; it is named for the sake of errors.
            max_inflated_bytes: how far the record batches of one fetch are inflated.
        """
        self._kafka = kafka
        self._topic = topic
        self._consumer: Any = None
        self._inflated_bytes = max_inflated_bytes

    async def take(self, wanted: Mapping[Partition, Sequence[int]]) -> AsyncGenerator[Found, None]:
        """Yield what lies at each of these offsets."""
        async with bus_errors(f"read {self._topic}", lacks(self._kafka, "Read", self._topic)):
            consumer = await self._started()
            if self._topic in consumer._client.cluster.unauthorized_topics:  # noqa: SLF001 else its records would count as gone
                raise TopicAuthorizationFailedError(self._topic)
            known = consumer.partitions_for_topic(self._topic) or set()
            here = {TopicPartition(*place): sorted(offsets) for place, offsets in wanted.items() if offsets}
            for place in [place for place in here if place.topic != self._topic or place.partition not in known]:
                for offset in here.pop(place):
                    yield Found(tuple(place), offset, None)
            if not here:
                return
            if consumer.assignment() != set(here):
                consumer.assign(sorted(here))
                consumer.pause(*here)
            begins = await consumer.beginning_offsets(list(here))
            ends = await consumer.end_offsets(list(here))
            for place, offsets in here.items():
                there = [offset for offset in offsets if begins[place] <= offset < ends[place]]
                for offset in sorted(set(offsets) - set(there)):
                    yield Found(tuple(place), offset, None)
                async for found in self._read(consumer, place, deque(there)):
                    yield found

    async def _read(self, consumer: Any, place: TopicPartition, left: deque[int]) -> AsyncIterator[Found]:  # noqa: ANN401
        """Read the partition `place` from each wanted offset to the next that is not near."""
        loop = asyncio.get_running_loop()
        position: int | None = None  # wherever the consumer stands, it is from another time
        consumer.resume(place)
        try:
            heard_s = loop.time()
            while left:
                if position is None or not position <= left[0] <= position + NEAR_OFFSETS:
                    position = left[0]
                    consumer.seek(place, position)
                chunks = await consumer.getmany(place, timeout_ms=POLL_MS, max_records=CHUNK_RECORDS)
                for record in chunks.get(place, ()):
                    heard_s = loop.time()
                    position = record.offset + 1
                    while left and left[0] < record.offset:
                        yield Found(tuple(place), left.popleft(), None)
                    if left and left[0] == record.offset:
                        yield Found(tuple(place), left.popleft(), record)
                if not chunks:
                    # Of transactions that were given up nothing comes, and yet it is passed.
                    position = passed = await consumer.position(place)
                    while left and left[0] < passed:
                        heard_s = loop.time()
                        yield Found(tuple(place), left.popleft(), None)
                if loop.time() - heard_s > SILENT_S:
                    raise BusError(f"could not read {place.topic}/{place.partition} at {left[0]}: no record arrives")
        finally:
            consumer.pause(place)

    async def _started(self) -> Any:  # noqa: ANN401 aiokafka ships no types
        if self._consumer is None:
            limit_inflated(self._topic, self._inflated_bytes)
            consumer = consumer_client(
                self._kafka, group_id=None, auto_offset_reset="earliest", max_partition_fetch_bytes=FETCH_BYTES
            )
            try:
                await start_client(consumer)
                # Without a subscription aiokafka learns of a topic when it is asked about.
                await consumer.topics()
                consumer._client.add_topic(self._topic)  # noqa: SLF001 it keeps the metadata of what it reads
                await consumer._client.force_metadata_update()  # noqa: SLF001
            except (KafkaError, BusError):
                await consumer.stop()
                raise
            self._consumer = consumer
        return self._consumer

    async def stop(self) -> None:
        """Disconnect."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()
