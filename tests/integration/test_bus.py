"""What the bus promises, on Apache Kafka: whole batches, named errors, and producers that do not stay broken."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest

from inspector.bus.admin import TopicSpec, connect_admin
from inspector.bus.connect import producer_client
from inspector.bus.consumer import KafkaConsumer
from inspector.bus.ports import ProducedRecord
from inspector.bus.producer import KafkaProducer
from inspector.errors import BusError, MessageTooLargeError
from inspector.settings.kafka import KafkaSettings
from tests.buses import KafkaBus


@pytest.fixture
async def topic(kafka_settings: KafkaSettings, unique_name: str) -> str:
    async with connect_admin(kafka_settings) as admin:
        await admin.create([TopicSpec(unique_name, 8, 1, {"max.message.bytes": "280000"})])
    return unique_name


@pytest.fixture
async def producer(kafka_settings: KafkaSettings) -> AsyncIterator[KafkaProducer]:
    producer = KafkaProducer(kafka_settings, max_record_bytes=10_000_000)
    await producer.start()
    yield producer
    await producer.stop()


def records(topic: str, count: int, size: int = 10) -> list[ProducedRecord]:
    return [ProducedRecord(topic, b"key", b"%05d" % number * (size // 5), [("h", b"1")]) for number in range(count)]


async def arrived(kafka_settings: KafkaSettings, topic: str) -> list[bytes]:
    return [sent.value for sent in await KafkaBus(kafka_settings, None).records(topic)]  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has no TCP_USER_TIMEOUT")
async def test_every_connection_ends_when_nothing_is_acknowledged(producer: KafkaProducer, topic: str) -> None:
    await producer.send((topic, 0), records(topic, 1))
    connections = list(producer._producer.client._conns.values())
    sockets = [connection._writer.get_extra_info("socket") for connection in connections]
    assert sockets
    assert all(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000 for one in sockets)


async def test_a_window_arrives_as_one_batch_in_order(
    producer: KafkaProducer, kafka_settings: KafkaSettings, topic: str
) -> None:
    window = records(topic, 100)
    assert await producer.send((topic, 3), window) == 100
    assert await arrived(kafka_settings, topic) == [record.value for record in window]


async def test_what_does_not_fit_one_batch_is_left_for_the_next(producer: KafkaProducer, topic: str) -> None:
    window = records(topic, 100, size=5000)
    assert 0 < await producer.send((topic, 3), window) < 100


async def test_keys_go_where_kafkas_own_partitioner_puts_them(
    producer: KafkaProducer, kafka_settings: KafkaSettings, topic: str
) -> None:
    client: Any = producer_client(kafka_settings)
    await client.start()
    try:
        for number in range(20):
            key = b"line/camera-%d" % number
            metadata = await client.send_and_wait(topic, b"x", key)
            assert await producer.partition_for(topic, key) == metadata.partition
    finally:
        await client.stop()


async def test_a_record_over_the_topics_limit_is_named_and_the_next_one_gets_through(
    producer: KafkaProducer, kafka_settings: KafkaSettings, topic: str
) -> None:
    with pytest.raises(MessageTooLargeError, match=topic):
        await producer.send((topic, 0), records(topic, 1, size=300_000))
    assert await producer.send((topic, 0), records(topic, 2)) == 2
    assert len(await arrived(kafka_settings, topic)) == 2


async def test_a_producer_that_lost_its_sequence_is_replaced(
    producer: KafkaProducer, kafka_settings: KafkaSettings, topic: str
) -> None:
    if not kafka_settings.idempotent:
        pytest.skip("this broker has no idempotent producers")
    await producer.send((topic, 0), records(topic, 1))
    transactions = producer._producer._txn_manager
    transactions.increment_sequence_number(("x", 0), 0)
    for partition in list(transactions._sequence_numbers):
        transactions._sequence_numbers[partition] += 5
    failed = producer._producer
    with pytest.raises(BusError):
        await producer.send((topic, 0), records(topic, 1))
    assert producer._producer is not failed
    assert await producer.send((topic, 0), records(topic, 1)) == 1
    assert len(await arrived(kafka_settings, topic)) == 2


class Listener:
    async def on_assigned(self, partitions: set[tuple[str, int]]) -> None: ...

    async def on_revoked(self, partitions: set[tuple[str, int]]) -> None: ...


async def test_brokers_that_are_away_are_named_and_leave_nothing_open() -> None:
    nowhere = KafkaSettings(bootstrap_servers="127.0.0.1:9")
    producer = KafkaProducer(nowhere, max_record_bytes=1000)
    with pytest.raises(BusError, match=r"could not connect to 127\.0\.0\.1:9: no broker answers there; start it"):
        await producer.start()
    await producer.stop()
    consumer = KafkaConsumer(nowhere, "frames", max_partition_fetch_bytes=1000)
    with pytest.raises(BusError, match=r"could not connect to 127\.0\.0\.1:9: no broker answers there; start it"):
        await consumer.start(Listener())
    await consumer.stop()


async def _answer_without_brokers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speak as much of Kafka's protocol as a fenced cluster's node does: which requests it knows, and no brokers."""
    metadata = struct.pack(">iii", 0, -1, 0)  # brokers, controller, topics
    versions = struct.pack(">hihhhhhh", 0, 2, 18, 0, 0, 3, 0, 1)  # ApiVersions 0, Metadata 0 to 1
    try:
        while True:
            (size,) = struct.unpack(">i", await reader.readexactly(4))
            key, _version, correlation = struct.unpack_from(">hhi", await reader.readexactly(size))
            answer = struct.pack(">i", correlation) + (versions if key == 18 else metadata)
            writer.write(struct.pack(">i", len(answer)) + answer)
    except asyncio.IncompleteReadError:
        writer.close()


