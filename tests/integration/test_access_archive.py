"""`inspector archive` as an operator runs it on a secured broker: it works with exactly its rights, and names each of them that it lacks."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from inspector.archive.command import create
from inspector.bus.admin import connect_admin
from inspector.bus.connect import producer_client, start_client
from inspector.bus.rights import Acl
from inspector.clients.acls import acls_of, apply_acls
from inspector.clients.topics import apply_topics
from inspector.settings.settings import Settings
from schemas import DLResultMessage, RecordSource, encode, frame_headers, result_headers
from tests.archives import frame_of, result_of
from tests.e2e.processes import ArchiveProcess
from tests.secure import SecureBroker

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

USER = "archive"


class Plant:
    """Topics of their own, some rights of the archive's user, and the file that its process is started with."""

    def __init__(self, broker: SecureBroker, prefix: str, folder: Path) -> None:
        camera = '[models]\nm = "/m"\n[[cameras]]\nline_id = "L1"\ncamera_id = "C1"\nmodel = "m"\n'
        archive = f'[archive]\nurl = "{folder / "archive"}"\ngroup_id = "{prefix}-archive"\nflush_ms = 50\n'
        login = broker.kafka(USER, "sasltls", group_id=prefix)
        kafka = "[kafka]\n" + "".join(f'{key} = "{value}"\n' for key, value in login.items())
        self.file = folder / f"{prefix}.toml"
        self.file.write_text(f'{kafka}[topics]\nprefix = "{prefix}"\n{archive}{camera}')
        tree = {
            "kafka": broker.kafka(None, group_id=prefix),
            "topics": {"prefix": prefix},
            "archive": {"url": str(folder / "archive"), "group_id": f"{prefix}-archive"},
            "models": {"m": "/m"},
            "cameras": [{"line_id": "L1", "camera_id": "C1", "model": "m"}],
        }
        self.owner = Settings.model_validate(tree)
        self.client = Settings.model_validate(tree | {"kafka": login})
        self.rights: Sequence[Acl] = acls_of(self.owner, {"archive": f"User:{USER}"})
        self.root = folder / "archive"

    async def prepare(self, rights: Sequence[Acl]) -> None:
        """Make the topics, grant these rights, and wait until the brokers know: the controller's yes comes before that."""
        await apply_topics(self.owner, replication="auto")
        await apply_acls(self.owner, rights)
        topics = [acl.name for acl in rights if acl.resource_type == "topic"]
        groups = [acl.name for acl in rights if acl.resource_type == "group"]
        while True:
            async with connect_admin(self.client.kafka) as admin:
                found = await admin.rights(topics)
                are_known = [found[name].rights is not None and "Read" in (found[name].rights or ()) for name in topics]
                are_known += ["Read" in (await admin.group_rights(name) or ()) for name in groups]
            if all(are_known):
                return
            await asyncio.sleep(0.1)

    async def show(self, seq: int) -> None:
        """Let a camera take a picture that an inspector rejects."""
        result = result_of(seq, 0.9, at_us=time.time_ns() // 1000)
        frame = frame_of(result)
        topics = self.owner.topics
        sent = await self._send(topics.frames_topic, encode(frame), frame_headers(frame))
        result = DLResultMessage.model_validate(dict(result) | {"source": sent})
        await self._send(topics.results_topic("L1", "C1"), encode(result), result_headers(result))

    async def _send(self, topic: str, value: bytes, headers: Sequence[tuple[str, bytes]]) -> RecordSource:
        producer = producer_client(self.owner.kafka)
        try:
            await start_client(producer)
            sent = await producer.send_and_wait(topic, value, b"L1/C1", headers=headers)
        finally:
            await producer.stop()
        return RecordSource(topic=topic, partition=sent.partition, offset=sent.offset)

    def stored(self) -> list[str]:
        """The parts whose pictures are there."""
        return sorted(path.stem.rpartition("_")[2] for path in self.root.glob("L1/C1/*/nok/*.png"))


@asynccontextmanager
async def archiving(plant: Plant, folder: Path) -> AsyncIterator[ArchiveProcess]:
    process = ArchiveProcess(plant.file.stem, plant.file, folder)
    process.start()
    try:
        yield process
    finally:
        process.end()


async def until(condition: Callable[[], bool], process: ArchiveProcess) -> None:
    while not condition():
        assert process.status is None, process.log.read_text()
        await asyncio.sleep(0.1)


async def test_it_works_with_exactly_its_rights(secure_broker: SecureBroker, tmp_path: Path) -> None:
    plant = Plant(secure_broker, "archived", tmp_path)
    create(plant.owner)
    await plant.prepare(plant.rights)
    async with archiving(plant, tmp_path) as process:
        for seq in range(3):
            await plant.show(seq)
        await until(lambda: len(plant.stored()) == 3, process)
        assert await process.stop() == 0
    async with archiving(plant, tmp_path) as process:
        await plant.show(3)
        await until(lambda: len(plant.stored()) == 4, process)
        await until(lambda: process.metric("inspector_archive_unread_results") == 0, process)
        assert process.metric("inspector_archive_results_total", outcome="stored") == 1, (
            "what was committed is not stored again"
        )
        assert await process.stop() == 0


@pytest.mark.parametrize("index", range(3), ids=["frames", "results", "group"])
async def test_it_ends_and_names_the_right_that_it_lacks(
    secure_broker: SecureBroker, tmp_path: Path, index: int
) -> None:
    plant = Plant(secure_broker, f"unarchived{index}", tmp_path)
    create(plant.owner)
    rights = list(plant.rights)
    assert len(rights) == 3, "frames, results, group"
    missing = rights.pop(index)
    await plant.prepare(rights)
    await plant.show(0)
    async with archiving(plant, tmp_path) as process:
        assert await process.ended() == 1
        told = process.log.read_text()
        # Who may not even see a topic is told that: Read implies Describe.
        assert re.search(rf"lacks the right (Read|Describe) on (topic|group) {re.escape(missing.name)}\b", told), told
        assert plant.stored() == []
    await plant.prepare(plant.rights)
    async with archiving(plant, tmp_path) as process:
        await until(lambda: plant.stored() == ["part-0"], process)
        assert await process.stop() == 0
