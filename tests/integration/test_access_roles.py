"""Each role does its work with exactly the rights of the table, over TLS with a password, and is refused what is another's."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from inspector import cli
from inspector.anomaly.types import Thresholds
from inspector.bus.consumer import KafkaConsumer
from inspector.bus.ports import ProducedRecord
from inspector.bus.producer import KafkaProducer
from inspector.bus.reading.log import KafkaLog
from inspector.bus.rights import Acl
from inspector.checks.broker import broker_faults
from inspector.clients.acls import acls_of, apply_acls, principals
from inspector.clients.results import Verdict, read_results
from inspector.clients.topics import apply_topics
from inspector.errors import AccessError
from inspector.releases.chain import read_releases
from inspector.releases.edit import with_changes
from inspector.releases.journal import Change, connect_journal
from inspector.service import EXIT_CLEAN, Service
from inspector.settings.places.releases import ReleaseSettings
from inspector.settings.settings import Settings
from schemas import LiveChanges
from tests.buses import wait_until
from tests.fakes import FakeModel
from tests.frames import camera_frame, record_of
from tests.secure import SecureBroker
from tests.stage import Bystander, metric

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

PREFIX = "roles"
FRAMES, RESULTS, LETTERS = (f"{PREFIX}.{name}" for name in ("frames", "results", "deadletters"))


def settings(broker: SecureBroker, user: str, **changes: Any) -> Settings:
    kafka = broker.kafka(user, "sasltls", group_id="inspectors", **changes)
    return Settings.model_validate(
        {
            "kafka": kafka,
            "topics": {"prefix": PREFIX},
            "http": {"port": 0},
            "models": {"m": "unused"},
            "cameras": [{"line_id": "line", "camera_id": "a", "model": "m"}],
            "deadline": {"default_budget_ms": 600_000},
            "second_writer_check_s": 0.05,
        }
    )


@pytest.fixture(scope="module")
def broker(secure_broker: SecureBroker, tmp_path_factory: pytest.TempPathFactory) -> SecureBroker:
    """Topics and rights as an operator makes them: the owner of the cluster makes an admin, who does the rest."""
    kafka = secure_broker.kafka("admin", "sasltls")
    folder = tmp_path_factory.mktemp("roles")
    topics = f'[topics]\nprefix = "{PREFIX}"\n'
    plain, own = folder / "owner.toml", folder / "admin.toml"
    plain.write_text(
        f'[kafka]\nbootstrap_servers = "{secure_broker.address("plain")}"\ngroup_id = "inspectors"\n{topics}'
    )
    login = "".join(f'{key} = "{value}"\n' for key, value in kafka.items() if key != "group_id")
    own.write_text(f'[kafka]\n{login}group_id = "inspectors"\n{topics}')
    assert cli.main(["topics", "acls", "--grant", "--principal", "admin=admin", "--config", str(plain)]) == 0
    asyncio.run(_until_allowed(settings(secure_broker, "admin")))
    named = [
        word for role in ("camera", "inspector", "gate", "dashboard") for word in ("--principal", f"{role}={role}")
    ]
    assert cli.main(["topics", "acls", "--grant", "--config", str(own), *named]) == 0
    return secure_broker


async def _until_allowed(admin: Settings) -> None:
    """The controller's yes comes before the brokers know of it."""
    async with asyncio.timeout(60):
        while True:
            try:
                await apply_topics(admin, replication="auto")
            except AccessError:
                await asyncio.sleep(0.1)
            else:
                return


async def send(sender: Settings, topic: str, key: bytes, value: bytes, headers: Any = ()) -> None:
    producer = KafkaProducer(sender.kafka, max_record_bytes=1 << 20)
    try:
        await producer.start()
        number = await producer.partition_for(topic, key)
        await producer.send((topic, number), [ProducedRecord(topic, key, value, list(headers))])
    finally:
        await producer.stop()


async def refused(doing: Any) -> str:
    with pytest.raises(AccessError) as caught:
        await doing
    return str(caught.value)


async def verdicts(reader: Settings) -> list[Verdict]:
    return [verdict async for verdict in read_results(reader)]


async def test_each_role_can_do_its_work(broker: SecureBroker) -> None:
    inspector = settings(broker, "inspector")
    assert await broker_faults(inspector) == []
    model = FakeModel(Thresholds(classification=0.5, segmentation=0.5))
    service = Service(inspector, read_model=lambda _path: model)
    running = asyncio.create_task(service.run())
    key, value, headers = record_of(camera_frame("a", 0, service._clock.wall_us()))
    await send(settings(broker, "camera"), FRAMES, key, value, headers)
    await send(settings(broker, "camera"), FRAMES, b"line/a", b"garbled")
    await wait_until(lambda: metric(service, "deadletters_total", reason="malformed") == 1 or running.done())
    service.stop()
    assert await running == EXIT_CLEAN
    for reader in ("gate", "dashboard"):
        found = await verdicts(settings(broker, reader))
        assert sorted(verdict.message.status for verdict in found if verdict.message) == ["inspected", "undecodable"]
        assert {verdict.message.deployment for verdict in found if verdict.message} == {"inspectors"}


