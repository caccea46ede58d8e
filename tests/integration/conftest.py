"""One suite of behaviour for the bus in memory and for Apache Kafka: `stage` runs each test on both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from deploy.local.broker import kafka_home
from inspector.settings.kafka import KafkaSettings
from inspector.settings.topics import TopicSettings
from tests.brokers import required
from tests.buses import BusUnderTest, KafkaBus, MemoryBus
from tests.secure import SecureBroker, running_secure_broker
from tests.stage import Stage

USERS = (
    "worker", "poor", "blind", "stranger", "camera", "inspector", "gate", "archive", "dashboard", "trainer", "admin",
)  # fmt: skip


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def bus(request: pytest.FixtureRequest, topic_names: TopicSettings) -> BusUnderTest:
    if request.param == "memory":
        return MemoryBus(topic_names)
    kafka: KafkaSettings = request.getfixturevalue("kafka_settings")
    return KafkaBus(kafka, topic_names)


@pytest.fixture
async def stage(bus: BusUnderTest) -> AsyncIterator[Stage]:
    async with bus.connected():
        stage = Stage(bus)
        await bus.make_topics(stage.settings())
        yield stage


@pytest.fixture(scope="session")
def secure_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    """Apache Kafka with certificates, passwords and rights: one node for all tests of access, each with topics of its own."""
    home = kafka_home()
    if home is None:
        pytest.skip("no Apache Kafka of our own: set KAFKA_HOME to a folder made with deploy/local/pom.xml")
    with required(running_secure_broker(home, tmp_path_factory.mktemp("secure"), USERS)) as broker:
        yield broker
