"""The clients on a real broker: what a camera sends arrives as it was, what is on the results topic is told."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from inspector.bus.admin import TopicSpec, connect_admin
from inspector.bus.connect import consumer_client, producer_client
from inspector.checks.broker import broker_faults
from inspector.clients.replay import ReplayPlan, SentFrame, find_images, replay
from inspector.clients.results import Verdict, read_results
from inspector.clients.topics import apply_topics
from inspector.errors import BusError, TopicError
from inspector.settings.kafka import KafkaSettings
from inspector.settings.settings import Settings
from inspector.settings.topics import TopicSettings
from schemas import CameraFrame, decode, encode, identity_from_headers, result_id_of_frame
from tests.buses import KafkaBus
from tests.messages import message

IMAGES = {
    "good/a.jpg": b"\xff\xd8\xff first",
    "good/b.png": b"\x89PNG\r\n\x1a\n second",
    "bad/c.jpg": b"\xff\xd8\xff third",
}


@pytest.fixture
async def settings(kafka_settings: KafkaSettings, topic_names: TopicSettings) -> Settings:
    """Settings whose topics exist."""
    made = Settings.model_validate(
        {
            "kafka": kafka_settings.model_dump(),
            "topics": topic_names.model_dump(),
            "models": {"m": "/m"},
            "cameras": [{"line_id": "L1", "camera_id": "C1", "model": "m", "partition": 5}],
        }
    )
    await apply_topics(made, replication=1)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in IMAGES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return tmp_path


def plan(folder: Path, **changes: Any) -> ReplayPlan:
    files = find_images(folder, max_bytes=1000)
    arguments: dict[str, Any] = {"line_id": "L1", "camera_id": "C1", "rate": 0.0, "count": 3}
    return ReplayPlan(files, folder, **(arguments | changes))


async def read_all(settings: Settings, topic: str, count: int) -> list[Any]:
    consumer = consumer_client(settings.kafka, topic, group_id=None)
    await consumer.start()
    try:
        async with asyncio.timeout(60):
            return [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()


# --------------------------------------------------------------------------------------------------------- topics


@pytest.mark.kafka
async def test_a_frames_topic_that_takes_what_the_settings_do_not_is_named_by_the_check(
    kafka_settings: KafkaSettings, topic_names: TopicSettings
) -> None:
    settings = Settings(kafka=kafka_settings, topics=topic_names)
    bus = KafkaBus(kafka_settings, topic_names)
    await bus.make_topics(settings)
    assert await broker_faults(settings) == []
    await bus.set_frames(max_message_bytes="1000000")
    compression, size = await broker_faults(settings)
    mend = f"change it with kafka-configs --alter --entity-type topics --entity-name {topic_names.frames_topic} --add-config "
    assert (
        f"topic {topic_names.frames_topic}: compression.type is producer, so compressed pictures are decompressed"
        in compression
    )
    assert f"{mend}compression.type=uncompressed" in compression
    assert "max.message.bytes is 1000000, but the settings require 8454144 (limits.max_frame_bytes" in size
    assert "so the largest frames are refused" in size
    assert f"{mend}max.message.bytes=8454144, or change limits.max_frame_bytes" in size
    await bus.set_frames(compression_type="uncompressed", max_message_bytes="9000000")
    (size,) = await broker_faults(settings)
    assert "which may be more than the reserved memory" in size


async def test_topics_are_made_once_and_never_changed(
    kafka_settings: KafkaSettings, topic_names: TopicSettings
) -> None:
    settings = Settings(kafka=kafka_settings, topics=topic_names)
    first = await apply_topics(settings, replication=1)
    assert [report.created for report in first] == [True, True, True]
    assert [(report.created, report.differences) for report in await apply_topics(settings, replication=1)] == [
        (False, ())
    ] * 3
    other = topic_names.model_copy(update={"frames_partitions": 3})
    limits = settings.limits.model_copy(update={"max_frame_bytes": 1_000_000})
    reports = await apply_topics(Settings(kafka=kafka_settings, topics=other, limits=limits), replication=1)
    told = "\n".join(f"{report.name} {difference}" for report in reports for difference in report.differences)
    assert (
        f"{topic_names.frames_topic} has 8 partitions, but the settings say 3; this is never changed in place" in told
    )
    assert f"{topic_names.frames_topic} has max.message.bytes=8454144, not 1065536" in told
    async with connect_admin(kafka_settings) as admin:
        state = await admin.topic(topic_names.frames_topic)
    assert state is not None
    assert (state.partitions, state.config["max.message.bytes"]) == (8, "8454144")
    assert state.config["min.insync.replicas"] == "1"


async def test_too_few_brokers_for_the_copies_is_refused_before_anything_is_made(
    kafka_settings: KafkaSettings, topic_names: TopicSettings
) -> None:
    async with connect_admin(kafka_settings) as admin:
        num_brokers = await admin.num_brokers()
        with pytest.raises(TopicError, match=rf"there are {num_brokers}; for a trial: --replication {num_brokers}"):
            await apply_topics(Settings(kafka=kafka_settings, topics=topic_names), replication=num_brokers + 1)
        assert await admin.topic(topic_names.frames_topic) is None


async def test_a_topic_that_the_broker_refuses_is_named(kafka_settings: KafkaSettings, unique_name: str) -> None:
    async with connect_admin(kafka_settings) as admin:
        with pytest.raises(TopicError, match=f"could not create topic {unique_name}"):
            await admin.create([TopicSpec(unique_name, 1, 1, {"retention.ms": "soon"})])


async def test_a_topic_that_appears_while_the_topics_are_listed_is_there(
    kafka_settings: KafkaSettings, unique_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made, or the right to see it is granted, between the two questions that `topic` asks."""
    async with connect_admin(kafka_settings) as admin:
        before = await admin._client.list_topics()
        await admin.create([TopicSpec(unique_name, 2, 1)])

        async def list_topics() -> list[str]:
            return list(before)

        monkeypatch.setattr(admin._client, "list_topics", list_topics)
        state = await admin.topic(unique_name)
    assert state is not None
    assert state.partitions == 2


