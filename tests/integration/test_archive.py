"""The archive on Apache Kafka: killed again and again, it holds each picture that it should, once, byte for byte."""

from __future__ import annotations

import asyncio
import hashlib
import random
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete

from inspector.archive.command import account_of
from inspector.bus.connect import admin_client, producer_client, start_client
from inspector.clients.topics import apply_topics
from inspector.settings.kafka import KafkaSettings
from inspector.settings.settings import Settings
from inspector.settings.topics import TopicSettings
from schemas import (
    CameraFrame,
    DLResultMessage,
    RawFormat,
    RecordSource,
    encode,
    frame_headers,
    image_digest,
    result_headers,
)
from tests.archives import frame_of, result_of
from tests.e2e.processes import ArchiveProcess
from tests.frames import png
from trainer.dataset.archive import read_dl_dataset_archive

OK_PER_DAY, UNINSPECTED_PER_DAY, NEAR = 12, 3, 0.1
CAMERAS = ("C1", "C2")
KILLS = 4
PER_WAVE = 60


def drawn(number: int) -> bytes:
    """A picture that shows something."""
    pixels = np.random.default_rng(number).integers(0, 256, (16, 16), np.uint8)
    return bytes(cv2.imencode(".png", pixels)[1])


class Shown(NamedTuple):
    """A frame that was sent, and the result that counts."""

    frame: CameraFrame
    result: DLResultMessage


@pytest.fixture
async def settings(kafka_settings: KafkaSettings, topic_names: TopicSettings, tmp_path: Path) -> Settings:
    made = Settings.model_validate(
        {
            "kafka": kafka_settings.model_dump(),
            "topics": topic_names.model_dump() | {"frames_partitions": 2},
            "models": {"m": "/m"},
            "cameras": [{"line_id": "L1", "camera_id": camera, "model": "m"} for camera in CAMERAS],
            "archive": {
                "url": str(tmp_path / "archive"),
                "group_id": f"{kafka_settings.group_id}-archive",
                "near": NEAR,
                "ok_per_day": OK_PER_DAY,
                "uninspected_per_day": UNINSPECTED_PER_DAY,
                "flush_ms": 50,
                "missing_after_s": 0.5,
            },
        }
    )
    await apply_topics(made, replication=1)
    return made


@pytest.fixture
def archive(settings: Settings, session_timeout_ms: int, tmp_path: Path) -> Iterator[ArchiveProcess]:
    """`inspector archive`, not started."""
    kafka, archive = settings.kafka, settings.archive
    file = tmp_path / "archive.toml"
    file.write_text(
        f'log_level = "info"\n[kafka]\nbootstrap_servers = "{kafka.bootstrap_servers}"\ngroup_id = "{kafka.group_id}"\n'
        f'[topics]\nprefix = "{settings.topics.prefix}"\nframes_partitions = 2\n[models]\nm = "/m"\n'
        f'[archive]\nurl = "archive"\ngroup_id = "{archive.group_id}"\nok_per_day = {OK_PER_DAY}\n'
        f"uninspected_per_day = {UNINSPECTED_PER_DAY}\nflush_ms = 50\n"
        f"session_timeout_ms = {session_timeout_ms}\nmissing_after_s = 0.5\n"
        + "".join(f'[[cameras]]\nline_id = "L1"\ncamera_id = "{camera}"\nmodel = "m"\n' for camera in CAMERAS)
    )
    process = ArchiveProcess("archive", file, tmp_path)
    yield process
    process.end()


