"""Frames from Kafka: `FrameConsumer` on aiokafka.

`getmany` is never given an empty list (it means all) nor cancelled, and commits name their offsets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, ConsumerStoppedError, IllegalStateError, KafkaError

from inspector.bus.connect import FETCH_BYTES, bus_errors, consumer_client, start_client
from inspector.bus.ports import ConsumedRecord, Partition, RebalanceListener
from inspector.errors import BusError, StaleCommitError
from inspector.settings.kafka import KafkaSettings


class KafkaConsumer:
    """`FrameConsumer` on aiokafka. Event loop only."""

    def __init__(self, kafka: KafkaSettings, topic: str, *, max_partition_fetch_bytes: int) -> None:
        """Prepare to read `topic`; nothing connects before `start`."""
        self._kafka = kafka
        self._topic = topic
        self._options = {
            "group_id": kafka.group_id,
            "max_partition_fetch_bytes": max_partition_fetch_bytes,
            "fetch_max_bytes": max(FETCH_BYTES, max_partition_fetch_bytes),
        }
        self._consumer: Any = None

    async def start(self, listener: RebalanceListener) -> None:
        """Connect and join the group."""
        consumer = consumer_client(self._kafka, **self._options)
        async with bus_errors("connect to the brokers"):
            try:
                await start_client(consumer)
            except KafkaError:
                await consumer.stop()
                raise
        consumer.subscribe([self._topic], listener=_Listener(listener))
        self._consumer = consumer

    async def read(
        self, partitions: Sequence[Partition], *, timeout_s: float, max_records: int
    ) -> Mapping[Partition, Sequence[ConsumedRecord]]:
        """Return what is there of these partitions.

        aiokafka looks at the assignment while it collects what was fetched, and from there to here nothing is awaited; so
        no record of an earlier assignment comes.
        """
        if not partitions:
            raise ValueError("no partitions to read; for aiokafka an empty list means all of them")
        wanted = [TopicPartition(*partition) for partition in partitions]
        async with bus_errors(f"read {self._topic}"):
            try:
                records: Mapping[Partition, Sequence[ConsumedRecord]] = await self._consumer.getmany(
                    *wanted, timeout_ms=round(timeout_s * 1000), max_records=max_records
                )
            except ConsumerStoppedError as exc:
                raise BusError("could not read: the consumer has stopped") from exc
        return records

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit these offsets, and no others."""
        named = {TopicPartition(*partition): offset for partition, offset in offsets.items()}
        async with bus_errors("commit"):
            try:
                await self._consumer.commit(named)
            except (CommitFailedError, IllegalStateError) as exc:
                raise StaleCommitError(f"could not commit: the group has moved on: {exc}") from exc

    def end_offset(self, partition: Partition) -> int | None:
        """Return the high watermark of the last fetch."""
        try:
            offset: int | None = self._consumer.highwater(TopicPartition(*partition))
        except (IllegalStateError, AssertionError):
            return None
        return offset

    async def stop(self) -> None:
        """Leave the group and disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Hands aiokafka's callbacks on; what they raise would otherwise only be logged, so they must not raise."""

    def __init__(self, listener: RebalanceListener) -> None:
        self._listener = listener

    async def on_partitions_revoked(self, revoked: set[Partition]) -> None:
        await self._listener.on_revoked({(topic, partition) for topic, partition in revoked})

    async def on_partitions_assigned(self, assigned: set[Partition]) -> None:
        await self._listener.on_assigned({(topic, partition) for topic, partition in assigned})
