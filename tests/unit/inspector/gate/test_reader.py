"""The reader of results when brokers go away: what it says, and that it lets go. A consumer of the tests stands for aiokafka's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from inspector.gate import reader as module
from inspector.gate.reader import KafkaReader
from inspector.settings.kafka import KafkaSettings

PARTITION = TopicPartition("t.results", 0)


class At(NamedTuple):
    """As much of a record as is asked for here."""

    offset: int


class Consumer:
    """As much of aiokafka's as is asked for here."""

    def __init__(self) -> None:
        self.end, self.at = 5, 5
        self.partitions = {PARTITION}
        self.chunks: dict[TopicPartition, list[At]] = {}
        self.sought: list[tuple[TopicPartition, int]] = []
        self.on_ask: Callable[[], Awaitable[None]] = self.nothing
        self.on_stop: Callable[[], Awaitable[None]] = self.nothing

    async def nothing(self) -> None: ...

    def assignment(self) -> set[TopicPartition]:
        return set(self.partitions)

    async def getmany(self, *, timeout_ms: int) -> dict[TopicPartition, list[At]]:
        del timeout_ms
        return self.chunks

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.sought.append((partition, offset))

    async def end_offsets(self, partitions: set[TopicPartition]) -> dict[TopicPartition, int]:
        await self.on_ask()
        return dict.fromkeys(partitions, self.end)

    async def position(self, partition: TopicPartition) -> int:
        return self.at

    async def stop(self) -> None:
        await self.on_stop()


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


@pytest.fixture
def reader(consumer: Consumer) -> KafkaReader:
    made = KafkaReader(KafkaSettings(), [PARTITION.topic])
    made._consumer = consumer
    made._next = {PARTITION: 5}
    return made


async def offsets(reader: KafkaReader) -> list[int]:
    return [record.offset for record in await reader.read(0.0)]


async def hangs() -> None:
    await asyncio.Event().wait()


async def test_brokers_that_do_not_answer_or_refuse_are_trouble(
    monkeypatch: pytest.MonkeyPatch, reader: KafkaReader, consumer: Consumer
) -> None:
    assert await reader.check() is None
    monkeypatch.setattr(module, "CHECK_TIMEOUT_S", 0.01)
    consumer.on_ask = hangs
    assert await reader.check() == "the brokers have not answered for 0 s"

    async def refuses() -> None:
        raise KafkaConnectionError("gone")

    consumer.on_ask = refuses
    assert "could not find out what there is to read" in (await reader.check() or "")


async def test_a_partition_that_has_records_and_stands_still_is_trouble(
    monkeypatch: pytest.MonkeyPatch, reader: KafkaReader, consumer: Consumer
) -> None:
    monkeypatch.setattr(module, "STALLED_AFTER_S", 0.0)
    consumer.end = 9
    assert await reader.check() is None, "it may just have come"
    assert await reader.check() == "t.results/0 has records that are not read"
    consumer.at = 7
    assert await reader.check() is None


async def test_a_partition_more_is_read_from_its_beginning_and_the_others_go_on_where_they_were(
    reader: KafkaReader, consumer: Consumer
) -> None:
    more = TopicPartition(PARTITION.topic, 1)
    consumer.chunks = {PARTITION: [At(5), At(6)]}
    assert await offsets(reader) == [5, 6]
    consumer.partitions.add(more)
    consumer.end = 9
    # aiokafka has forgotten where it was and began again.
    consumer.chunks = {PARTITION: [At(0), At(1), At(7)], more: [At(0), At(1)]}
    assert await offsets(reader) == [7, 0, 1]
    assert consumer.sought == [(PARTITION, 8)]
    consumer.chunks = {PARTITION: [At(8)], more: [At(2)]}
    assert await offsets(reader) == [8, 2]
    assert consumer.sought == [(PARTITION, 8)], "once"


async def test_a_topic_that_was_made_again_with_more_partitions_is_read_from_its_beginning(
    reader: KafkaReader, consumer: Consumer
) -> None:
    more = TopicPartition(PARTITION.topic, 1)
    consumer.partitions.add(more)
    consumer.end = 2
    consumer.chunks = {PARTITION: [At(0)]}
    assert await offsets(reader) == [0]
    assert consumer.sought == []
    consumer.partitions.remove(more)
    consumer.chunks = {}
    assert await offsets(reader) == []


async def test_it_lets_go_of_a_consumer_that_hangs_or_hands_on_a_cancellation_of_its_own(
    monkeypatch: pytest.MonkeyPatch, reader: KafkaReader, consumer: Consumer
) -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    async def fails() -> None:
        raise KafkaConnectionError("gone")

    monkeypatch.setattr(module, "STOP_S", 0.01)
    for way in (hangs, cancelled, fails):
        reader._consumer, consumer.on_stop = consumer, way
        await reader.stop()
        assert reader._consumer is None
    await reader.stop()
