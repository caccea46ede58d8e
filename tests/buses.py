"""One face for the bus in memory and for Apache Kafka, so that one suite of behaviour runs on both."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple, Self

from aiokafka import TopicPartition
from aiokafka.admin import NewPartitions
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from inspector.bus.admin import connect_admin
from inspector.bus.connect import consumer_client, producer_client, start_client
from inspector.bus.consumer import KafkaConsumer
from inspector.bus.ports import FrameConsumer, ResultProducer, ResultTail
from inspector.bus.producer import KafkaProducer
from inspector.bus.reading.tail import KafkaTail
from inspector.bus.records import HEADER_NAME
from inspector.clients.topics import apply_topics
from inspector.inflight.budget import fetched_bytes
from inspector.settings.kafka import KafkaSettings
from inspector.settings.settings import Settings
from inspector.settings.topics import TopicSettings
from schemas import DeadLetter, DLResultMessage, decode
from tests.fakes import FakeBroker, FakeConsumer, FakeProducer, FakeTail
from tests.record_batches import Changed, with_bytes

Headers = Sequence[tuple[str, bytes | None]]


class Sent(NamedTuple):
    """A record as found on an output topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: Headers


class BusUnderTest(ABC):
    """Makes topics, publishes frames, hands out consumers and producers, reads what came out."""

    kafka: KafkaSettings
    topics: TopicSettings

    @abstractmethod
    async def make_topics(self, settings: Settings) -> None:
        """Create the topics of the settings."""

    @abstractmethod
    def consumer(self, settings: Settings) -> FrameConsumer:
        """Return a new member of the group, not started."""

    @abstractmethod
    def producer(self, settings: Settings) -> ResultProducer:
        """Return a new producer, not started."""

    @abstractmethod
    def tail(self, settings: Settings) -> ResultTail:
        """Return a new reader of the last results."""

    @abstractmethod
    async def publish(self, partition: int, key: bytes | None, value: bytes | None, headers: Headers = ()) -> None:
        """Append a record to the frames topic."""

    async def publish_many(self, records: Sequence[tuple[int, bytes | None, bytes | None, Headers]]) -> None:
        """Append records to the frames topic, each on its partition, in this order."""
        for record in records:
            await self.publish(*record)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Self]:
        """Publish through one connection for the duration of the block; outside of it, each call makes one of its own."""
        yield self

    @abstractmethod
    async def grow(self, partitions: int) -> None:
        """Give the frames topic so many partitions."""

    @abstractmethod
    async def delete_frames(self) -> None:
        """Delete the frames topic."""

    @abstractmethod
    async def publish_nameless(self, partition: int, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        """Append a record with one more header, whose name is not UTF-8."""

    @abstractmethod
    async def records(self, topic: str) -> list[Sent]:
        """Return all records of a topic, each partition in its order."""

    @abstractmethod
    async def committed(self, partition: int) -> int:
        """Return the group's committed offset of a partition of the frames topic; 0 if there is none."""

    async def results(self) -> list[DLResultMessage]:
        """Return all results, repeated ones included, each partition in its order."""
        return [decode(DLResultMessage, sent.value) for sent in await self.records(self.topics.results_topic("", ""))]

    async def deadletters(self) -> list[DeadLetter]:
        """Return all dead letters."""
        return [decode(DeadLetter, sent.value) for sent in await self.records(self.topics.deadletters_topic)]

    async def wait_for_results(self, count: int, *, timeout_s: float = 60.0) -> list[DLResultMessage]:
        """Return the results once there are `count` different ones, each partition in its order."""
        deadline = time.monotonic() + timeout_s
        known: dict[tuple[int, int], DLResultMessage] = {}
        async with self.following(self.topics.results_topic("", "")) as records:
            while True:
                found = {(sent.partition, sent.offset): sent.value for sent in await records()}
                known |= {place: decode(DLResultMessage, found[place]) for place in found.keys() - known.keys()}
                results = [known[place] for place in found]
                if len({result.result_id for result in results}) >= count:
                    return results
                assert time.monotonic() < deadline, f"only {len(results)} results of {count}"
                await asyncio.sleep(0.05)

    @asynccontextmanager
    async def following(self, topic: str) -> AsyncIterator[Callable[[], Awaitable[list[Sent]]]]:
        """Give a function that returns what `records` does, for a topic that is looked at again and again."""
        yield lambda: self.records(topic)


async def wait_until(condition: Callable[[], object], *, timeout_s: float = 60.0) -> None:
    """Return once `condition` is true; for states that another task reaches."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        await asyncio.sleep(0.01)


class MemoryBus(BusUnderTest):
    """The bus in memory."""

    def __init__(self, topics: TopicSettings) -> None:
        self.kafka = KafkaSettings()
        self.topics = topics
        self.broker = FakeBroker({})

    async def make_topics(self, settings: Settings) -> None:
        count = settings.topics.frames_partitions
        self.broker.partitions |= {
            settings.topics.frames_topic: count,
            settings.topics.results_topic("", ""): count,
            settings.topics.deadletters_topic: 1,
        }

    def consumer(self, settings: Settings) -> FrameConsumer:
        return FakeConsumer(self.broker, settings.topics.frames_topic, chunk_bytes=settings.partition_fetch_bytes)

    def producer(self, settings: Settings) -> ResultProducer:
        return FakeProducer(self.broker)

    def tail(self, settings: Settings) -> ResultTail:
        return FakeTail(self.broker)

    async def publish(self, partition: int, key: bytes | None, value: bytes | None, headers: Headers = ()) -> None:
        self.broker.append((self.topics.frames_topic, partition), key, value, headers)

    async def grow(self, partitions: int) -> None:
        self.broker.partitions[self.topics.frames_topic] = partitions

    async def delete_frames(self) -> None:
        self.broker.delete(self.topics.frames_topic)

    async def publish_nameless(self, partition: int, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        named = [*headers, (r"\xff\xfe", b"")]
        self.broker.append((self.topics.frames_topic, partition), key, value, named, fault=HEADER_NAME)

    async def records(self, topic: str) -> list[Sent]:
        return [Sent(r.partition, r.offset, r.key, r.value or b"", r.headers) for r in self.broker.records(topic)]

    async def committed(self, partition: int) -> int:
        return self.broker.committed.get((self.topics.frames_topic, partition), 0)


@asynccontextmanager
async def started(make: Callable[[], Any]) -> AsyncIterator[Any]:
    """A started client; waits for a cluster that is just coming back from a stall."""
    async with asyncio.timeout(60):
        while True:
            client = make()
            try:
                await start_client(client)
                break
            except KafkaError:
                await client.stop()
                await asyncio.sleep(0.1)
    try:
        yield client
    finally:
        await client.stop()


class KafkaBus(BusUnderTest):
    """Apache Kafka."""

    def __init__(self, kafka: KafkaSettings, topics: TopicSettings) -> None:
        self.kafka = kafka
        self.topics = topics
        self._is_connected = False
        self._kept = AsyncExitStack()
        self._kept_producer: Any = None

    async def make_topics(self, settings: Settings) -> None:
        await apply_topics(settings, replication=1)

    def consumer(self, settings: Settings) -> FrameConsumer:
        return KafkaConsumer(
            settings.kafka,
            settings.topics.frames_topic,
            max_partition_fetch_bytes=settings.partition_fetch_bytes,
            max_inflated_bytes=fetched_bytes(settings),
        )

    def producer(self, settings: Settings) -> ResultProducer:
        return KafkaProducer(settings.kafka, max_record_bytes=settings.limits.max_message_bytes * 2)

    def tail(self, settings: Settings) -> ResultTail:
        return KafkaTail(settings.kafka)

    async def publish(self, partition: int, key: bytes | None, value: bytes | None, headers: Headers = ()) -> None:
        await self.publish_many([(partition, key, value, headers)])

    async def publish_many(self, records: Sequence[tuple[int, bytes | None, bytes | None, Headers]]) -> None:
        async with self._publisher() as producer:
            sent = [
                await producer.send(self.topics.frames_topic, value, key, partition=partition, headers=list(headers))
                for partition, key, value, headers in records
            ]
            await asyncio.gather(*sent)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Self]:
        self._is_connected = True
        try:
            yield self
        finally:
            self._is_connected = False
            await self._disconnect()

    @asynccontextmanager
    async def _publisher(self) -> AsyncIterator[Any]:
        """The producer that is kept, or one for this block alone."""
        new = started(lambda: producer_client(self.kafka, max_request_size=16 << 20))
        if not self._is_connected:
            async with new as producer:
                yield producer
            return
        if self._kept_producer is None:
            self._kept_producer = await self._kept.enter_async_context(new)
        try:
            yield self._kept_producer
        except KafkaError:  # an idempotent one would fail ever after
            await self._disconnect()
            raise

    async def _disconnect(self) -> None:
        """Publish through a new connection from now on: what the present one knows of the topic is not so any more."""
        self._kept_producer = None
        await self._kept.aclose()

    async def grow(self, partitions: int) -> None:
        await self._disconnect()
        async with connect_admin(self.kafka) as admin:
            await admin._client.create_partitions({self.topics.frames_topic: NewPartitions(partitions)})

    async def delete_frames(self) -> None:
        await self._disconnect()
        async with connect_admin(self.kafka) as admin:
            await admin._client.delete_topics([self.topics.frames_topic])

    async def publish_nameless(self, partition: int, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        change = with_bytes(b"nameless", b"name\xff\xfe!!")
        await self._publish_changed(partition, key, value, [*headers, ("nameless", b"")], change)

    async def publish_batch(self, partition: int, data: bytearray) -> None:
        """Append a record batch of one record, as it is."""
        await self._publish_changed(partition, None, b"", [], lambda _: data)

    async def _publish_changed(
        self,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        change: Callable[[bytearray], bytearray],
    ) -> None:
        async with started(lambda: producer_client(self.kafka, enable_idempotence=False)) as producer:
            batch = producer.create_batch()
            batch.append(timestamp=None, key=key, value=value, headers=list(headers))
            batch._builder = Changed(batch._builder, change)
            await (await producer.send_batch(batch, self.topics.frames_topic, partition=partition))

    async def set_frames(self, **config: str) -> None:
        """Set the frames topic in another way than `inspector topics apply` does; what is not named is the broker's default."""
        named = {name.replace("_", "."): value for name, value in config.items()}
        async with connect_admin(self.kafka) as admin, asyncio.timeout(60):
            resource = ConfigResource(ConfigResourceType.TOPIC, self.topics.frames_topic, named)
            await admin._client.alter_configs([resource])
            # The controller's yes comes before the broker knows of it.
            while not named.items() <= (await admin.config(self.topics.frames_topic)).items():
                await asyncio.sleep(0.05)

    async def records(self, topic: str) -> list[Sent]:
        async with self.following(topic) as records:
            return await records()

    @asynccontextmanager
    async def following(self, topic: str) -> AsyncIterator[Callable[[], Awaitable[list[Sent]]]]:
        found: dict[tuple[int, int], Sent] = {}
        async with started(lambda: consumer_client(self.kafka, topic, auto_offset_reset="earliest")) as consumer:

            async def records() -> list[Sent]:
                partitions = sorted(consumer.assignment())
                ends = await consumer.end_offsets(partitions)
                while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
                    chunks = await consumer.getmany(timeout_ms=100)
                    for record in (record for chunk in chunks.values() for record in chunk):
                        value, place = record.value or b"", (record.partition, record.offset)
                        found[place] = Sent(*place, record.key, value, record.headers)
                return [sent for _, sent in sorted(found.items())]

            yield records

    async def committed(self, partition: int) -> int:
        async with started(lambda: consumer_client(self.kafka, group_id=self.kafka.group_id)) as consumer:
            return await consumer.committed(TopicPartition(self.topics.frames_topic, partition)) or 0