class Bus:
    """Sends frames and results as cameras and an inspector would."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: Any = None
        self._chance = random.Random(7)
        self._next = 0

    async def start(self) -> None:
        self._producer = producer_client(self._settings.kafka)
        await start_client(self._producer)

    async def stop(self) -> None:
        await self._producer.stop()

    async def send_frame(self, frame: CameraFrame) -> RecordSource:
        key = f"{frame.line_id}/{frame.camera_id}".encode()
        topic = self._settings.topics.frames_topic
        sent = await self._producer.send_and_wait(topic, encode(frame), key, headers=frame_headers(frame))
        return RecordSource(topic=topic, partition=sent.partition, offset=sent.offset)

    async def send_result(self, result: DLResultMessage) -> None:
        key = f"{result.line_id}/{result.camera_id}".encode()
        topic = self._settings.topics.results_topic("L1", "C1")
        await self._producer.send_and_wait(topic, encode(result), key, headers=result_headers(result))

    def draw(self, image: bytes | None = None, **changes: Any) -> tuple[CameraFrame, DLResultMessage]:
        self._next += 1
        score = self._chance.choice([0.1, 0.2, 0.3, 0.2, 0.47, 0.8, None])
        at_us = time.time_ns() // 1000
        result = result_of(self._next, score, at_us=at_us, camera_id=self._chance.choice(CAMERAS), **changes)
        return frame_of(result, drawn(self._next) if image is None else image), result

    async def wave(self, size: int) -> list[Shown]:
        """Send frames with their results, a few of these twice and with another verdict the second time."""
        shown: list[Shown] = []
        for _ in range(size):
            frame, result = self.draw()
            result = result.model_copy(update={"source": await self.send_frame(frame)})
            await self.send_result(result)
            shown.append(Shown(frame, result))
            if self._chance.random() < 0.1:
                before = self._chance.choice(shown).result
                contrary = result_of(before.seq or 0, 0.9 if before.anomaly_class == "ok" else 0.1)
                verdict = {
                    name: getattr(contrary, name)
                    for name in ("status", "reason", "anomaly_score", "anomaly_class", "anomaly_class_id")
                }
                await self.send_result(before.model_copy(update=verdict))
        return shown


@pytest.fixture
async def bus(settings: Settings) -> Any:
    bus = Bus(settings)
    await bus.start()
    yield bus
    await bus.stop()


def wanted(shown: Sequence[Shown]) -> dict[str, bytes]:
    """Which pictures the archive should hold, told without it: result_id and bytes."""
    found: dict[str, bytes] = {}
    for camera in CAMERAS:
        mine = [each for each in shown if each.frame.camera_id == camera]
        ok_ids = sorted(each.result.result_id for each in mine if each.result.anomaly_class == "ok")
        odd_ids = sorted(each.result.result_id for each in mine if each.result.status != "inspected")
        sampled = {*ok_ids[:OK_PER_DAY], *odd_ids[:UNINSPECTED_PER_DAY]}
        for frame, result in mine:
            score = result.anomaly_score
            if result.result_id in sampled or (score is not None and score >= 0.5 * (1 - NEAR)):
                found[result.result_id] = frame.image
    return found


def stored(root: Path) -> dict[str, bytes]:
    """What the index names, as it lies there."""
    rows = [row for file in root.rglob(".index/*.parquet") for row in pq.read_table(file).to_pylist()]
    for row in rows:
        assert hashlib.sha256((root / row["file"]).read_bytes()).hexdigest() == row["file_digest"]
    assert len({row["result_id"] for row in rows}) == len(rows)
    return {row["result_id"]: (root / row["file"]).read_bytes() for row in rows}


async def until_dealt_with(archive: ArchiveProcess, results: int) -> None:
    """Wait until this process has dealt with more than so many results."""
    await archive._until(lambda: archive.metric("inspector_archive_results_total") > results, "at work")


@pytest.mark.slow
async def test_killed_again_and_again_it_holds_each_picture_once_byte_for_byte(
    settings: Settings, archive: ArchiveProcess, bus: Bus, tmp_path: Path
) -> None:
    root = tmp_path / "archive"
    command = [*archive.arguments(), "--create"]
    assert (await (await asyncio.create_subprocess_exec(*command, cwd=tmp_path)).wait()) == 0
    shown: list[Shown] = []
    for number in range(KILLS):
        archive.start()
        sending = asyncio.ensure_future(bus.wave(PER_WAVE))
        await archive.ready()
        await until_dealt_with(archive, 3 * number)
        assert await archive.stop(signal.SIGKILL) == -signal.SIGKILL
        shown += await sending
    shown += await bus.wave(PER_WAVE)
    archive.start()
    await archive.ready()
    last, verdict = bus.draw(png(1))
    verdict = verdict.model_copy(update={"source": await bus.send_frame(last)})
    await bus.send_result(verdict)
    shown.append(Shown(last, verdict))
    expected = wanted(shown)
    await archive._until(lambda: stored_now(root) == expected.keys(), "through")
    assert stored(root) == expected
    account = await asyncio.to_thread(account_of, settings)
    assert account.is_whole
    assert (account.rows, account.files, account.unlisted) == (len(expected), len(expected), [])
    assert await archive.stop() == 0
    assert list(root.rglob("*.tmp")) == []
    inspected = {each.result.result_id: each.result for each in shown if each.result.status == "inspected"}
    mine = {id_ for id_, result in inspected.items() if result.camera_id == "C1"}
    nok_ids = {id_ for id_ in mine if inspected[id_].anomaly_class == "nok"}
    sampled = set(sorted(mine - nok_ids)[:OK_PER_DAY])
    for include_near, ids in ((False, nok_ids | sampled), (True, mine & expected.keys())):
        dataset = read_dl_dataset_archive(root, "L1", "C1", include_near=include_near)
        assert len(dataset.samples) == len(ids)
        assert sum(sample.image_label == "nok" for sample in dataset.samples) == len(nok_ids)


def stored_now(root: Path) -> set[str]:
    """Ids of the index at this moment; files of it may come and go meanwhile."""
    found: set[str] = set()
    for file in root.rglob(".index/*.parquet"):
        try:
            found |= set(pq.read_table(file, columns=["result_id"]).column("result_id").to_pylist())
        except FileNotFoundError:
            return set()
    return found


async def test_frames_that_are_gone_raw_ones_and_those_that_nobody_answered(
    settings: Settings, archive: ArchiveProcess, bus: Bus, tmp_path: Path
) -> None:
    await (await asyncio.create_subprocess_exec(*archive.arguments(), "--create", cwd=tmp_path)).wait()
    gone = [frame_of(result_of(seq, 0.9)) for seq in (1, 2)]
    places = [await bus.send_frame(frame) for frame in gone]
    admin = admin_client(settings.kafka)
    await start_client(admin)
    before = {TopicPartition(places[0].topic, places[0].partition): RecordsToDelete(before_offset=places[1].offset + 1)}
    await admin.delete_records(before)
    await admin.close()
    now = time.time_ns() // 1000
    for frame, place in zip(gone, places, strict=True):
        await bus.send_result(result_of(frame.seq, 0.9, source=place))
    results = [result_of(seq, 0.9, at_us=now) for seq in range(3, 7)]
    raw = RawFormat(width=3, height=2, pixel_format="bgr8")
    pixels = bytes(range(18))
    frames = [frame_of(result, png(result.seq or 0)) for result in results]
    frames[1] = frames[1].model_copy(update={"encoding": "raw", "raw": raw, "image": pixels})
    sent = [await bus.send_frame(frame) for frame in frames]
    archive.start()
    await archive.ready()
    for number in (0, 1, 3):  # nobody answers the third
        await bus.send_result(results[number].model_copy(update={"source": sent[number]}))
    await archive._until(
        lambda: archive.metric("inspector_archive_results_missing_total") == 1, "aware of the frame without a result"
    )
    assert archive.metric("inspector_archive_results_total", outcome="gone", camera="L1/C1") == 2
    assert archive.metric("inspector_archive_results_total", outcome="stored", camera="L1/C1") == 3
    await bus.send_result(results[2].model_copy(update={"source": sent[2]}))
    await archive._until(lambda: archive.metric("inspector_archive_results_late_total") == 1, "told the late result")
    await archive._until(
        lambda: archive.metric("inspector_archive_results_total", outcome="stored") == 4, "done with the late result"
    )
    (ppm,) = (tmp_path / "archive").rglob("*.ppm")
    assert ppm.read_bytes() == b"P6\n3 2\n255\n" + bytes(pixels[i - i % 3 + 2 - i % 3] for i in range(18))
    (row,) = [
        row
        for file in (tmp_path / "archive").rglob(".index/*.parquet")
        for row in pq.read_table(file).to_pylist()
        if row["encoding"] == "raw"
    ]
    assert (row["image_digest"], row["pixel_format"]) == (image_digest(pixels), "bgr8")
    assert await archive.stop() == 0
