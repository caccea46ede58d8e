"""A look at the ends of partitions: what fails is tried again, and what is held of it is bounded."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError

from inspector.bus import records
from inspector.bus.reading import tail as tail_module
from inspector.bus.reading.tail import INFLATED_BYTES, KafkaTail
from inspector.errors import BusError, ConfigError
from inspector.settings.kafka import KafkaSettings


async def test_a_secret_that_is_being_replaced_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def read_in_vain(*_arguments: Any, **_options: Any) -> Any:
        nonlocal asked
        asked += 1
        raise ConfigError("kafka.sasl_password_file: it is empty")

    monkeypatch.setattr(tail_module, "consumer_client", read_in_vain)
    tail = KafkaTail(KafkaSettings())
    for _ in range(2):
        with pytest.raises(ConfigError, match="it is empty"):
            await tail.look([("results", 0)], lambda _record: None, most=1)
    assert asked == 2
    await tail.stop()


class Inner:
    """An aiokafka consumer of topics that hold so many records each; one whose end is None is gone."""

    def __init__(self, ends: dict[TopicPartition, int | None]) -> None:
        self.ends = ends
        self.assigned: set[TopicPartition] = set()
        self.resumed: set[TopicPartition] = set()
        self.positions: dict[TopicPartition, int] = {}
        self.held: list[int] = []
        """How many records each chunk had, as they were given out."""

    def assignment(self) -> set[TopicPartition]:
        return self.assigned

    def assign(self, partitions: Collection[TopicPartition]) -> None:
        self.assigned = set(partitions)

    def pause(self, *partitions: TopicPartition) -> None:
        self.resumed -= set(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self.resumed |= set(partitions)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.positions[partition] = offset

    async def position(self, partition: TopicPartition) -> int:
        return self.positions[partition]

    async def end_offsets(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        found = {}
        for partition in partitions:
            end = self.ends[partition]
            if end is None:
                raise UnknownTopicOrPartitionError
            found[partition] = end
        return found

    async def getmany(self, *partitions: TopicPartition, timeout_ms: int, max_records: int | None = None) -> Any:
        assert self.resumed == set(partitions)
        chunks = {}
        for partition in partitions:
            begin, end = self.positions[partition], self.ends[partition] or 0
            last = end if max_records is None else min(end, begin + max_records)
            self.positions[partition] = last
            chunks[partition] = [SimpleNamespace(topic=partition.topic, offset=offset) for offset in range(begin, last)]
        self.held.append(sum(map(len, chunks.values())))
        return chunks

    async def stop(self) -> None: ...


@pytest.fixture
def inner(monkeypatch: pytest.MonkeyPatch) -> Inner:
    inner = Inner({})

    async def start(_client: Any) -> None: ...

    monkeypatch.setattr(tail_module, "consumer_client", lambda *_arguments, **_options: inner)
    monkeypatch.setattr(tail_module, "start_client", start)
    return inner


async def test_a_look_holds_few_records_at_a_time_and_inflates_little(inner: Inner) -> None:
    places = [TopicPartition("results", number) for number in range(3)]
    inner.ends = dict.fromkeys(places, 1000)
    tail = KafkaTail(KafkaSettings())
    told: list[Any] = []
    await tail.look(places, told.append, most=200)
    assert told == [], "what was there before is not this deployment's time"
    inner.ends = dict.fromkeys(places, 1500)
    await tail.look(places, told.append, most=200)
    assert sorted(record.offset for record in told) == sorted(3 * list(range(1300, 1500)))
    assert max(inner.held) <= 20
    assert records._limits["results"] == INFLATED_BYTES
    await tail.stop()


async def test_a_topic_whose_partition_is_gone_hides_no_other(inner: Inner) -> None:
    gone, there = TopicPartition("a", 1), TopicPartition("b", 0)
    inner.ends = {gone: 5, there: 5}
    tail = KafkaTail(KafkaSettings())
    told: list[Any] = []
    await tail.look([gone, there], told.append, most=200)
    inner.ends = {gone: None, there: 7}
    with pytest.raises(BusError, match="look at the end of a: UnknownTopicOrPartitionError"):
        await tail.look([gone, there], told.append, most=200)
    assert [(record.topic, record.offset) for record in told] == [("b", 5), ("b", 6)]
    await tail.stop()
