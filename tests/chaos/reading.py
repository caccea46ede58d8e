"""Brings the checker its records: plain aiokafka, nothing of the service's own clients."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tests.chaos.checker import Commit, Record, body_of

OFFSETS_TOPIC = "__consumer_offsets"
CONNECT_S = 90.0


@asynccontextmanager
async def connected(make: Any) -> AsyncIterator[Any]:
    """A client that has started; a broker that is just coming up gets its time.

    Args:
        make: called without arguments for each attempt; aiokafka ships no types.
    """
    async with asyncio.timeout(CONNECT_S):
        while True:
            client = make()
            try:
                await client.start()
                break
            except (KafkaError, OSError):
                with contextlib.suppress(KafkaError, OSError):
                    await (client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop())
                await asyncio.sleep(0.2)
    try:
        yield client
    finally:
        with contextlib.suppress(KafkaError, OSError):
            await (client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop())


def producing(servers: str, **options: Any) -> Any:
    """A producer of frames that is to be connected; large messages, acknowledged by all."""
    defaults = {"acks": "all", "enable_idempotence": True, "max_request_size": 32 << 20}
    return connected(lambda: AIOKafkaProducer(bootstrap_servers=servers, **(defaults | options)))


def administering(servers: str) -> Any:
    """An admin client that is to be connected."""
    return connected(lambda: AIOKafkaAdminClient(bootstrap_servers=servers))


async def read_topics(servers: str, *topics: str) -> list[Record]:
    """Return all records of these topics; those of a partition in their order."""
    found: list[Record] = []
    options = {"enable_auto_commit": False, "auto_offset_reset": "earliest", "fetch_max_wait_ms": 50}
    async with connected(lambda: AIOKafkaConsumer(bootstrap_servers=servers, **options)) as consumer:
        places = [TopicPartition(t, p) for t in topics for p in await partitions_of(consumer, t)]
        if not places:
            return found
        consumer.assign(places)
        starts, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        left = {place for place in places if starts[place] < ends[place]}
        for place in places:
            consumer.seek(place, starts[place])
        while left:
            chunks = await consumer.getmany(*left, timeout_ms=200)
            for records in chunks.values():
                found += [
                    Record(r.topic, r.partition, r.offset, r.timestamp, r.value or b"", tuple(r.headers), r.key or b"")
                    for r in records
                ]
            for place in list(left):
                if await consumer.position(place) >= ends[place]:
                    left.discard(place)
    return sorted(found, key=lambda record: record.place)


async def partitions_of(consumer: Any, topic: str) -> Sequence[int]:
    """Return the partitions of a topic, also of one that the client has not heard of yet."""
    await consumer._client._wait_on_metadata(topic)
    return sorted(consumer.partitions_for_topic(topic) or ())


async def ends_of(servers: str, topic: str) -> dict[int, int]:
    """Return the end of each partition of a topic."""
    async with connected(lambda: AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False)) as consumer:
        places = [TopicPartition(topic, partition) for partition in await partitions_of(consumer, topic)]
        return {place.partition: end for place, end in (await consumer.end_offsets(places)).items()}


async def read_commits(servers: str, group: str, topic: str) -> list[Commit]:
    """Return every commit that the coordinator ever took of this group and topic, not only the last.

    Raises:
        ValueError: The offsets topic holds what this reader does not know.
    """
    found = []
    for record in await read_topics(servers, OFFSETS_TOPIC):
        key = _offset_key(record.key)
        if key is not None and key[:2] == (group, topic):
            # The value begins with its version, and then the offset; a tombstone has none.
            offset = struct.unpack_from(">hq", record.value)[1] if record.value else -1
            found.append((record.place, Commit(record.timestamp_ms, key[2], offset)))
    return [commit for _, commit in sorted(found)]


def _offset_key(key: bytes) -> tuple[str, str, int] | None:
    """Return group, topic and partition; None for what is no commit (version 2 is a group's own state)."""
    (version,) = struct.unpack_from(">h", key)
    if version not in {0, 1}:
        return None
    texts, at = [], 2
    for _ in range(2):
        (length,) = struct.unpack_from(">h", key, at)
        texts.append(key[at + 2 : at + 2 + length].decode())
        at += 2 + length
    (partition,) = struct.unpack_from(">i", key, at)
    return texts[0], texts[1], partition


class Tail:
    """Follows topics from their beginning as long as its block lasts, through outages of the broker."""

    def __init__(self, servers: str, *topics: str, keep: bool = True) -> None:
        """Follow `topics`, which must be there.

        Args:
            servers: of the broker.
            topics: names.
            keep: whether `records` holds them; `ids` and `last_ms` grow all the same.
        """
        self._servers, self._topics, self._keep = servers, topics, keep
        self._task: asyncio.Task[None] | None = None
        self.records: list[Record] = []
        self.ids: set[str] = set()
        self.last_ms: dict[str, int] = {}
        """When the last result of each camera (`line/camera`) arrived, by the broker's clock."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _follow(self) -> None:
        positions: dict[TopicPartition, int] = {}
        options = {"enable_auto_commit": False, "auto_offset_reset": "earliest", "fetch_max_wait_ms": 50}
        while True:
            try:
                async with connected(lambda: AIOKafkaConsumer(bootstrap_servers=self._servers, **options)) as consumer:
                    places = [TopicPartition(t, p) for t in self._topics for p in await partitions_of(consumer, t)]
                    consumer.assign(places)
                    for place in places:
                        consumer.seek(place, positions.get(place, 0))
                    while True:
                        for place, records in (await consumer.getmany(timeout_ms=100)).items():
                            positions[place] = records[-1].offset + 1
                            self._take(records)
            except (KafkaError, OSError, TimeoutError):
                await asyncio.sleep(0.2)

    def _take(self, records: Sequence[Any]) -> None:
        for r in records:
            record = Record(r.topic, r.partition, r.offset, r.timestamp, r.value or b"", tuple(r.headers), r.key or b"")
            body = body_of(record)
            if body is not None:
                self.ids.add(str(body.get("result_id")))
                camera = f"{body.get('line_id')}/{body.get('camera_id')}"
                self.last_ms[camera] = max(r.timestamp, self.last_ms.get(camera, 0))
            if self._keep:
                self.records.append(record)
