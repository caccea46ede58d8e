"""A member of a group on Apache Kafka: what it reads while it is still told of its partitions is not lost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiokafka import TopicPartition
from typing_extensions import override

from inspector.bus.connect import producer_client, start_client
from inspector.bus.ports import Partition
from inspector.bus.reading.group import GroupListener, KafkaGroup
from inspector.clients.topics import apply_topics
from inspector.settings.kafka import KafkaSettings
from inspector.settings.settings import Settings
from inspector.settings.topics import TopicSettings

SLOW_S = 2.0
"""Longer than a first fetch takes, so that records would be there before the listener knows its partitions."""


class SlowListener(GroupListener):
    """Takes its time to take note of an assignment."""

    def __init__(self) -> None:
        """Know no partition."""
        self.begins: Mapping[Partition, int] = {}

    @override
    async def on_assigned(self, begins: Mapping[Partition, int]) -> None:
        await asyncio.sleep(SLOW_S)
        self.begins = begins

    @override
    async def on_revoked(self) -> None:
        pass


async def test_nothing_is_read_before_the_listener_knows_its_partitions(
    kafka_settings: KafkaSettings, topic_names: TopicSettings
) -> None:
    settings = Settings.model_validate(
        {
            "kafka": kafka_settings.model_dump(),
            "topics": topic_names.model_dump() | {"frames_partitions": 1},
            "models": {"m": "/m"},
            "cameras": [{"line_id": "L1", "camera_id": "C1", "model": "m"}],
        }
    )
    await apply_topics(settings, replication=1)
    topic = settings.topics.results_topic("L1", "C1")
    producer = producer_client(settings.kafka)
    await start_client(producer)
    for number in range(3):
        await producer.send_and_wait(topic, b"%d" % number, partition=0)
    await producer.stop()
    listener = SlowListener()
    group = KafkaGroup(settings.kafka, [topic], f"{settings.kafka.group_id}-slow", session_timeout_ms=6_000)
    await group.start(listener)
    try:
        values: list[bytes | None] = []
        async with asyncio.timeout(60):
            while len(values) < 3:
                chunks = await group.read(timeout_s=0.1, max_records=100)
                assert not chunks or listener.begins == {(topic, 0): 0}
                values += [record.value for record in chunks.get(TopicPartition(topic, 0), ())]
    finally:
        await group.stop()
    assert values == [b"0", b"1", b"2"]
