"""Sends results to Kafka: `ResultProducer` on aiokafka.

Record batches are delivered as a whole, and a producer that can no longer make progress is replaced.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)
from aiokafka.partitioner import DefaultPartitioner

from inspector.bus.connect import bus_errors, lacks, producer_client, start_client
from inspector.bus.ports import RECORD_OVERHEAD_BYTES, Partition, ProducedRecord
from inspector.errors import ConfigError, MessageTooLargeError, PartitionGoneError
from inspector.settings.kafka import ABANDON_S, KafkaSettings

log = logging.getLogger(__name__)

T = TypeVar("T")

SEND_BATCH_BYTES = 256 * 1024
"""What one record batch holds at most, unless a single record is larger."""

LOOK_S = 1.0
"""How often to look, while a batch is on its way, whether its partition is still there."""

_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


class KafkaProducer:
    """`ResultProducer` on aiokafka. Event loop only.

    aiokafka keeps one record batch of a partition on its way at a time, so that order holds without idempotence too.
    What its producer does not do is end: an idempotent one that lost its sequence fails every later send, and one whose
    broker is gone never gives up. Either is replaced by a new one here, and the caller sends the same records again.
    """

    def __init__(self, kafka: KafkaSettings, *, max_record_bytes: int) -> None:
        """Prepare to send records of up to `max_record_bytes`; nothing connects before `start`."""
        self._kafka = kafka
        self._max_record_bytes = max_record_bytes
        self._partitioner = DefaultPartitioner()
        self._producer: Any = None
        self._replacing = asyncio.Lock()
        self._retired: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Connect."""
        async with bus_errors(f"connect to {self._kafka.bootstrap_servers}", lacks(self._kafka, writes=True)):
            self._producer = await self._connected()

    async def partition_for(self, topic: str, key: bytes) -> int:
        """Return the partition of this key."""
        async with bus_errors(f"look up topic {topic}", lacks(self._kafka, "Write", topic, writes=True)):
            partitions = sorted(await self._bounded(self._producer.partitions_for(topic)))
        partition: int = self._partitioner(key, partitions, partitions)
        return partition

    async def send(self, partition: Partition, records: Sequence[ProducedRecord]) -> int:
        """Send the first of `records` as one record batch and wait for its acknowledgement."""
        if records[0].size_bytes > self._max_record_bytes:
            raise MessageTooLargeError(
                f"a record of {records[0].size_bytes} bytes is larger than {self._max_record_bytes} bytes"
            )
        producer = self._producer
        batch = producer.create_batch()
        count = 0
        for record in records:
            if batch.append(timestamp=None, key=record.key, value=record.value, headers=record.headers) is None:
                break
            count += 1
        batch.close()
        topic, number = partition
        async with bus_errors(f"send to {topic}", lacks(self._kafka, "Write", topic, writes=True)):
            # aiokafka would wait for a partition that is gone until the time for all is over.
            if number not in await self._bounded(producer.partitions_for(topic)):
                raise PartitionGoneError(f"topic {topic} no longer has a partition {number}")
            try:
                delivered = await self._bounded(producer.send_batch(batch, topic, partition=number))
                await self._bounded(self._acknowledged(producer, delivered, partition))
            except (KafkaError, TimeoutError, PartitionGoneError) as exc:
                if self._kafka.idempotent or not isinstance(exc, KafkaError):
                    await self._replace(producer)
                if isinstance(exc, _TOO_LARGE):
                    raise MessageTooLargeError(
                        f"topic {topic} does not accept {count} records of this size: {exc}"
                    ) from exc
                raise
        return count

    async def _acknowledged(self, producer: Any, delivered: asyncio.Future[Any], partition: Partition) -> None:  # noqa: ANN401
        """Wait for an acknowledgement, as long as there is a partition that could give one.

        Raises:
            PartitionGoneError: There is none any more: aiokafka would ask for it until the time for all is over.
        """
        topic, number = partition
        while not (await asyncio.wait({delivered}, timeout=LOOK_S))[0]:
            there = producer.client.cluster.partitions_for_topic(topic)
            if there and number not in there:
                raise PartitionGoneError(f"topic {topic} no longer has a partition {number}")
        await delivered

    async def stop(self) -> None:
        """Disconnect; what was not acknowledged is lost."""
        if self._producer is not None:
            await self._abandon(self._producer)
        for task in self._retired:
            task.cancel()
        await asyncio.gather(*self._retired, return_exceptions=True)

    async def _connected(self) -> Any:  # noqa: ANN401
        producer = producer_client(
            self._kafka,
            max_batch_size=SEND_BATCH_BYTES,
            max_request_size=self._max_record_bytes + RECORD_OVERHEAD_BYTES,
        )
        try:
            await self._bounded(start_client(producer))
        except BaseException:
            await self._abandon(producer)
            raise
        return producer

    async def _replace(self, failed: Any) -> None:  # noqa: ANN401
        """Put a new producer in the place of the failed one, unless another task has done so already, or is about to."""
        if self._replacing.locked():
            return  # to wait for that one would take as long again for each partition
        async with self._replacing:
            if self._producer is not failed:
                return
            try:
                self._producer = await self._connected()
            except (ConfigError, KafkaError, TimeoutError) as exc:
                # A file of a secret, too, is whole again after a while: it is being replaced.
                log.warning("the failed producer could not be replaced yet: %s", exc)
                return
            task = asyncio.create_task(self._abandon(failed))
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)

    async def _abandon(self, producer: Any) -> None:  # noqa: ANN401
        """Stop a producer within bounds; other partitions' batches may still be acknowledged meanwhile."""
        stopping = asyncio.ensure_future(producer.stop())
        try:
            await asyncio.wait({stopping}, timeout=ABANDON_S)
        finally:  # also where this is given up, as when the process ends
            if not stopping.done():
                # aiokafka's stop waits for ever for an idempotent producer's batches: end its sender and its sockets.
                stopping.cancel()
                sender = producer._sender.sender_task  # noqa: SLF001 there is no public way to give up
                if sender is not None:
                    sender.cancel()
                await producer.client.close()
            await asyncio.gather(stopping, return_exceptions=True)

    async def _bounded(self, awaitable: Awaitable[T]) -> T:
        """Await with the deadline that an idempotent producer lacks; the record may arrive all the same."""
        return await asyncio.wait_for(awaitable, self._kafka.call_s)
