"""Looks at the last records of partitions now and then: `ResultTail` on aiokafka, without a group.

Between two looks nothing is fetched, and a look always costs the same, however much was written since the last one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from inspector.bus.connect import bus_errors, consumer_client, lacks, start_client
from inspector.bus.ports import ConsumedRecord, Partition
from inspector.bus.records import limit_inflated
from inspector.errors import BusError, InspectorError
from inspector.settings.kafka import KafkaSettings

LOOK_TIMEOUT_S = 10.0
"""What is not there by then is seen at the next look."""
PARTITION_FETCH_BYTES = 64 * 1024
FETCH_BYTES = 1024 * 1024
INFLATED_BYTES = 512 * 1024
"""How far compressed record batches are inflated. This deployment's are not compressed; what is larger has a fault, and is nobody's word."""
CHUNK_RECORDS = 20
POLL_MS = 100


class KafkaTail:
    """`ResultTail` on aiokafka. Event loop only."""

    def __init__(self, kafka: KafkaSettings) -> None:
        """Prepare; the first look connects."""
        self._kafka = kafka
        self._starting: asyncio.Task[Any] | None = None
        self._next: dict[TopicPartition, int] = {}
        self._turn = 0

    async def look(
        self, partitions: Collection[Partition], tell: Callable[[ConsumedRecord], None], *, most: int
    ) -> None:
        """Tell of what was written since the look before, of each partition of the last `most` records at most."""
        wanted = {TopicPartition(*partition) for partition in partitions}
        self._next = {partition: offset for partition, offset in self._next.items() if partition in wanted}
        failures: list[BusError] = []
        for topic in sorted({topic for topic, _ in wanted}):
            limit_inflated(topic, INFLATED_BYTES)
            try:
                async with bus_errors(f"look at the end of {topic}", lacks(self._kafka, "Read", topic)):
                    await self._look(wanted, topic, tell, most)
            except BusError as exc:  # of one topic, such as a partition that is gone: the others are looked at
                failures.append(exc)
        if failures:
            raise failures[0]

    async def _look(
        self, wanted: Collection[TopicPartition], topic: str, tell: Callable[[ConsumedRecord], None], most: int
    ) -> None:
        here = sorted(partition for partition in wanted if partition.topic == topic)
        async with asyncio.timeout(LOOK_TIMEOUT_S):
            consumer = await self._started()
            if consumer.assignment() != wanted:
                consumer.assign(sorted(wanted))
                consumer.pause(*wanted)
            ends: Mapping[TopicPartition, int] = await consumer.end_offsets(here)
        begins = {partition: max(self._begin(partition, end), end - most) for partition, end in ends.items()}
        self._next |= ends
        deadline_s = asyncio.get_running_loop().time() + LOOK_TIMEOUT_S
        # Not always the same ones first: what the time does not suffice for is not seen.
        self._turn = (self._turn + 1) % len(here)
        for partition in here[self._turn :] + here[: self._turn]:
            if begins[partition] < ends[partition]:
                consumer.seek(partition, begins[partition])
                await self._read(consumer, partition, ends[partition], tell, deadline_s)

    def _begin(self, partition: TopicPartition, end: int) -> int:
        """Return where the look before ended; a topic that was made again begins at 0, one never seen at its end."""
        before = self._next.get(partition, end)
        return before if before <= end else 0

    async def _read(
        self,
        consumer: Any,  # noqa: ANN401
        partition: TopicPartition,
        end: int,
        tell: Callable[[ConsumedRecord], None],
        deadline_s: float,
    ) -> None:
        """Read one partition, with no more in memory than one answer and what is told of it at a time."""
        consumer.resume(partition)
        try:
            while asyncio.get_running_loop().time() < deadline_s and await consumer.position(partition) < end:
                # Named here, a chunk would be held beside the next one.
                _tell(await consumer.getmany(partition, timeout_ms=POLL_MS, max_records=CHUNK_RECORDS), end, tell)
        finally:
            consumer.pause(partition)

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


def _tell(
    chunks: Mapping[TopicPartition, Sequence[ConsumedRecord]], end: int, tell: Callable[[ConsumedRecord], None]
) -> None:
    for records in chunks.values():
        for record in records:
            if record.offset < end:
                tell(record)
