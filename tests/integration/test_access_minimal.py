"""The table of rights holds nothing that a role could do without: with any one of them taken away, something of its work is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from inspector.bus.rights import Acl
from inspector.checks.broker import broker_faults
from inspector.clients.acls import acls_of, apply_acls
from inspector.clients.topics import apply_topics
from inspector.settings.commands import Role
from inspector.settings.settings import Settings
from tests.secure import SecureBroker

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


async def test_a_check_names_each_right_that_an_inspector_lacks(secure_broker: SecureBroker, tmp_path: Path) -> None:
    plain = {"bootstrap_servers": secure_broker.address("plain")}
    place = secure_broker.kafka("inspector", "sasltls")
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

    for index in range(number):
        await without(index)
