"""The archive's process on a storage that is full, away, slow or read-only: a small tmpfs, with the bus in memory."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from inspector.archive.holdings.verify import verify
from inspector.archive.metrics import ArchiveMetrics
from inspector.archive.process import ArchiveProcess, Parts
from inspector.archive.storage.folder import FolderStorage
from inspector.bus.ports import ConsumedRecord, Partition
from inspector.bus.reading.group import GroupListener
from inspector.bus.reading.places import Found
from inspector.observe.health import Health
from inspector.settings.places.archive import ArchiveSettings
from schemas import encode
from schemas.archive.layout import MARKER_FILE
from tests.archives import frame_of, result_of
from tests.fakes import FakeRecord

RESULTS, FRAMES = ("results", 0), ("inspection.frames", 0)
PICTURE_BYTES = 100_000
MIB = 1024 * 1024


class MemoryBus:
    """A group of one member and the frames behind it; results that were committed do not come again."""

    def __init__(self) -> None:
        self.results: list[FakeRecord] = []
        self.frames: dict[int, FakeRecord] = {}
        self.committed = 0
        self._position = 0

    def show(self, first: int, count: int) -> None:
        """Let a camera take nok pictures, and an inspector judge them."""
        at_us = time.time_ns() // 1000
        for seq in range(first, first + count):
            result = result_of(seq, 0.9, at_us=at_us)
            frame = frame_of(result, seq.to_bytes(4, "big") + bytes(PICTURE_BYTES - 4))
            self.frames[seq] = FakeRecord(*FRAMES, seq, b"", encode(frame))
            self.results.append(FakeRecord(*RESULTS, len(self.results), b"", encode(result)))

    async def start(self, listener: GroupListener) -> None:
        self._position = self.committed
        await listener.on_assigned({RESULTS: self.committed})

    async def read(self, *, timeout_s: float, max_records: int) -> Mapping[Partition, Sequence[ConsumedRecord]]:
        await asyncio.sleep(0.01)
        records = self.results[self._position :][:max_records]
        self._position += len(records)
        return {RESULTS: records} if records else {}

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        self.committed = offsets[RESULTS]

    def unread(self) -> Mapping[Partition, int]:
        return {RESULTS: len(self.results) - self._position}

    def has_all(self) -> bool:
        return True

    async def take(self, wanted: Mapping[Partition, Sequence[int]]) -> AsyncGenerator[Found, None]:
        for offset in wanted.get(FRAMES, ()):
            yield Found(FRAMES, offset, self.frames.get(offset))

    async def fetch(self, uri: str, size_bytes: int) -> bytes:
        raise NotImplementedError

    async def stop(self) -> None:
        """Nothing to disconnect from."""


class Running:
    """A process at work, and what it counts."""

    def __init__(self, root: Path, bus: MemoryBus, **archive: object) -> None:
        self.registry = CollectorRegistry()
        self.health = Health(hang_after_s=60.0, awaits=("storage",))
        settings = ArchiveSettings.model_validate({"url": str(root), "flush_ms": 20, "max_age_days": 20_000, **archive})
        metrics = ArchiveMetrics(self.registry)
        parts = Parts(FolderStorage(root), bus, bus, bus, metrics, self.health)
        self.process = ArchiveProcess(settings, parts)

    def count(self, outcome: str) -> float:
        labels = {"camera": "other", "outcome": outcome}
        return self.registry.get_sample_value("inspector_archive_results_total", labels) or 0.0

    async def until(self, condition: Callable[[], object]) -> None:
        give_up = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < give_up, f"it never came to that: {self.health.not_ready()}"
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(root: Path, bus: MemoryBus, **archive: object) -> AsyncIterator[Running]:
    work = Running(root, bus, **archive)
    stop = asyncio.Event()
    task = asyncio.create_task(work.process.run(stop))
    try:
        yield work
    finally:
        stop.set()
        await task


def run(*command: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which(command[0])
    if program is None:
        pytest.skip(f"there is no {command[0]} here")
    return subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)


def grow(disk: Path, size: str) -> None:
    assert run("mount", "-o", f"remount,size={size}", str(disk.parent)).returncode == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB with an archive."""
    mount = tmp_path / "disk"
    mount.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small tmpfs")
    done = run("mount", "-t", "tmpfs", "-o", "size=2m", "none", str(mount))
    if done.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    FolderStorage(mount / "archive").create()
    yield mount / "archive"
    run("umount", "--lazy", str(mount))


def is_whole(root: Path, *, stored: int) -> bool:
    account = verify(FolderStorage(root))
    assert account.is_whole
    assert account.unlisted == []
    assert not list(root.rglob("*.tmp"))
    return account.rows == account.files == stored


async def test_what_a_full_disk_does_not_take_is_dropped_and_counted_and_nothing_half_written_stays(disk: Path) -> None:
    bus = MemoryBus()
    async with running(disk, bus, wait_for_store_s=0.0) as archive:
        bus.show(0, 5)
        await archive.until(lambda: archive.count("stored") == 5)
        bus.show(100, 40)
        await archive.until(lambda: bus.committed == 45)
        assert archive.count("dropped") > 0
        assert archive.count("stored") + archive.count("dropped") == 45
        assert any(reason.startswith("storage:") for reason in archive.health.not_ready())
        assert archive.registry.get_sample_value("inspector_archive_storage_failing") == 1
        stored = int(archive.count("stored"))
        grow(disk, "8m")
        bus.show(200, 5)
        await archive.until(lambda: archive.count("stored") == stored + 5)
        assert archive.health.not_ready() == []
        assert is_whole(disk, stored=stored + 5)


async def test_while_it_is_waited_for_a_full_disk_costs_no_picture(disk: Path) -> None:
    bus = MemoryBus()
    async with running(disk, bus) as archive:
        bus.show(0, 40)
        await archive.until(lambda: archive.registry.get_sample_value("inspector_archive_storage_failing") == 1)
        assert bus.committed == 0
        grow(disk, "16m")
        await archive.until(lambda: bus.committed == 40)
        assert (archive.count("stored"), archive.count("dropped")) == (40, 0)
        assert is_whole(disk, stored=40)


async def test_a_disk_that_is_away_is_no_new_archive_and_one_that_comes_back_goes_on(tmp_path: Path) -> None:
    root, away = tmp_path / "archive", tmp_path / "away"
    FolderStorage(root).create()
    bus = MemoryBus()
    async with running(root, bus) as archive:
        bus.show(0, 3)
        await archive.until(lambda: bus.committed == 3)
        root.rename(away)
        root.mkdir()  # the mount point without its disk
        bus.show(10, 3)
        await archive.until(lambda: archive.registry.get_sample_value("inspector_archive_storage_failing") == 1)
        assert list(root.iterdir()) == []
        root.rmdir()
        away.rename(root)
        await archive.until(lambda: bus.committed == 6)
        assert is_whole(root, stored=6)


async def test_a_stop_while_the_storage_is_away_leaves_the_rest_to_the_next_process(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    FolderStorage(root).create()
    bus = MemoryBus()
    bus.show(0, 3)
    (root / MARKER_FILE).rename(tmp_path / "marker")
    async with running(root, bus) as archive:
        await archive.until(lambda: archive.registry.get_sample_value("inspector_archive_storage_failing") == 1)
    assert bus.committed == 0
    (tmp_path / "marker").rename(root / MARKER_FILE)
    async with running(root, bus) as archive:
        await archive.until(lambda: bus.committed == 3)
    assert is_whole(root, stored=3)