async def test_a_cluster_whose_brokers_are_all_fenced_is_one_that_is_not_there_yet() -> None:
    server = await asyncio.start_server(_answer_without_brokers, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    fenced = KafkaSettings(bootstrap_servers=f"127.0.0.1:{port}")
    producer = KafkaProducer(fenced, max_record_bytes=1000)
    consumer = KafkaConsumer(fenced, "frames", max_partition_fetch_bytes=1000)
    with pytest.raises(BusError, match="no broker of its cluster is running yet"):
        await producer.start()
    with pytest.raises(BusError, match="no broker of its cluster is running yet"):
        await consumer.start(Listener())
    with pytest.raises(BusError, match="no broker of its cluster is running yet"):
        async with connect_admin(fenced):
            pass
    await consumer.stop()
    await producer.stop()
    server.close()
    await server.wait_closed()


async def test_records_larger_than_a_fetch_come_all_the_same_from_every_partition(
    producer: KafkaProducer, kafka_settings: KafkaSettings, topic: str
) -> None:
    sent = {(topic, number): records(topic, 1, size=200_000) + records(topic, 2) for number in range(8)}
    for partition, window in sent.items():
        for record in window:
            assert await producer.send(partition, [record]) == 1
    assigned: asyncio.Future[set[tuple[str, int]]] = asyncio.get_running_loop().create_future()

    class Assigned(Listener):
        async def on_assigned(self, partitions: set[tuple[str, int]]) -> None:
            assigned.set_result(partitions)

    consumer = KafkaConsumer(kafka_settings, topic, max_partition_fetch_bytes=1000)
    await consumer.start(Assigned())
    try:
        partitions = sorted(await asyncio.wait_for(assigned, 60))
        got: dict[tuple[str, int], list[bytes | None]] = {partition: [] for partition in partitions}
        async with asyncio.timeout(60):
            while sum(map(len, got.values())) < 24:
                chunks = await consumer.read(partitions, timeout_s=0.1, max_records=100)
                for partition, found in chunks.items():
                    got[partition] += [record.value for record in found]
    finally:
        await consumer.stop()
    assert got == {partition: [record.value for record in window] for partition, window in sent.items()}


async def test_an_empty_list_of_partitions_is_not_all_of_them(kafka_settings: KafkaSettings) -> None:
    consumer = KafkaConsumer(kafka_settings, "frames", max_partition_fetch_bytes=1000)
    with pytest.raises(ValueError, match="no partitions"):
        await consumer.read([], timeout_s=0, max_records=1)
