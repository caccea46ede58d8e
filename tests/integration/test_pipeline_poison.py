"""Records that kill a reader: each is answered, dead-lettered and passed, and its neighbours get their verdicts."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from deploy.local.base import Broker, BrokerStartError
from deploy.local.broker import kafka_home
from deploy.local.kafka import KafkaNode
from inspector.bus.connect import producer_client
from inspector.settings.kafka import KafkaSettings
from inspector.settings.section import MIB
from inspector.settings.topics import TopicSettings
from inspector.watchdog.limits import EXIT_PARTITION_STALLS
from schemas import result_id_of_record
from tests.bombs import CODECS, bomb
from tests.buses import KafkaBus, MemoryBus, started, wait_until
from tests.fakes import FakeConsumer
from tests.frames import camera_frame, record_of
from tests.record_batches import ATTRIBUTES_AT, LAST_DELTA_AT, sealed
from tests.stage import Stage, by_seq, metric


async def test_a_header_name_that_is_not_utf8_is_answered_and_passed_also_by_the_next_process(stage: Stage) -> None:
    await stage.publish("a", 0)
    await stage.bus.publish_nameless(0, *record_of(camera_frame("a", 1, stage.clock.wall_us())))
    await stage.bus.publish_nameless(0, None, b"no frame at all", [])
    await stage.publish("a", 2)
    await stage.publish("b", 3)
    async with stage.service():
        results = await stage.bus.wait_for_results(5)
    assert {seq: (r.status, r.reason) for seq, r in by_seq(results).items()} == {
        0: ("inspected", "none"),
        1: ("undecodable", "malformed"),
        2: ("inspected", "none"),
        3: ("inspected", "none"),
    }
    stray = next(result for result in results if result.seq is None)
    assert (stray.status, stray.reason) == ("undecodable", "malformed")
    assert stray.result_id == result_id_of_record(stray.source.topic, 0, 2)
    letters = await stage.bus.deadletters()
    assert sorted(letter.source.offset for letter in letters) == [1, 2]
    assert all("not UTF-8" in letter.detail for letter in letters)
    assert await stage.bus.committed(0) == 4

    await stage.publish("a", 4)
    async with stage.service():
        results = await stage.bus.wait_for_results(6)
    assert by_seq(results)[4].status == "inspected"


@pytest.mark.kafka
@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_every_codec_of_kafka_is_read(
    kafka_settings: KafkaSettings, topic_names: TopicSettings, codec: str
) -> None:
    bus = KafkaBus(kafka_settings, topic_names)
    stage = Stage(bus)
    await bus.make_topics(stage.settings())
    await bus.set_frames(compression_type="producer")
    async with started(lambda: producer_client(kafka_settings, compression_type=codec)) as producer:
        for seq in range(5):
            key, value, headers = record_of(camera_frame("a", seq, stage.clock.wall_us()))
            await producer.send_and_wait(topic_names.frames_topic, value, key, partition=0, headers=headers)
    async with stage.service():
        results = await bus.wait_for_results(5)
    assert [result.status for result in results] == ["inspected"] * 5


@pytest.mark.kafka
async def test_a_batch_that_inflates_too_far_is_answered_and_stepped_over(
    kafka_settings: KafkaSettings, topic_names: TopicSettings
) -> None:
    bus = KafkaBus(kafka_settings, topic_names)
    stage = Stage(bus)
    await bus.make_topics(stage.settings())
    with pytest.raises(
        MessageSizeTooLargeError
    ):  # the broker inflates what it is to keep without compression, and finds it too large
        await bus.publish_batch(0, bomb("gzip", 64 * MIB))
    await bus.set_frames(compression_type="producer")
    await stage.publish("a", 0)
    for codec in CODECS:
        await bus.publish_batch(0, bomb(codec, 64 * MIB if codec != "snappy" else 16 * MIB))
    await stage.publish("a", 1)
    async with stage.service() as service:
        results = await bus.wait_for_results(6)
        await wait_until(lambda: metric(service, "deadletters_total", reason="too_large") == 4)
    assert {seq: (r.status, r.reason) for seq, r in by_seq(results).items() if seq in {0, 1}} == {
        0: ("inspected", "none"),
        1: ("inspected", "none"),
    }
    strays = [result for result in results if result.seq is None]
    assert [(stray.status, stray.reason) for stray in strays] == [("undecodable", "too_large")] * 4
    letters = await bus.deadletters()
    assert [(letter.source.offset, letter.key) for letter in letters] == [
        (offset, b"line/a") for offset in (1, 2, 3, 4)
    ]
    assert all("decompresses to more than" in letter.detail for letter in letters)
    assert await bus.committed(0) == 6


class Disk(NamedTuple):
    """A broker whose files are ours to spoil."""

    kafka: KafkaSettings
    data: Path

    def spoil(self, topic: str, partition: int, number: int, change: Callable[[bytearray], None]) -> None:
        """Change the record batch with this number in a partition's file."""
        (path,) = (self.data / f"{topic}-{partition}").glob("*.log")
        data, at = bytearray(path.read_bytes()), 0
        for _ in range(number):
            at += 12 + struct.unpack_from(">i", data, at + 8)[0]
        end = at + 12 + struct.unpack_from(">i", data, at + 8)[0]
        batch = data[at:end]
        change(batch)
        with path.open("r+b") as file:
            file.seek(at)
            file.write(batch)