# --------------------------------------------------------------------------------------------------------- replay


async def test_frames_arrive_as_the_files_are_in_order_on_the_cameras_partition(
    settings: Settings, folder: Path
) -> None:
    sent: list[SentFrame] = []
    cycled = plan(folder, count=7, budget_us=70_000, first_seq=10)
    summary = await replay(settings, cycled, on_sent=sent.append, stop=asyncio.Event())
    assert (summary.frames, summary.failed) == (7, 0)
    records = await read_all(settings, settings.topics.frames_topic, 7)
    frames = [decode(CameraFrame, record.value) for record in records]
    in_order = [IMAGES[name] for name in sorted(IMAGES)]
    assert [frame.image for frame in frames] == (in_order * 3)[:7]
    assert [frame.encoding for frame in frames[:3]] == ["jpeg", "jpeg", "png"]
    assert [frame.seq for frame in frames] == list(range(10, 17))
    assert {record.partition for record in records} == {5}
    assert {record.key for record in records} == {b"L1/C1"}
    assert [identity_from_headers(record.headers) for record in records] == [frame.identity for frame in frames]
    assert all(frame.image_digest == hashlib.sha256(frame.image).hexdigest() for frame in frames)
    assert all(frame.is_simulated and frame.budget_us == 70_000 for frame in frames)
    assert sorted(frame.captured_at for frame in frames) == [frame.captured_at for frame in frames]
    assert [(s.seq, s.offset, s.file.name) for s in sorted(sent, key=lambda s: s.seq)][:2] == [
        (10, 0, "c.jpg"),
        (11, 1, "a.jpg"),
    ]
    assert sent[0].result_id == result_id_of_frame("L1", "C1", sent[0].part_id, sent[0].seq, sent[0].captured_at)


async def test_a_camera_without_partition_goes_where_its_key_falls(settings: Settings, folder: Path) -> None:
    sent: list[SentFrame] = []
    await replay(settings, plan(folder, camera_id="unlisted"), on_sent=sent.append, stop=asyncio.Event())
    assert len({frame.partition for frame in sent}) == 1
    assert sent[0].partition < settings.topics.frames_partitions


async def test_a_rate_spreads_the_capture_stamps(settings: Settings, folder: Path) -> None:
    sent: list[SentFrame] = []
    await replay(settings, plan(folder, count=4, rate=20.0), on_sent=sent.append, stop=asyncio.Event())
    stamps = sorted(frame.captured_at for frame in sent)
    assert stamps[-1] - stamps[0] >= 3 * 50_000 - 20_000


async def test_a_replay_without_end_stops_when_asked(settings: Settings, folder: Path) -> None:
    stop = asyncio.Event()
    sent: list[SentFrame] = []

    def on_sent(frame: SentFrame) -> None:
        sent.append(frame)
        if len(sent) == 5:
            stop.set()

    summary = await replay(settings, plan(folder, count=None), on_sent=on_sent, stop=stop)
    assert summary.frames == len(sent) >= 5


async def test_frames_that_the_topic_does_not_take_are_counted(
    settings: Settings, folder: Path, unique_name: str
) -> None:
    """The topic takes 4 kB; of the two files one is larger."""
    small = settings.topics.model_copy(update={"prefix": unique_name + "s"})
    async with connect_admin(settings.kafka) as admin:
        await admin.create([TopicSpec(small.frames_topic, 8, 1, {"max.message.bytes": "4000"})])
    (folder / "good" / "large.jpg").write_bytes(b"\xff\xd8\xff" + bytes(6000))
    files = find_images(folder, max_bytes=10_000)
    summary = await replay(
        settings.model_copy(update={"topics": small}),
        ReplayPlan(files, folder, "L1", "C1", rate=0, count=len(files)),
        on_sent=lambda _: None,
        stop=asyncio.Event(),
    )
    assert summary.failed >= 1
    assert summary.frames + summary.failed == 4
    assert "could not send" in summary.errors[0]


