"""The gate's reader on Apache Kafka when partitions are added."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.admin import NewPartitions

from deploy.local.base import Broker
from inspector.bus.admin import TopicSpec, connect_admin
from inspector.bus.connect import producer_client
from inspector.gate.reader import KafkaReader
from inspector.settings.kafka import KafkaSettings
from tests.buses import started


async def test_a_partition_that_is_added_is_read_from_its_beginning_and_the_others_go_on_where_they_were(
    kafka_broker: Broker, kafka_settings: KafkaSettings, unique_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    del kafka_broker
    monkeypatch.setattr("inspector.bus.connect.METADATA_MAX_AGE_MS", 500)
    reader, read = KafkaReader(kafka_settings, [unique_name]), list[bytes | None]()

    async def until_read(*values: bytes) -> None:
        async with asyncio.timeout(120):
            while not set(values) <= set(read):
                read.extend(record.value for record in await reader.read(0.2))

    async def send(*values: tuple[bytes, int]) -> None:
        async with started(lambda: producer_client(kafka_settings)) as producer:
            for value, partition in values:
                await producer.send_and_wait(unique_name, value, partition=partition)

    async with connect_admin(kafka_settings) as admin:
        await admin.create([TopicSpec(unique_name, 1, 1)])
        await send((b"old", 0))
        await reader.start()
        try:
            await send((b"first", 0))
            await until_read(b"first")
            await admin._client.create_partitions({unique_name: NewPartitions(2)})
            async with asyncio.timeout(120):
                while (state := await admin.topic(unique_name)) is None or state.partitions < 2:
                    await asyncio.sleep(0.05)
            await send((b"new", 1), (b"second", 0))
            await until_read(b"new", b"second")
            assert await reader.check() is None
        finally:
            await reader.stop()
    assert sorted(value or b"" for value in read) == [b"first", b"new", b"second"]
