"""One suite of behaviour for the bus in memory and for Apache Kafka: `stage` runs each test on both."""

from __future__ import annotations

import pytest

from inspector.settings.kafka import KafkaSettings
from inspector.settings.topics import TopicSettings
from tests.buses import BusUnderTest, KafkaBus, MemoryBus
from tests.stage import Stage


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def bus(request: pytest.FixtureRequest, topic_names: TopicSettings) -> BusUnderTest:
    if request.param == "memory":
        return MemoryBus(topic_names)
    kafka: KafkaSettings = request.getfixturevalue("kafka_settings")
    return KafkaBus(kafka, topic_names)


@pytest.fixture
async def stage(bus: BusUnderTest) -> Stage:
    stage = Stage(bus)
    await bus.make_topics(stage.settings())
    return stage