async def test_a_broker_that_is_not_there_is_an_error(settings: Settings, folder: Path) -> None:
    kafka = settings.kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    gone = settings.model_copy(update={"kafka": kafka})
    with pytest.raises(BusError, match=r"could not connect to 127\.0\.0\.1:1"):
        await replay(gone, plan(folder), on_sent=lambda _: None, stop=asyncio.Event())


# -------------------------------------------------------------------------------------------------------- results


async def publish(settings: Settings, *values: bytes) -> None:
    producer = producer_client(settings.kafka)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(settings.topics.results_topic("L1", "C1"), value, b"L1/C1")
    finally:
        await producer.stop()


async def collect(verdicts: AsyncIterator[Verdict]) -> list[Verdict]:
    async with asyncio.timeout(60):
        return [verdict async for verdict in verdicts]


async def test_results_that_are_there_are_read_to_their_end(settings: Settings) -> None:
    one, two = message(), message(part_id="part-2")
    await publish(settings, encode(one), encode(two), encode(one), b"garbage")
    verdicts = await collect(read_results(settings))
    assert [verdict.message for verdict in verdicts] == [one, two, one, None]
    assert [verdict.is_repeat for verdict in verdicts] == [False, False, True, False]
    assert verdicts[3].error is not None
    assert len({verdict.partition for verdict in verdicts}) == 1
    assert [verdict.offset for verdict in verdicts] == [0, 1, 2, 3]


async def test_an_empty_topic_is_read_to_its_end_at_once(settings: Settings) -> None:
    assert await collect(read_results(settings)) == []


async def test_following_begins_with_what_comes_next_and_ends_when_asked(settings: Settings) -> None:
    await publish(settings, encode(message()))
    stop = asyncio.Event()
    following = read_results(settings, follow=True, from_beginning=False, stop=stop)
    first = asyncio.ensure_future(anext(following))
    late = message(part_id="late")
    async with asyncio.timeout(60):
        while (
            not first.done()
        ):  # when the reader has found its place cannot be seen from outside: send until one is read
            await publish(settings, encode(late))
        verdict = await first
        stop.set()
        async for verdict in following:
            assert verdict.message == late
    assert verdict.message == late


async def test_following_from_the_beginning_reads_both(settings: Settings) -> None:
    await publish(settings, encode(message()))
    following = read_results(settings, follow=True, from_beginning=True)
    async with asyncio.timeout(60):
        assert (await anext(following)).message == message()
        await publish(settings, encode(message(part_id="late")))
        assert (await anext(following)).offset == 1
        await following.aclose()


async def test_a_missing_results_topic_is_an_error_and_not_a_silence(settings: Settings, unique_name: str) -> None:
    other = settings.model_copy(update={"topics": TopicSettings(prefix=unique_name + "none")})
    with pytest.raises(TopicError, match="create it with `inspector topics apply`"):
        await collect(read_results(other))


# ------------------------------------------------------------------------------------------------------- commands


def inspector(settings: Settings, *argv: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "inspector", *argv, "--bootstrap", settings.kafka.bootstrap_servers]
    environment = {"INSPECTOR_TOPICS__PREFIX": settings.topics.prefix, "PATH": "", "PYTHONPATH": str(Path.cwd())}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_commands_of_a_whole_trial(settings: Settings, folder: Path) -> None:
    with inspector(settings, "topics", "apply", "--replication", "1") as topics:
        out, err = topics.communicate(timeout=100)
        assert (topics.returncode, out.count("correct"), err) == (0, 3, "")
    with inspector(settings, "replay", str(folder), "--camera", "L1/C1", "--rate", "100", "--json") as camera:
        out, err = camera.communicate(timeout=100)
        events = [json.loads(line) for line in out.splitlines()]
        assert (camera.returncode, [event["event"] for event in events], err) == (0, ["sent"] * 3 + ["summary"], "")
        assert events[-1]["frames"] == 3


async def test_following_results_ends_cleanly_on_a_signal(settings: Settings) -> None:
    await publish(settings, encode(message()))
    with inspector(settings, "results", "--follow", "--from-beginning", "--json") as screen:
        assert screen.stdout is not None
        assert screen.stderr is not None
        told = json.loads(await asyncio.to_thread(screen.stdout.readline))
        assert told["part_id"] == "part-1"
        screen.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(screen.wait, 100) == 0
        assert screen.stderr.read() == ""


async def test_results_of_one_camera_up_to_a_count(settings: Settings) -> None:
    other = message(camera_id="C2")
    await publish(settings, encode(other), encode(message()), encode(other), encode(message()))
    with inspector(settings, "results", "--camera", "L1/C1", "--count", "1") as screen:
        out, _ = await asyncio.to_thread(screen.communicate, timeout=100)
    lines = out.splitlines()
    assert len(lines) == 2
    assert lines[1].split()[1:4] == ["L1/C1", "part-1", "OK"]
