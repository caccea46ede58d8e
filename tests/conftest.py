"""Fixtures that every kind of test may ask for: a broker, names of one's own, and visible skips."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from deploy.local.base import Broker
from deploy.local.broker import running_kafka_broker
from inspector.anomaly.network.tuning import tune_process
from inspector.settings.kafka import KafkaSettings
from inspector.settings.topics import TopicSettings
from tests.brokers import required

# Before any test imports torch. One thread: for tests' small pictures threads cost more than they bring, and several times as
# much on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
tune_process()
# pytest-xdist sets it for its processes; a command would take it for the width of a terminal.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.pop("COLUMNS", None)

# No deadlines: a busy machine is no failure. In CI the same examples every time: a red run can be repeated.
hypothesis.settings.register_profile("default", deadline=None, print_blob=True)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs Kafka, and skip what needs a GPU where there is none."""
    for item in items:
        if "kafka_broker" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)
    wanting = [item for item in items if item.get_closest_marker("gpu")]
    if wanting and not _has_gpu():
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason="no CUDA device here"))


def _has_gpu() -> bool:
    import torch  # only where a test asks: it takes a second to import

    return torch.cuda.is_available()


@pytest.fixture(scope="session")
def kafka_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `kafka_broker` keeps its files, if it is ours: its partitions lie in `data`."""
    return tmp_path_factory.mktemp("kafka")


@pytest.fixture(scope="session")
def kafka_broker(kafka_folder: Path) -> Iterator[Broker]:
    """Apache Kafka, one for the whole run: topics and groups must be the test's own. REQUIRE=kafka makes its absence a failure."""
    with required(running_kafka_broker(kafka_folder, properties={"group.min.session.timeout.ms": "1000"})) as broker:
        yield broker


@pytest.fixture
def session_timeout_ms(kafka_broker: Broker) -> int:
    """How soon a group notices that a member was killed: the default of somebody else's broker, sooner with one of ours."""
    return 6_000 if kafka_broker.pid is None else 2_500


@pytest.fixture
def unique_name() -> str:
    """A name that no other test has, fit for topics and groups."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def kafka_settings(kafka_broker: Broker, unique_name: str) -> KafkaSettings:
    """A client of the test's broker in a group of its own."""
    return KafkaSettings(
        bootstrap_servers=kafka_broker.bootstrap_servers,
        group_id=unique_name,
        client_id=unique_name,
        idempotent=kafka_broker.supports_idempotence,
    )


@pytest.fixture
def topic_names(unique_name: str) -> TopicSettings:
    """Topic names of this test alone; the topics are not there yet."""
    return TopicSettings(prefix=unique_name)
