"""The last records of partitions, looked at now and then: `ResultTail` on aiokafka, without a group.

Between two looks nothing is fetched, and a look costs the same however much was written since the one before.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from inspector.bus.connect import bus_errors, consumer_client, lacks, start_client
from inspector.bus.ports import ConsumedRecord, Partition
from inspector.errors import InspectorError
from inspector.settings.kafka import KafkaSettings

LOOK_TIMEOUT_S = 10.0
"""What is not there by then is seen at the next look."""
PARTITION_FETCH_BYTES = 64 * 1024
FETCH_BYTES = 1024 * 1024
POLL_MS = 100


class KafkaTail:
    """`ResultTail` on aiokafka. Event loop only."""

    def __init__(self, kafka: KafkaSettings) -> None:
        """Prepare; the first look connects."""
        self._kafka = kafka
        self._starting: asyncio.Task[Any] | None = None
        self._next: dict[TopicPartition, int] = {}

    async def look(self, partitions: Collection[Partition], *, most: int) -> Sequence[ConsumedRecord]:
        """Return what was written since the look before, of each partition the last `most` records at most."""
        wanted = {TopicPartition(*partition) for partition in partitions}
        topics = ", ".join(sorted({topic for topic, _ in partitions}))
        async with bus_errors(f"look at the end of {topics}", lacks(self._kafka, "Read", topics)):
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                consumer = await self._started()
                if consumer.assignment() != wanted:
                    consumer.assign(sorted(wanted))
                    consumer.pause(*wanted)
                ends: Mapping[TopicPartition, int] = await consumer.end_offsets(sorted(wanted))
            begins = {partition: max(self._begin(partition, end), end - most) for partition, end in ends.items()}
            self._next = dict(ends)
            new = {partition: ends[partition] for partition, begin in begins.items() if begin < ends[partition]}
            for partition in new:
                consumer.seek(partition, begins[partition])
            return await self._read(consumer, new)

    def _begin(self, partition: TopicPartition, end: int) -> int:
        """Return where the look before ended; a topic that was made again begins at 0, one never seen at its end."""
        before = self._next.get(partition, end)
        return before if before <= end else 0

    async def _read(self, consumer: Any, ends: Mapping[TopicPartition, int]) -> list[ConsumedRecord]:  # noqa: ANN401
        found: list[ConsumedRecord] = []
        left = set(ends)
        if not left:
            return found
        deadline_s = asyncio.get_running_loop().time() + LOOK_TIMEOUT_S
        consumer.resume(*left)
        try:
            while left and asyncio.get_running_loop().time() < deadline_s:
                chunks = await consumer.getmany(*left, timeout_ms=POLL_MS)
                for partition, records in chunks.items():
                    found += [record for record in records if record.offset < ends[partition]]
                left = {partition for partition in left if await consumer.position(partition) < ends[partition]}
        finally:
            consumer.pause(*ends)
        return found

    async def _started(self) -> Any:  # noqa: ANN401 aiokafka ships no types
        # Shielded: aiokafka leaves a connection open where it is cancelled while it connects.
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        try:
            return await asyncio.shield(self._starting)
        except Exception:  # whatever it was, a broker's or a file's that is being replaced: the next look tries again
            self._starting = None
            raise

    async def _start(self) -> Any:  # noqa: ANN401
        consumer = consumer_client(
            self._kafka,
            group_id=None,
            auto_offset_reset="latest",
            max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
            fetch_max_bytes=FETCH_BYTES,
        )
        try:
            await start_client(consumer)
        except Exception:
            await consumer.stop()
            raise
        return consumer

    async def stop(self) -> None:
        """Disconnect."""
        if self._starting is not None:
            with contextlib.suppress(InspectorError, KafkaError, TimeoutError):
                await (await self._starting).stop()