@pytest.fixture(scope="module")
def disk(kafka_broker: Broker, kafka_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    """The run's own broker; where that is somebody else's, one for these tests."""
    if kafka_broker.pid is not None:
        yield Disk(KafkaSettings(bootstrap_servers=kafka_broker.bootstrap_servers), kafka_folder / "data")
        return
    home = kafka_home()
    if home is None:
        pytest.skip("no Apache Kafka whose files are ours")
    folder = tmp_path_factory.mktemp("spoiled")
    try:
        node = KafkaNode(home, folder)
    except BrokerStartError as exc:
        pytest.skip(str(exc))
    broker = node.start()
    try:
        yield Disk(KafkaSettings(bootstrap_servers=broker.bootstrap_servers), folder / "data")
    finally:
        node.stop()


def flip_a_byte(batch: bytearray) -> None:
    batch[-40] ^= 0x10


def name_a_codec_that_nobody_knows(batch: bytearray) -> None:
    struct.pack_into(">h", batch, ATTRIBUTES_AT, 7)
    sealed(batch)


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("change", "reason"), [(flip_a_byte, "corrupt"), (name_a_codec_that_nobody_knows, "unsupported")]
)
async def test_a_batch_spoiled_on_the_brokers_disk_is_answered_and_stepped_over(
    disk: Disk, topic_names: TopicSettings, unique_name: str, change: Callable[[bytearray], None], reason: str
) -> None:
    bus = KafkaBus(disk.kafka.model_copy(update={"group_id": unique_name}), topic_names)
    stage = Stage(bus)
    await bus.make_topics(stage.settings())
    for seq in range(4):
        await stage.publish("a", seq)
        await stage.publish("b", 10 + seq)
    disk.spoil(topic_names.frames_topic, 0, 1, change)
    async with stage.service():
        results = await bus.wait_for_results(8)
    (refused,) = [result for result in results if result.status != "inspected"]
    assert (refused.status, refused.reason, refused.source.offset) == ("undecodable", reason, 1)
    assert len([result for result in results if result.camera_id == "b"]) == 4
    assert await bus.committed(0) == 4
    (letter,) = await bus.deadletters()
    assert (letter.source.partition, letter.source.offset) == (0, 1)


def hide_its_end(batch: bytearray) -> None:
    struct.pack_into(">i", batch, LAST_DELTA_AT, 1 << 30)


@pytest.mark.kafka
@pytest.mark.parametrize("number", [0, 2], ids=["with others behind it", "the last of all"])
async def test_a_batch_that_does_not_tell_its_end_is_answered_and_passed(
    disk: Disk, topic_names: TopicSettings, unique_name: str, number: int
) -> None:
    # So small that every fetch brings one batch: nothing behind it tells where it ends.
    bus = KafkaBus(
        disk.kafka.model_copy(update={"group_id": unique_name, "max_partition_fetch_bytes": 64}), topic_names
    )
    stage = Stage(bus)
    await bus.make_topics(stage.settings())
    for seq in range(3):
        await stage.publish("a", seq)
        await stage.publish("b", 10 + seq)
    disk.spoil(topic_names.frames_topic, 0, number, hide_its_end)
    async with stage.service():
        results = await bus.wait_for_results(6)
        await stage.publish("a", 3)
        await bus.wait_for_results(7)
    (refused,) = [result for result in results if result.status != "inspected"]
    assert (refused.status, refused.reason, refused.source.offset) == ("undecodable", "corrupt", number)
    assert refused.result_id == result_id_of_record(topic_names.frames_topic, 0, number)
    assert await bus.committed(0) == 4
    assert await bus.committed(1) == 3


async def test_a_partition_that_cannot_be_read_on_makes_the_process_unready_and_then_ends_it(
    topic_names: TopicSettings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspector.stages.source.SURVEY_S", 0.01)
    bus = MemoryBus(topic_names)
    stage = Stage(bus)
    await bus.make_topics(stage.settings())
    consumer = FakeConsumer(bus.broker, topic_names.frames_topic)
    consumer.stuck.add((topic_names.frames_topic, 0))
    for seq in range(3):
        await stage.publish("a", seq)
        await stage.publish("b", 10 + seq)
    service, task = await stage.start(consumer=consumer)
    await bus.wait_for_results(3)
    await wait_until(lambda: service.health.not_ready() == [])
    stage.clock.advance(12)
    await wait_until(lambda: any("none of them was read for 12 s" in why for why in service.health.not_ready()))
    assert service.health.not_alive() == []
    assert metric(service, "partition_stalled_seconds", partition="0") == 12
    await stage.publish("b", 13)
    await bus.wait_for_results(4)
    stage.clock.advance(20)
    assert await task == EXIT_PARTITION_STALLS
    assert "partition 0 of" in caplog.text
    assert (
        "holds 3 records from its first offset on" in caplog.text or "holds 3 records from offset 0 on" in caplog.text
    )
    assert await bus.committed(0) == 0
    assert await bus.committed(1) == 4
