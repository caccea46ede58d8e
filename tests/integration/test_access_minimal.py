"""The table of rights holds nothing that a role could do without: with any one of them taken away, something of its work is refused.

`test_access_archive.py` has the same of the archive, as a process. Clients come without TLS, which decides nothing here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from inspector.bus.rights import Acl
from inspector.checks.broker import broker_faults
from inspector.clients.acls import acls_of, apply_acls
from inspector.clients.results import read_results
from inspector.clients.topics import apply_topics
from inspector.errors import AccessError
from inspector.gate.reader import KafkaReader
from inspector.releases.edit import with_changes
from inspector.releases.journal import Change, connect_journal
from inspector.releases.trial import TrialReader
from inspector.settings.commands import Role
from inspector.settings.settings import Settings
from schemas import DLResultMessage, LiveChanges, RecordSource, ShadowResultMessage
from tests.secure import SecureBroker

Work = Callable[[Settings], Awaitable[None]]
BUDGETS_US = count(1_000)

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]


def settings(place: dict[str, Any], prefix: str, folder: Path) -> Settings:
    return Settings.model_validate(
        {
            "kafka": place | {"group_id": prefix},
            "topics": {"prefix": prefix},
            "models": {"m": "unused"},
            "cameras": [{"line_id": "line", "camera_id": "a", "model": "m"}],
            "releases": {"store": "file:///srv/models/", "cache": str(folder)},
            "heartbeat": {"interval_ms": 500},
        }
    )


def rights_of(role: Role, of: Settings) -> list[Acl]:
    return acls_of(of, {role: f"User:{role}"})


async def until(told: Callable[[], Awaitable[list[str]]], is_enough: Callable[[list[str]], bool]) -> list[str]:
    """Ask again until it is so: the controller's yes comes before the brokers know of it."""
    while True:
        found = await told()
        if is_enough(found):
            return found
        await asyncio.sleep(0.1)


async def all_at_once(check: Callable[[int], Coroutine[Any, Any, None]], number: int) -> None:
    """Check what has this many cases, most of whose time is waiting for the brokers; each has topics of its own."""
    async with asyncio.TaskGroup() as group:
        for index in range(number):
            group.create_task(check(index))


async def test_a_check_names_each_right_that_an_inspector_lacks(secure_broker: SecureBroker, tmp_path: Path) -> None:
    plain = {"bootstrap_servers": secure_broker.address("plain")}
    place = secure_broker.kafka("inspector", "sasl")
    number = len(rights_of("inspector", settings(plain, "minimal", tmp_path)))
    assert number == 9, "frames, group, results twice, dead letters, heartbeats, models, audit, shadow"

    async def without(index: int) -> None:
        prefix = f"minimal{index}"
        owner = settings(plain, prefix, tmp_path)
        await apply_topics(owner, replication="auto")
        rights = rights_of("inspector", owner)
        missing = rights.pop(index)
        await apply_acls(owner, rights)
        client = settings(place, prefix, tmp_path)
        faults = await until(lambda: broker_faults(client), lambda found: len(found) <= 1)
        assert len(faults) == 1, f"the check is content without {missing}"
        assert missing.operation in faults[0], faults
        assert missing.name in faults[0], faults
        await apply_acls(owner, [missing])
        await until(lambda: broker_faults(client), lambda found: not found)

    await all_at_once(without, number)


async def release(of: Settings) -> None:
    """What `trainer release` does on the topics: another budget than any before."""
    edit = partial(with_changes, changes=LiveChanges(budget_us=next(BUDGETS_US)), as_set=False)
    async with connect_journal(of, writes=True) as journal:
        await journal.change("line", "a", Change("settings", edit, "trainer"))


async def compare(of: Settings) -> None:
    """What `trainer compare` reads."""
    told: list[DLResultMessage | ShadowResultMessage] = []
    trial = TrialReader(of, ("line", "a"), (None, None))
    await asyncio.to_thread(trial.read_shadow, told.append)
    await asyncio.to_thread(partial(trial.read_verdicts, told.append, first_us=0))
    source = RecordSource(topic=of.topics.frames_topic, partition=0, offset=0)
    assert await asyncio.to_thread(trial.read_frames, [source]) == {}


async def decide(of: Settings) -> None:
    """What `inspector gate` reads, and an actuator with `inspector results`."""
    reader = KafkaReader(of.kafka, [of.topics.results_topic("line", "a"), of.topics.heartbeats_topic])
    try:
        await reader.start()
        assert await reader.read(0.1) == []
    finally:
        await reader.stop()
    assert [verdict async for verdict in read_results(of)] == []


def tells_alone(sentence: re.Pattern[str], told: list[str]) -> bool:
    """Whether this is said, once, and nothing besides."""
    return len(told) == 1 and sentence.search(told[0]) is not None


@pytest.mark.parametrize(("role", "works", "number"), [("trainer", (release, compare), 7), ("gate", (decide,), 2)])
async def test_each_right_of_a_role_is_needed_and_named(
    secure_broker: SecureBroker, tmp_path: Path, role: Role, works: tuple[Work, ...], number: int
) -> None:
    plain = {"bootstrap_servers": secure_broker.address("plain")}
    place = secure_broker.kafka(role, "sasl")

    async def refusals(of: Settings) -> list[str]:
        """What each of the role's commands is refused with."""
        found = []
        for work in works:
            try:
                await work(of)
            except AccessError as exc:
                found.append(str(exc))
        return found

    async def without(index: int) -> None:
        prefix = f"{role}{index}"
        owner = settings(plain, prefix, tmp_path)
        await apply_topics(owner, replication="auto")
        rights = rights_of(role, owner)
        assert len(rights) == number
        missing = rights.pop(index)
        await apply_acls(owner, rights)
        client = settings(place, prefix, tmp_path)
        named = re.compile(rf"lacks the right ({missing.operation}|Describe) on topic {re.escape(missing.name)}\b")
        await until(partial(refusals, client), partial(tells_alone, named))
        await apply_acls(owner, [missing])
        await until(partial(refusals, client), lambda told: not told)

    await all_at_once(without, number)
