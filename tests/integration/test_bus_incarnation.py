"""A topic that is deleted and made again so quickly that aiokafka never misses it: no record of the new one is skipped."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from inspector.bus.admin import TopicSpec, connect_admin
from inspector.bus.connect import producer_client
from inspector.bus.consumer import KafkaConsumer
from inspector.bus.incarnation import Incarnation, find_incarnation
from inspector.bus.ports import Partition
from inspector.errors import StaleCommitError
from inspector.settings.kafka import KafkaSettings
from tests.buses import started, wait_until


class Member:
    """Notes what it is given."""

    def __init__(self) -> None:
        self.assigned: list[set[Partition]] = []

    async def on_assigned(self, partitions: set[Partition]) -> None:
        self.assigned.append(partitions)

    async def on_revoked(self, partitions: set[Partition]) -> None: ...


async def publish(kafka: KafkaSettings, topic: str, values: Sequence[bytes]) -> None:
    async with started(lambda: producer_client(kafka)) as producer:
        for value in values:
            await producer.send_and_wait(topic, value, partition=0)


async def read(consumer: KafkaConsumer, topic: str, count: int) -> list[tuple[int, bytes | None]]:
    found: list[tuple[int, bytes | None]] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            chunks = await consumer.read([(topic, 0)], timeout_s=0.1, max_records=100)
            found += [(record.offset, record.value) for records in chunks.values() for record in records]
    return found


async def test_it_is_noticed_by_its_id_and_read_from_its_beginning(
    kafka_settings: KafkaSettings, unique_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = [b"old-%d" % n for n in range(5)], [b"new-%d" % n for n in range(10)]
    member, topic = Member(), unique_name
    consumer = KafkaConsumer(kafka_settings, topic, max_partition_fetch_bytes=1 << 20)
    async with connect_admin(kafka_settings) as admin:
        await admin.create([TopicSpec(topic, 1, 1)])
        await publish(kafka_settings, topic, old)
        await consumer.start(member)
        try:
            await wait_until(lambda: member.assigned)
            assert [value for _, value in await read(consumer, topic, 5)] == old
            await consumer.commit({(topic, 0): 5})
            assert await consumer.survey() == (1, 1, {(topic, 0): 5})
            client: Any = consumer._consumer._client
            with monkeypatch.context() as blind:
                done = asyncio.get_running_loop().create_future()
                done.set_result(True)
                blind.setattr(client, "force_metadata_update", lambda: done)
                await admin._client.delete_topics([topic])
                await admin.create([TopicSpec(topic, 1, 1)])
                await publish(kafka_settings, topic, new)
                with pytest.raises(StaleCommitError, match="created again"):
                    await consumer.commit({(topic, 0): 5})
                before = len(member.assigned)
                await consumer.survey()
            await wait_until(lambda: len(member.assigned) > before)
            assert await read(consumer, topic, 10) == list(enumerate(new))
            await consumer.commit({(topic, 0): 10})
            await consumer.survey()
            assert len(member.assigned) == before + 1, "once is enough"
        finally:
            await consumer.stop()


async def test_what_was_read_of_the_new_one_by_mistake_is_not_committed_when_partitions_are_given_back(
    kafka_settings: KafkaSettings, unique_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It grew past the old position before this member looked: it reads on from there, and finds out later."""
    topic, outcomes = unique_name, list[str]()

    class Committer(Member):
        async def on_revoked(self, partitions: set[Partition]) -> None:
            try:
                await consumer.commit({(topic, 0): 10})
            except StaleCommitError:
                outcomes.append("refused")
            else:
                outcomes.append("committed")

    member, new = Committer(), [b"new-%d" % n for n in range(10)]
    consumer = KafkaConsumer(kafka_settings, topic, max_partition_fetch_bytes=1 << 20)
    async with connect_admin(kafka_settings) as admin:
        await admin.create([TopicSpec(topic, 1, 1)])
        await publish(kafka_settings, topic, [b"old"] * 5)
        await consumer.start(member)
        try:
            await wait_until(lambda: member.assigned)
            await read(consumer, topic, 5)
            await consumer.commit({(topic, 0): 5})
            await consumer.survey()
            client: Any = consumer._consumer._client
            outcomes.clear()  # of joining
            with monkeypatch.context() as blind:
                done = asyncio.get_running_loop().create_future()
                done.set_result(True)
                blind.setattr(client, "force_metadata_update", lambda: done)
                await admin._client.delete_topics([topic])
                await admin.create([TopicSpec(topic, 1, 1)])
                await publish(kafka_settings, topic, new)
                before = len(member.assigned)
                await consumer.survey()
            await wait_until(lambda: len(member.assigned) > before)
            assert outcomes == ["refused"]
            assert await read(consumer, topic, 10) == list(enumerate(new))
            await consumer.commit({(topic, 0): 10})
        finally:
            await consumer.stop()


async def test_what_goes_by_a_name(kafka_settings: KafkaSettings, unique_name: str) -> None:
    async with connect_admin(kafka_settings) as admin:
        client = admin._client._client
        assert await find_incarnation(client, unique_name) is None
        await admin.create([TopicSpec(unique_name, 3, 1)])
        first = await find_incarnation(client, unique_name)
        assert first is not None
        assert first.partitions == 3
        await admin._client.delete_topics([unique_name])
        async with asyncio.timeout(60):  # the controller's yes comes before the brokers know
            while await find_incarnation(client, unique_name) is not None:
                await asyncio.sleep(0.05)
        await admin.create([TopicSpec(unique_name, 3, 1)])
        second = await find_incarnation(client, unique_name)
        assert second is not None
        assert second.topic_id != first.topic_id


class Old:
    """A broker's client that knows no such request."""

    def __init__(self, partitions: set[int] | None) -> None:
        self.cluster = self
        self._partitions = partitions

    def get_random_node(self) -> int:
        return 1

    async def send(self, _node: int, _request: object) -> None:
        raise NotImplementedError

    async def force_metadata_update(self) -> None: ...

    def partitions_for_topic(self, _topic: str) -> set[int] | None:
        return self._partitions


async def test_a_broker_without_ids_still_tells_of_partitions() -> None:
    assert await find_incarnation(Old({0, 1}), "t") == Incarnation(bytes(16), 2)
    assert await find_incarnation(Old(None), "t") is None