@pytest.mark.parametrize("user", ["gate", "dashboard"])
async def test_who_reads_results_cannot_write_them(broker: SecureBroker, user: str) -> None:
    told = await refused(send(settings(broker, user), RESULTS, b"line/a", b"ok"))
    assert f"User:{user} lacks the right Write on any topic" in told, "an idempotent producer is refused at the door"
    told = await refused(send(settings(broker, user, idempotent=False), RESULTS, b"line/a", b"ok"))
    assert told.startswith(f"could not send to {RESULTS}: TopicAuthorizationFailedError: ")
    assert f"User:{user} lacks the right Write on topic {RESULTS}; grant it (`inspector topics acls`" in told


async def test_a_camera_neither_reads_nor_writes_results(broker: SecureBroker) -> None:
    camera = settings(broker, "camera")
    assert f"lacks the right Describe on topic {RESULTS}" in await refused(verdicts(camera))
    told = await refused(send(camera, RESULTS, b"line/a", b"ok"))
    assert f"User:camera lacks the right Write on topic {RESULTS}" in told


async def test_an_inspector_sends_no_frames(broker: SecureBroker) -> None:
    told = await refused(send(settings(broker, "inspector"), FRAMES, b"line/a", b"frame"))
    assert f"User:inspector lacks the right Write on topic {FRAMES}" in told


@pytest.mark.parametrize(
    ("user", "lacking"), [("dashboard", "Read on group inspectors"), ("admin", "Read on group inspectors")]
)
async def test_others_do_not_take_the_inspectors_frames(broker: SecureBroker, user: str, lacking: str) -> None:
    client = settings(broker, user)
    consumer = KafkaConsumer(client.kafka, FRAMES, max_partition_fetch_bytes=1 << 20)

    async def read() -> None:
        await consumer.start(Bystander())
        while True:
            await consumer.read([(FRAMES, 0)], timeout_s=0.1, max_records=1)

    try:
        told = await refused(read())
    finally:
        await consumer.stop()
    assert f"User:{user} lacks the right {lacking}" in told


async def test_only_the_trainer_says_which_model_judges(broker: SecureBroker, tmp_path: Path) -> None:
    releases = ReleaseSettings(store="file:///srv/models/", cache=tmp_path)
    owner = Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": broker.address("plain"), "group_id": "inspectors"},
            "topics": {"prefix": PREFIX},
            "releases": releases,
        }
    )
    await apply_topics(owner, replication="auto")
    await apply_acls(owner, acls_of(owner, principals({"trainer": "trainer", "inspector": "inspector"})))

    def of(user: str) -> Settings:
        return settings(broker, user).model_copy(update={"releases": releases})

    async def change(user: str, budget_us: int) -> int:
        edit = partial(with_changes, changes=LiveChanges(budget_us=budget_us), as_set=False)
        async with connect_journal(of(user), writes=True) as journal:
            return (await journal.change("line", "a", Change("settings", edit, user))).release.number

    number, budget_us = 0, 0
    async with asyncio.timeout(60):  # the controller's yes comes before the brokers know of it
        while not number:
            budget_us += 1
            try:
                number = await change("trainer", budget_us)
            except AccessError:
                await asyncio.sleep(0.1)
    models, audit = owner.topics.models_topic, owner.topics.audit_topic
    assert "User:gate lacks the right Write on any topic" in await refused(change("gate", 2))
    assert f"lacks the right Describe on topic {models}" in await refused(change("camera", 2))
    log = KafkaLog(of("inspector").kafka, models)
    await log.start()
    releases_read, unreadable = read_releases(await log.read_to_end())
    await log.stop()
    assert (list(releases_read), unreadable) == (["line/a"], [])
    await send(of("inspector"), audit, b"process:x/y", b"told")
    told = await refused(send(of("inspector"), models, b"line/a", b"forged"))
    assert f"User:inspector lacks the right Write on topic {models}" in told
    assert await change("trainer", budget_us + 1) == number + 1


async def test_only_an_admin_makes_topics_and_grants_rights(broker: SecureBroker, tmp_path: Path) -> None:
    gate = settings(broker, "gate")
    mine = gate.model_copy(update={"topics": gate.topics.model_copy(update={"prefix": "mine"})})
    assert "Describe" in await refused(apply_topics(mine, replication="auto"))
    told = await refused(apply_acls(gate, [Acl("User:gate", "Write", "topic", RESULTS)]))
    assert told == (
        f"could not grant User:gate Write on topic {RESULTS}: this client lacks the right Alter on the cluster; use "
        "an administrator's account"
    )
