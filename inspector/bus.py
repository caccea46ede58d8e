"""Kafka, behind the protocols of `ports`. No other module of the service's flow knows aiokafka.

What is done here because aiokafka 0.14 would otherwise surprise: one assignor, no automatic commits, `getmany` that is
never given an empty list (it means all) nor cancelled, commits of explicit offsets only, whole record batches as the unit
of delivery, and a producer that is replaced once it can no longer make progress.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    CommitFailedError,
    ConsumerStoppedError,
    GroupAuthorizationFailedError,
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
)
from aiokafka.partitioner import DefaultPartitioner

from inspector.config import KafkaSettings
from inspector.errors import AccessError, BusError, MessageTooLargeError, StaleCommitError
from inspector.ports import RECORD_OVERHEAD_BYTES, ConsumedRecord, Partition, ProducedRecord, RebalanceListener

log = logging.getLogger(__name__)

T = TypeVar("T")

FETCH_BYTES = 16 * 1024 * 1024
"""What one answer of a broker holds at most, unless a single record is larger."""

SEND_BATCH_BYTES = 256 * 1024
"""What one record batch holds at most, unless a single record is larger."""

HEARTBEAT_MS = 1000
ABANDON_TIMEOUT_S = 5.0

_HOPELESS = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
)
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


def connection_arguments(kafka: KafkaSettings) -> dict[str, Any]:
    """Return the keyword arguments that every aiokafka client shares: servers, security, name."""
    arguments: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap_servers,
        "client_id": kafka.client_id,
        "security_protocol": kafka.security_protocol,
        "request_timeout_ms": kafka.request_timeout_ms,
    }
    if kafka.security_protocol in {"SSL", "SASL_SSL"}:
        context = ssl.create_default_context(cafile=_path(kafka.ssl_cafile))
        if kafka.ssl_certfile is not None:
            context.load_cert_chain(str(kafka.ssl_certfile), _path(kafka.ssl_keyfile))
        arguments["ssl_context"] = context
    if kafka.security_protocol.startswith("SASL"):
        arguments["sasl_mechanism"] = kafka.sasl_mechanism
        arguments["sasl_plain_username"] = kafka.sasl_username
        password = kafka.sasl_password
        arguments["sasl_plain_password"] = None if password is None else password.get_secret_value()
    return arguments


def _path(path: object) -> str | None:
    return None if path is None else str(path)


def admin_client(kafka: KafkaSettings) -> Any:  # noqa: ANN401 aiokafka ships no types
    """Return an unstarted admin client."""
    return AIOKafkaAdminClient(**connection_arguments(kafka))


def consumer_client(kafka: KafkaSettings, *topics: str, **options: Any) -> Any:  # noqa: ANN401
    """Return an unstarted aiokafka consumer of `topics`, for clients; `options` override the defaults."""
    defaults: dict[str, Any] = {
        "enable_auto_commit": False,
        "auto_offset_reset": kafka.auto_offset_reset,
        "fetch_max_wait_ms": kafka.fetch_max_wait_ms,
        "fetch_max_bytes": FETCH_BYTES,
        "session_timeout_ms": kafka.session_timeout_ms,
        "heartbeat_interval_ms": min(HEARTBEAT_MS, kafka.session_timeout_ms // 3),
        "rebalance_timeout_ms": kafka.rebalance_timeout_ms,
        # Exactly one: with several, aiokafka joins once for each; its sticky assignor is broken.
        "partition_assignment_strategy": (RoundRobinPartitionAssignor,),
    }
    return AIOKafkaConsumer(*topics, **connection_arguments(kafka), **(defaults | options))


def producer_client(kafka: KafkaSettings, **options: Any) -> Any:  # noqa: ANN401
    """Return an unstarted aiokafka producer that waits for all replicas; `options` override the defaults."""
    defaults: dict[str, Any] = {"acks": "all", "enable_idempotence": kafka.idempotent}
    return AIOKafkaProducer(**connection_arguments(kafka), **(defaults | options))


async def start_client(client: Any) -> None:  # noqa: ANN401
    """Start one of these clients, of a cluster that is up.

    A cluster whose brokers are all fenced (just started, or just back from a stall) answers, and names no broker. aiokafka
    takes that for connected: a producer's start then tries for ever, a consumer fails an assertion in a task that nobody
    watches. So the bootstrap comes first, by itself; the second one in `start` finds a cluster.

    Raises:
        KafkaError: No broker can be reached, or the one that answered names none.
    """
    inner = client.client if isinstance(client, AIOKafkaProducer) else client._client  # noqa: SLF001 no public way
    await inner.bootstrap()
    if not inner.cluster.brokers():
        raise KafkaConnectionError("the bootstrap server answers, but no broker of its cluster is up yet")
    await client.start()


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
        try:
            await start_client(consumer)
        except KafkaError as exc:
            await consumer.stop()
            raise _bus_error("connect to the brokers", exc) from exc
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
        try:
            records: Mapping[Partition, Sequence[ConsumedRecord]] = await self._consumer.getmany(
                *wanted, timeout_ms=round(timeout_s * 1000), max_records=max_records
            )
        except ConsumerStoppedError as exc:
            raise BusError("could not read: the consumer has stopped") from exc
        except KafkaError as exc:
            raise _bus_error(f"read {self._topic}", exc) from exc
        return records

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit these offsets, and no others."""
        try:
            await self._consumer.commit({TopicPartition(*partition): offset for partition, offset in offsets.items()})
        except (CommitFailedError, IllegalStateError) as exc:
            raise StaleCommitError(f"could not commit: the group has moved on: {exc}") from exc
        except KafkaError as exc:
            raise _bus_error("commit", exc) from exc

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
        self._delivery_timeout_s = kafka.request_timeout_ms / 1000 + 5.0
        self._partitioner = DefaultPartitioner()
        self._producer: Any = None
        self._replacing = asyncio.Lock()
        self._retired: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Connect."""
        try:
            self._producer = await self._connected()
        except (KafkaError, TimeoutError) as exc:
            raise _bus_error("connect to the brokers", exc) from exc

    async def partition_for(self, topic: str, key: bytes) -> int:
        """Return the partition of this key."""
        try:
            partitions = sorted(await self._bounded(self._producer.partitions_for(topic)))
        except (KafkaError, TimeoutError) as exc:
            raise _bus_error(f"look up topic {topic}", exc) from exc
        partition: int = self._partitioner(key, partitions, partitions)
        return partition

    async def send(self, partition: Partition, records: Sequence[ProducedRecord]) -> int:
        """Send the first of `records` as one record batch and wait for its acknowledgement."""
        if records[0].size_bytes > self._max_record_bytes:
            raise MessageTooLargeError(f"a record of {records[0].size_bytes} bytes is over {self._max_record_bytes}")
        producer = self._producer
        batch = producer.create_batch()
        count = 0
        for record in records:
            if batch.append(timestamp=None, key=record.key, value=record.value, headers=record.headers) is None:
                break
            count += 1
        batch.close()
        topic, number = partition
        try:
            delivered = await self._bounded(producer.send_batch(batch, topic, partition=number))
            await self._bounded(delivered)
        except (KafkaError, TimeoutError) as exc:
            if self._kafka.idempotent or isinstance(exc, TimeoutError):
                await self._replace(producer)
            if isinstance(exc, _TOO_LARGE):
                raise MessageTooLargeError(f"topic {topic} does not take {count} records of this size: {exc}") from exc
            raise _bus_error(f"send to {topic}", exc) from exc
        return count

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
        """Put a new producer in the place of the failed one, unless another task has done so already."""
        async with self._replacing:
            if self._producer is not failed:
                return
            try:
                self._producer = await self._connected()
            except (KafkaError, TimeoutError) as exc:
                log.warning("the failed producer could not be replaced yet: %s", exc)
                return
            task = asyncio.create_task(self._abandon(failed))
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)

    async def _abandon(self, producer: Any) -> None:  # noqa: ANN401
        """Stop a producer within bounds; other partitions' batches may still be acknowledged meanwhile."""
        stopping = asyncio.ensure_future(producer.stop())
        with contextlib.suppress(KafkaError):
            await asyncio.wait({stopping}, timeout=ABANDON_TIMEOUT_S)
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
        return await asyncio.wait_for(awaitable, self._delivery_timeout_s)


def _bus_error(action: str, exc: Exception) -> BusError:
    """Say what failed; refused rights are for an operator, brokers come back by themselves."""
    kind = AccessError if isinstance(exc, _HOPELESS) else BusError
    return kind(f"could not {action}: {type(exc).__name__}: {exc}")
