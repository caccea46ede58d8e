"""Credentials and rights on Apache Kafka with SCRAM and ACLs: each refusal is a sentence that names the right and the mend."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.base import LOOPBACK, free_port
from inspector.bus.admin import connect_admin
from inspector.bus.consumer import KafkaConsumer
from inspector.bus.rights import Acl
from inspector.checks.broker import broker_faults
from inspector.clients.acls import apply_acls
from inspector.clients.results import read_results
from inspector.clients.topics import apply_topics
from inspector.errors import AccessError, BusError
from tests.models import make_bundle
from tests.secure import SecureBroker
from tests.stage import Bystander

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

PREFIX = "access"


@pytest.fixture(scope="module")
def broker(secure_broker: SecureBroker) -> SecureBroker:
    admin = secure_broker.settings(None)
    frames, results, letters = (f"{PREFIX}.{name}" for name in ("frames", "results", "deadletters"))
    granted = [
        Acl("User:worker", "Read", "topic", frames),
        Acl("User:worker", "Read", "group", "readers"),
        Acl("User:worker", "Write", "topic", results),
        Acl("User:worker", "Read", "topic", results),
        Acl("User:worker", "Write", "topic", letters),
        Acl("User:poor", "Describe", "topic", frames),
        Acl("User:poor", "Describe", "group", "readers"),
        Acl("User:poor", "Read", "topic", results),
        Acl("User:blind", "Describe", "topic", frames),
        Acl("User:blind", "Read", "group", "readers"),
        Acl("User:blind", "Write", "topic", results),
        Acl("User:blind", "Write", "topic", letters),
    ]
    asyncio.run(apply_topics(admin, replication="auto"))
    asyncio.run(apply_acls(admin, granted))
    return secure_broker


async def test_who_has_every_right_is_told_of_nothing(broker: SecureBroker) -> None:
    assert await broker_faults(broker.settings("worker")) == []
    assert await broker_faults(broker.settings(None)) == []


async def test_every_missing_right_is_named_at_once(broker: SecureBroker) -> None:
    assert await broker_faults(broker.settings("poor")) == [
        f"topic {PREFIX}.frames: User:poor lacks the right Read on it; grant it",
        f"topic {PREFIX}.results: User:poor lacks the right Write on it; grant it",
        (
            f"topic {PREFIX}.deadletters: User:poor lacks the rights Describe and Write on it, or it does not exist; "
            "grant them"
        ),
        "kafka.group_id: User:poor lacks the right Read on group readers; grant it",
    ]


async def test_missing_topics_and_other_partitions_are_named_and_none_is_made(broker: SecureBroker) -> None:
    settings = broker.settings(None)
    other = settings.topics.model_copy(update={"prefix": "nowhere"})
    assert await broker_faults(settings.model_copy(update={"topics": other})) == [
        f"topic nowhere.{name} does not exist; create it with `inspector topics apply`"
        for name in ("frames", "results", "deadletters")
    ]
    async with connect_admin(settings.kafka) as admin:
        assert await admin.topic("nowhere.frames") is None
    fewer = settings.topics.model_copy(update={"frames_partitions": 3})
    (fault,) = await broker_faults(settings.model_copy(update={"topics": fewer}))
    assert fault.startswith(f"topics.frames_partitions: topic {PREFIX}.frames has 8 partitions, but the settings say 3")


async def test_who_cannot_read_results_back_is_told_that_a_second_writer_would_not_be_seen(
    broker: SecureBroker,
) -> None:
    settings = broker.settings("blind")
    fault = (
        f"topic {PREFIX}.results: User:blind lacks the right Read on it, so a second writer would not be noticed; "
        "grant it, or set second_writer_check_s = 0"
    )
    assert fault in await broker_faults(settings)
    assert fault not in await broker_faults(settings.model_copy(update={"second_writer_check_s": 0.0}))


async def test_a_wrong_password_is_named_and_not_tried_again(broker: SecureBroker) -> None:
    (fault,) = await broker_faults(broker.settings("worker", sasl_password="wrong"))
    assert "SaslAuthenticationFailed" in fault
    assert "check kafka.sasl_username, kafka.sasl_password or kafka.sasl_mechanism" in fault
    (fault,) = await broker_faults(broker.settings("worker", sasl_mechanism="PLAIN"))
    assert "set kafka.sasl_mechanism to one that the brokers support" in fault
    assert "wrong" not in fault


async def test_a_broker_that_does_not_answer_is_no_matter_of_rights(broker: SecureBroker) -> None:
    nobody = broker.settings("worker", bootstrap_servers=f"{LOOPBACK}:{free_port()}")
    with pytest.raises(BusError) as caught:
        async with connect_admin(nobody.kafka):
            pass
    assert not isinstance(caught.value, AccessError)
    (fault,) = await broker_faults(nobody)
    assert "no broker answers there; start it, or correct kafka.bootstrap_servers" in fault


async def test_a_missing_right_is_not_called_a_missing_topic(broker: SecureBroker) -> None:
    with pytest.raises(
        AccessError, match=f"lacks the right Describe on topic {PREFIX}.results, or the topic does not exist"
    ):
        await anext(read_results(broker.settings("stranger")))


async def test_who_may_not_make_topics_is_told_which_right_that_takes(broker: SecureBroker) -> None:
    settings = broker.settings("worker")
    other = settings.topics.model_copy(update={"prefix": "mine"})
    with pytest.raises(AccessError, match=r"Describe|Create"):
        await apply_topics(settings.model_copy(update={"topics": other}), replication="auto")


@pytest.mark.parametrize(
    ("user", "password", "told"),
    [
        ("worker", "wrong", "check kafka.sasl_username, kafka.sasl_password or kafka.sasl_mechanism"),
        ("poor", "poor-secret", "User:poor lacks the right Write on any topic"),
        ("blind", "blind-secret", f"User:blind lacks the right Read on topic {PREFIX}.frames; grant it"),
    ],
)
def test_the_service_ends_with_a_sentence_where_an_operator_must_act(
    broker: SecureBroker, tmp_path: Path, user: str, password: str, told: str
) -> None:
    bundle = make_bundle(tmp_path)
    file = tmp_path / "inspector.toml"
    file.write_text(
        f'device_threads = 1\n[kafka]\nbootstrap_servers = "{LOOPBACK}:{broker.ports["sasl"]}"\ngroup_id = "readers"\n'
        f'security_protocol = "SASL_PLAINTEXT"\nsasl_username = "{user}"\nsasl_password = "{password}"\n'
        f'[topics]\nprefix = "{PREFIX}"\n[http]\nport = 0\n[models]\nm = "{bundle}"\n'
        '[[cameras]]\nline_id = "l"\ncamera_id = "c"\nmodel = "m"\n'
    )
    command = [sys.executable, "-m", "inspector", "run", "--config", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 1
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr
    assert f"{user}-secret" not in ended.stderr


async def test_a_password_that_is_changed_while_it_runs_is_told_by_who_asks_what_there_is(broker: SecureBroker) -> None:
    """Connections that there are stay; the next one is refused. aiokafka logs that, and tries for ever."""
    settings = broker.settings("worker", group_id="readers")
    consumer = KafkaConsumer(settings.kafka, settings.topics.frames_topic, max_partition_fetch_bytes=1 << 20)
    await consumer.start(Bystander())
    try:
        assert (await consumer.survey()).partitions == settings.topics.frames_partitions
        client = consumer._consumer._client
        client._sasl_plain_password = "changed"
        for connection in list(client._conns.values()):
            connection.close()

        async def survey_on() -> None:
            for _ in range(100):  # a connection that was being opened may still be taken
                await consumer.survey()
                await asyncio.sleep(0.1)

        with pytest.raises(AccessError, match=r"check kafka\.sasl_username, kafka\.sasl_password"):
            await survey_on()
        client._sasl_plain_password = "worker-secret"
        async with asyncio.timeout(60):
            while True:
                try:
                    await consumer.survey()
                    break
                except BusError:
                    await asyncio.sleep(0.2)
    finally:
        await consumer.stop()
