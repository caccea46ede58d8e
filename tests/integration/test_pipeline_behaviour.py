"""What the service promises, on the bus in memory and on Apache Kafka: one suite for both."""

from __future__ import annotations

import asyncio
import struct
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest

from inspector.anomaly.types import Thresholds
from inspector.clock import Clock
from inspector.config import KafkaSettings, Settings, TopicSettings
from inspector.errors import BusError
from inspector.ports import FrameConsumer, Partition, ProducedRecord, ResultProducer
from inspector.service import EXIT_CLEAN, EXIT_CUT_SHORT, EXIT_FAILED, Service
from schemas import DLResultMessage, encode, frame_headers, result_id_of_record
from tests.buses import BusUnderTest, KafkaBus, MemoryBus, wait_until
from tests.fakes import FakeClock, FakeModel, UnreliableProducer
from tests.frames import Headers, camera_frame, png, record_of

CAMERAS = ("a", "b", "c", "d")
RAW_256 = {"width": 256, "height": 256, "pixel_format": "mono8"}


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def bus(request: pytest.FixtureRequest, topic_names: TopicSettings) -> BusUnderTest:
    if request.param == "memory":
        return MemoryBus(topic_names)
    kafka: KafkaSettings = request.getfixturevalue("kafka_settings")
    return KafkaBus(kafka, topic_names)


class Bystander:
    """A member of the group that does nothing with its partitions."""

    async def on_assigned(self, partitions: set[Partition]) -> None: ...

    async def on_revoked(self, partitions: set[Partition]) -> None: ...


class Stage:
    """The service on one bus, with a model that scores by brightness and a clock that stands still."""

    def __init__(self, bus: BusUnderTest) -> None:
        self.bus = bus
        self.clock = FakeClock()
        self.model = FakeModel(Thresholds(classification=0.5, segmentation=0.5))
        self.sent = 0

    def settings(self, **sections: Any) -> Settings:
        values: dict[str, Any] = {
            "kafka": self.bus.kafka,
            "topics": self.bus.topics,
            "models": {"m": Path("unused")},
            "cameras": [
                {"line_id": "line", "camera_id": camera, "model": "m", "partition": number}
                for number, camera in enumerate(CAMERAS)
            ],
            "http": {"port": 0},
            "limits": {"max_frame_bytes": 100_000, "max_pixels": 1_000_000, "max_bytes_in_flight": 64 << 20},
            "decode_threads": 2,
            "commit_interval_ms": 20,
            "drain_timeout_s": 10,
        }
        return Settings(**(values | sections))

    async def publish(self, camera: str, seq: int, **fields: Any) -> str:
        """Publish a frame on its camera's partition; return its result_id by way of its identity."""
        captured_at = fields.pop("captured_at", self.clock.wall_us())
        frame = camera_frame(camera, seq, captured_at, **fields)
        self.sent += 1
        await self.bus.publish(CAMERAS.index(camera) if camera in CAMERAS else 7, *record_of(frame))
        return camera

    @asynccontextmanager
    async def service(
        self,
        settings: Settings | None = None,
        *,
        producer: ResultProducer | None = None,
        consumer: FrameConsumer | None = None,
        clock: Clock | None = None,
    ) -> AsyncIterator[Service]:
        """Run the service for the duration of the block, then stop it and expect a clean end."""
        service, task = await self.start(settings, producer=producer, consumer=consumer, clock=clock)
        try:
            yield service
        except BaseException:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise
        service.stop()
        assert await task == EXIT_CLEAN

    async def start(
        self,
        settings: Settings | None = None,
        *,
        producer: ResultProducer | None = None,
        consumer: FrameConsumer | None = None,
        clock: Clock | None = None,
    ) -> tuple[Service, asyncio.Task[int]]:
        """Start the service; return it and the task that ends with its exit status."""
        settings = settings or self.settings()
        service = Service(
            settings,
            read_model=lambda _path: self.model,
            producer=producer or self.bus.producer(settings),
            consumer=consumer or self.bus.consumer(settings),
            clock=clock or self.clock,
        )
        return service, asyncio.create_task(service.run())


@pytest.fixture
async def stage(bus: BusUnderTest) -> Stage:
    stage = Stage(bus)
    await bus.make_topics(stage.settings())
    return stage


def sequences(results: Sequence[DLResultMessage]) -> dict[str, list[int]]:
    """Return the sequence numbers of each camera in the order of the first occurrence of each result."""
    seen: set[str] = set()
    order: dict[str, list[int]] = {}
    for result in results:
        if result.result_id not in seen and result.camera_id is not None and result.seq is not None:
            seen.add(result.result_id)
            order.setdefault(result.camera_id, []).append(result.seq)
    return order


def by_seq(results: Sequence[DLResultMessage]) -> dict[int, DLResultMessage]:
    return {result.seq: result for result in results if result.seq is not None}


async def test_every_frame_gets_its_verdict_in_the_order_of_its_camera(stage: Stage) -> None:
    for seq in range(20):
        for camera in CAMERAS:
            await stage.publish(camera, seq, image=png(20 + 200 * (seq % 2)), is_simulated=seq == 3)
    async with stage.service() as service:
        results = await stage.bus.wait_for_results(80)
        assert sequences(results) == {camera: list(range(20)) for camera in CAMERAS}
        for result in results:
            assert (result.status, result.reason) == ("inspected", "none")
            assert result.seq is not None
            assert result.anomaly_class_id == result.seq % 2
            assert result.model is not None
            assert (result.model.name, result.model.digest) == ("brightness", "ab" * 32)
            assert {"queue", "decode", "score"} <= set(result.stage_seconds)
            assert result.is_simulated == (result.seq == 3)
            assert result.source.partition == CAMERAS.index(result.camera_id or "")
        pipeline = service.pipeline
        assert pipeline is not None
        await wait_until(lambda: pipeline.budget.used_bytes == 0)
    for number in range(4):
        assert await stage.bus.committed(number) == 20
    assert await stage.bus.deadletters() == []
    assert stage.model.warmed == [1, 8]
    assert max(stage.model.batches) <= 8


async def test_a_result_tells_a_gate_what_it_needs_without_the_body(stage: Stage) -> None:
    await stage.publish("a", 1, image=png(250))
    async with stage.service():
        (result,) = await stage.bus.wait_for_results(1)
    (sent,) = await stage.bus.records(stage.bus.topics.results_topic("", ""))
    assert sent.key == b"line/a"
    headers = dict(sent.headers)
    assert headers["status"] == b"inspected"
    assert headers["anomaly_class_id"] == b"1"
    assert headers["deadline_at"] == str(stage.clock.wall_us() + 1_000_000).encode()
    assert headers["result_id"] == result.result_id.encode()


def bad_frames(now_us: int) -> dict[str, tuple[bytes | None, bytes | None, Headers, str, str]]:
    """Return key, value, headers, and the status and reason that are due."""
    good = camera_frame("a", 0, now_us)
    header = b"IHDR" + struct.pack(">II", 60_000, 60_000) + png()[24:29]
    oversized = png()[:12] + header + struct.pack(">I", zlib.crc32(header)) + png()[33:]
    flipped = bytearray(png())
    flipped[-20] ^= 1

    def with_image(seq: int, image: bytes, status: str, reason: str, **fields: Any) -> Any:
        return (*record_of(camera_frame("a", seq, now_us, image=image, **fields)), status, reason)

    def garbled(seq: int, value: bytes | None, reason: str) -> Any:
        return (b"line/a", value, list(frame_headers(camera_frame("a", seq, now_us))), "undecodable", reason)

    unpacked = msgpack.unpackb(encode(good))
    return {
        "no value": garbled(100, None, "empty"),
        "empty value": garbled(101, b"", "empty"),
        "garbage": garbled(102, b"\xc1 this is no msgpack", "malformed"),
        "wrong version": garbled(103, msgpack.packb(unpacked | {"v": 2}), "wrong_version"),
        "missing fields": garbled(104, msgpack.packb({"v": 1}), "malformed"),
        "truncated image": with_image(105, png()[:-10], "undecodable", "truncated"),
        "wrong magic": with_image(106, b"GIF89a" + png(), "undecodable", "unsupported"),
        "oversized claim": with_image(107, oversized, "undecodable", "too_large"),
        "other bytes than hashed": with_image(
            108, bytes(flipped), "undecodable", "digest_mismatch", image_digest="0" * 64
        ),
        "other geometry": with_image(109, png(width=96), "failed", "geometry"),
        "unknown camera": (*record_of(camera_frame("stranger", 110, now_us)), "no_model", "unknown_camera"),
        "over the byte limit": with_image(111, png() + bytes(100_001), "undecodable", "too_large"),
        "breaks the model": with_image(112, png(FakeModel.RAISES_ALWAYS), "failed", "device"),
        "not finite": with_image(113, png(FakeModel.NOT_FINITE), "failed", "non_finite"),
    }


async def test_a_bad_frame_is_refused_under_its_own_name_and_harms_no_other(stage: Stage) -> None:
    bad = bad_frames(stage.clock.wall_us())
    for seq, (key, value, headers, _, _) in enumerate(bad.values()):
        await stage.publish("a", seq)
        await stage.bus.publish(0, key, value, headers)
    async with stage.service():
        results = await stage.bus.wait_for_results(2 * len(bad))
    verdicts = by_seq(results)
    for number, (name, (_, _, _, status, reason)) in enumerate(bad.items()):
        result = verdicts[100 + number]
        assert (result.status, result.reason) == (status, reason), name
        assert (result.anomaly_class_id, result.anomaly_score) == (1, None), name
        mate = verdicts[number]
        assert (mate.status, mate.anomaly_class_id) == ("inspected", 0), f"the frame before {name}"
    letters = {letter.result_id: letter for letter in await stage.bus.deadletters()}
    assert set(letters) == {verdicts[100 + number].result_id for number in range(len(bad))}
    assert all(letter.value is None for letter in letters.values())
    order = sequences(results)["a"]
    expected = [seq for number in range(len(bad)) for seq in (number, 100 + number) if number != 10 or seq == 10]
    assert order == expected, "a refusal is cheap, but it must not overtake the frame before it"


async def test_a_record_without_any_identity_is_answered_by_its_place(stage: Stage) -> None:
    await stage.bus.publish(3, b"who", b"garbage")
    await stage.bus.publish(3, None, b"garbage")
    async with stage.service():
        results = await stage.bus.wait_for_results(2)
    topic = stage.bus.topics.frames_topic
    assert {result.result_id for result in results} == {
        result_id_of_record(topic, 3, 0),
        result_id_of_record(topic, 3, 1),
    }
    assert all((result.line_id, result.deadline_at, result.anomaly_class_id) == (None, None, 1) for result in results)
    keys = {sent.key for sent in await stage.bus.records(stage.bus.topics.results_topic("", ""))}
    assert keys == {b"who", b"unknown"}
    assert await stage.bus.committed(3) == 2


async def test_dead_letters_carry_the_bytes_where_asked(stage: Stage) -> None:
    await stage.bus.publish(0, b"line/a", b"garbage")
    async with stage.service(stage.settings(deadletter_bytes=True)):
        await stage.bus.wait_for_results(1)
    (letter,) = await stage.bus.deadletters()
    assert (letter.value, letter.key, letter.value_bytes) == (b"garbage", b"line/a", 7)


async def test_a_frame_that_breaks_its_batch_costs_its_mates_nothing(stage: Stage) -> None:
    for seq, level in enumerate([30, 30, FakeModel.RAISES_IN_BATCH, 30, FakeModel.RAISES_ALWAYS, 30]):
        await stage.publish("a", seq, image=png(level))
    async with stage.service(stage.settings(batching={"max_batch_size": 6, "linger_ms": 9000})):
        results = by_seq(await stage.bus.wait_for_results(6))
    assert [results[seq].status for seq in range(6)] == ["inspected"] * 4 + ["failed", "inspected"]
    assert stage.model.batches == [6, 1, 1, 1, 1, 1, 1]


async def test_a_model_that_loses_a_result_shifts_no_verdict_to_another_frame(stage: Stage) -> None:
    stage.model.drops_a_result = True
    for seq in range(8):
        await stage.publish("a", seq, image=png(20 if seq % 2 else 220))
    async with stage.service(stage.settings(batching={"max_batch_size": 8, "linger_ms": 9000})):
        results = by_seq(await stage.bus.wait_for_results(8))
    assert [results[seq].anomaly_class_id for seq in range(8)] == [1, 0] * 4
    assert stage.model.batches[0] == 8


async def test_a_frame_that_arrives_late_is_expired_before_it_is_decoded(stage: Stage) -> None:
    await stage.publish("a", 1, captured_at=stage.clock.wall_us() - 1_000_000)
    await stage.publish("a", 2, captured_at=stage.clock.wall_us() - 999_000)
    await stage.publish("a", 3, captured_at=stage.clock.wall_us() - 1_000_000, budget_us=2_000_000)
    async with stage.service():
        results = by_seq(await stage.bus.wait_for_results(3))
    assert [(results[seq].status, results[seq].reason) for seq in (1, 2, 3)] == [
        ("expired", "late_before_decode"),
        ("inspected", "none"),
        ("inspected", "none"),
    ]
    assert results[1].anomaly_class_id == 1
    assert await stage.bus.deadletters() == []


async def test_a_frame_that_waits_too_long_for_the_device_is_expired_before_it_is_scored(stage: Stage) -> None:
    scoring, gate = threading.Event(), threading.Event()

    def block(_size: int) -> None:
        scoring.set()
        gate.wait(60)

    stage.model.on_launch = block
    async with stage.service() as service:
        await stage.publish("a", 1)
        await asyncio.to_thread(scoring.wait, 60)
        pipeline = service.pipeline
        assert pipeline is not None
        await stage.publish("a", 2)
        await wait_until(lambda: service._engine.free_slots == 0)  # it stands at the device, the next one before that
        await stage.publish("a", 3)
        await wait_until(lambda: len(pipeline._batcher) == 1)
        stage.clock.advance(5)
        gate.set()
        results = by_seq(await stage.bus.wait_for_results(3))
    assert (results[3].status, results[3].reason, results[3].anomaly_class_id) == ("expired", "late_before_score", 1)
    for seq in (1, 2):
        assert (results[seq].status, results[seq].reason) == ("expired", "late_before_send")
        assert results[seq].anomaly_class_id == 1


async def test_a_verdict_that_is_late_when_it_is_sent_says_so_and_is_nok(stage: Stage) -> None:
    stage.model.on_launch = lambda _size: stage.clock.advance(5)
    await stage.publish("a", 1)
    async with stage.service():
        (result,) = await stage.bus.wait_for_results(1)
    assert (result.status, result.reason) == ("expired", "late_before_send")
    assert (result.anomaly_class_id, result.anomaly_score) == (1, None)
    (sent,) = await stage.bus.records(stage.bus.topics.results_topic("", ""))
    assert dict(sent.headers)["anomaly_class_id"] == b"1"


async def test_a_stamp_from_the_future_is_not_fresh(stage: Stage) -> None:
    await stage.publish("a", 1, captured_at=stage.clock.wall_us() + 3_000_000)
    await stage.publish("a", 2, captured_at=stage.clock.wall_us() + 1_000_000)
    async with stage.service():
        results = by_seq(await stage.bus.wait_for_results(2))
    assert (results[1].status, results[1].reason, results[1].anomaly_class_id) == ("expired", "captured_in_future", 1)
    assert results[2].status == "inspected"


async def test_a_camera_may_have_a_threshold_of_its_own(stage: Stage) -> None:
    cameras = [
        {"line_id": "line", "camera_id": "a", "model": "m", "classification_threshold": 0.1},
        {"line_id": "line", "camera_id": "b", "model": "m"},
    ]
    await stage.publish("a", 1, image=png(64))
    await stage.publish("b", 2, image=png(64))
    async with stage.service(stage.settings(cameras=cameras)):
        results = by_seq(await stage.bus.wait_for_results(2))
    assert [results[seq].anomaly_class_id for seq in (1, 2)] == [1, 0]
    assert [results[seq].classification_threshold for seq in (1, 2)] == [0.1, 0.5]


async def test_sends_that_fail_are_repeated_and_nothing_overtakes_them(stage: Stage) -> None:
    producer = UnreliableProducer(stage.bus.producer(stage.settings()))
    attempts = 0

    def fail_sometimes(_partition: Partition, _records: Sequence[ProducedRecord]) -> None:
        nonlocal attempts
        attempts += 1
        if attempts % 3 == 0:
            raise BusError("a fault that the test makes")

    producer.before = producer.after = fail_sometimes
    for seq in range(30):
        await stage.publish("a", seq)
    async with stage.service(producer=producer):
        results = await stage.bus.wait_for_results(30)
    assert sequences(results) == {"a": list(range(30))}
    assert await stage.bus.committed(0) == 30


async def test_nothing_is_committed_before_its_result_is_acknowledged(stage: Stage) -> None:
    producer = UnreliableProducer(stage.bus.producer(stage.settings()))
    await stage.publish("a", 0)
    async with stage.service(producer=producer):
        await stage.bus.wait_for_results(1)
        producer.open.clear()
        for seq in range(1, 5):
            await stage.publish("a", seq)
        await wait_until(lambda: sum(stage.model.batches) == 5)
        assert len(await stage.bus.results()) == 1
        assert await stage.bus.committed(0) <= 1
        producer.open.set()
        await stage.bus.wait_for_results(5)
    assert await stage.bus.committed(0) == 5


async def test_what_a_killed_process_left_behind_is_done_by_the_next_one(stage: Stage) -> None:
    producer = UnreliableProducer(stage.bus.producer(stage.settings()))
    for seq in range(40):
        await stage.publish("a", seq)
    producer.after = lambda _partition, _records: producer.open.clear()  # one acknowledgement, then silence
    _, task = await stage.start(stage.settings(drain_timeout_s=0.2), producer=producer)
    await stage.bus.wait_for_results(1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with stage.service():
        results = await stage.bus.wait_for_results(40)
    assert sequences(results) == {"a": list(range(40))}
    assert await stage.bus.committed(0) == 40


async def test_a_second_member_takes_over_partitions_and_gives_them_back(stage: Stage) -> None:
    async def publish(seqs: range) -> None:
        for seq in seqs:
            for camera in CAMERAS:
                await stage.publish(camera, seq)

    def holds(service: Service, count: int) -> Callable[[], bool]:
        return lambda: service.pipeline is not None and len(service.pipeline.source.leases) == count

    async with stage.service() as first:
        await publish(range(10))
        await wait_until(holds(first, 8))
        second_model = FakeModel(stage.model.thresholds)
        settings = stage.settings()
        second = Service(
            settings,
            read_model=lambda _path: second_model,
            consumer=stage.bus.consumer(settings),
            producer=stage.bus.producer(settings),
            clock=stage.clock,
        )
        task = asyncio.create_task(second.run())
        await wait_until(holds(second, 4))
        await wait_until(holds(first, 4))
        await publish(range(10, 20))
        await stage.bus.wait_for_results(80)
        second.stop()
        assert await task == EXIT_CLEAN
        await wait_until(holds(first, 8))
        await publish(range(20, 30))
        results = await stage.bus.wait_for_results(120)
    assert sequences(results) == {camera: list(range(30)) for camera in CAMERAS}
    assert sum(second_model.batches) > 0
    assert len(results) == 120, "an orderly handover repeats nothing"


async def test_a_stop_finishes_what_was_begun_and_commits_it(stage: Stage) -> None:
    gate, scoring = threading.Event(), threading.Event()

    def block(_size: int) -> None:
        scoring.set()
        gate.wait(60)

    stage.model.on_launch = block
    for seq in range(100):
        await stage.publish("a", seq)
    service, task = await stage.start()
    await asyncio.to_thread(scoring.wait, 60)
    service.stop()
    await wait_until(lambda: service.pipeline is not None and service.pipeline._draining)
    gate.set()
    assert await task == EXIT_CLEAN
    results = await stage.bus.results()
    assert 0 < len(results) < 100, "the queue is left to others, what was begun is not"
    assert sequences(results)["a"] == list(range(len(results)))
    assert await stage.bus.committed(0) == len(results)


async def test_a_drain_that_takes_too_long_is_cut_short_and_says_so(stage: Stage) -> None:
    producer = UnreliableProducer(stage.bus.producer(stage.settings()))
    producer.open.clear()
    await stage.publish("a", 0)
    service, task = await stage.start(stage.settings(drain_timeout_s=0.2), producer=producer)
    await wait_until(lambda: stage.model.batches)
    service.stop()
    assert await task == EXIT_CUT_SHORT
    assert await stage.bus.committed(0) == 0


async def test_a_broken_bundle_ends_the_process_with_a_sentence(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    def read(path: Path) -> FakeModel:
        raise FileNotFoundError(f"{path}/bundle.json is not there")

    settings = stage.settings()
    service = Service(
        settings, read_model=read, consumer=stage.bus.consumer(settings), producer=stage.bus.producer(settings)
    )
    assert await service.run() == EXIT_FAILED
    assert "bundle.json is not there" in caplog.text


async def test_a_lost_device_ends_the_process_and_leaves_the_frames_to_others(stage: Stage) -> None:
    def lose(_size: int) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    await stage.publish("a", 0)
    stage.model.on_launch = lose
    _, task = await stage.start(stage.settings(drain_timeout_s=0.5))
    assert await task == EXIT_FAILED
    stage.model.on_launch = lambda _size: None
    async with stage.service():
        (result,) = await stage.bus.wait_for_results(1)
    assert result.status == "inspected"


async def test_frames_in_flight_never_exceed_the_byte_budget_and_all_get_through(stage: Stage) -> None:
    producer = UnreliableProducer(stage.bus.producer(stage.settings()))
    raw = {"encoding": "raw", "raw": RAW_256, "image_digest": None}
    settings = stage.settings(limits={"max_frame_bytes": 70_000, "max_pixels": 65_536, "max_bytes_in_flight": 6 << 20})
    for seq in range(60):
        for camera in CAMERAS:
            await stage.publish(camera, seq, image=bytes([seq]) * 65_536, **raw)
    producer.open.clear()
    async with stage.service(settings, producer=producer) as service:
        await wait_until(lambda: stage.model.batches)
        producer.open.set()
        results = await stage.bus.wait_for_results(240)
        assert service.pipeline is not None
        budget = service.pipeline.budget
        assert budget.peak_bytes <= budget.limit_bytes
        assert budget.peak_bytes > budget.limit_bytes // 4, "the burst did not test the budget"
    assert all(result.status == "inspected" for result in results)
    assert sequences(results) == {camera: list(range(60)) for camera in CAMERAS}


async def test_a_verdict_that_waits_for_the_broker_holds_no_image(stage: Stage) -> None:
    producer = UnreliableProducer(stage.bus.producer(stage.settings()))
    producer.open.clear()
    await stage.publish("a", 1, image=bytes(65_536), encoding="raw", raw=RAW_256, image_digest=None)
    async with stage.service(producer=producer) as service:
        await wait_until(lambda: service.pipeline is not None and len(service.pipeline.sink))
        assert service.pipeline is not None
        assert 0 < service.pipeline.budget.used_bytes < 10_000
        producer.open.set()


async def test_a_partition_that_comes_back_with_frames_still_in_flight_is_not_stalled(stage: Stage) -> None:
    gate, scoring = threading.Event(), threading.Event()

    def block(_size: int) -> None:
        scoring.set()
        gate.wait(60)

    stage.model.on_launch = block
    settings = stage.settings(drain_timeout_s=0.2)
    for seq in range(60):
        await stage.publish("a", seq)
    async with stage.service(settings) as service:
        await asyncio.to_thread(scoring.wait, 60)
        pipeline = service.pipeline
        assert pipeline is not None
        (epoch,) = {lease.epoch for lease in pipeline.source.leases}
        other = stage.bus.consumer(settings)
        await other.start(Bystander())
        await wait_until(lambda: any(lease.epoch > epoch for lease in pipeline.source.leases))
        await other.stop()
        await wait_until(lambda: len(pipeline.source.leases) == 8)
        gate.set()
        results = await stage.bus.wait_for_results(60)
    assert sequences(results) == {"a": list(range(60))}


async def test_a_budget_that_one_read_overruns_slows_frames_down_and_stops_none(stage: Stage) -> None:
    limits = {"max_frame_bytes": 1000, "max_pixels": 10_000, "max_bytes_in_flight": 140_000}
    for seq in range(300):
        await stage.publish("a", seq)
    async with stage.service(stage.settings(limits=limits)) as service:
        results = await stage.bus.wait_for_results(300)
        assert service.pipeline is not None
        assert service.pipeline.budget.peak_bytes > 140_000, "the read did not overrun the budget"
    assert sequences(results) == {"a": list(range(300))}


async def test_a_step_of_the_wall_clock_expires_nothing_that_is_in_flight(stage: Stage) -> None:
    stage.model.on_launch = lambda _size: stage.clock.step_wall(3600)
    await stage.publish("a", 1)
    async with stage.service():
        (result,) = await stage.bus.wait_for_results(1)
    assert result.status == "inspected"
    assert result.deadline_at is not None
    assert result.produced_at > result.deadline_at, "the clock was not stepped"


async def test_health_and_metrics_tell_what_happened(stage: Stage) -> None:
    await stage.publish("a", 0)
    await stage.publish("stranger", 1)
    async with stage.service() as service:
        await stage.bus.wait_for_results(2)
        await wait_until(lambda: not service.health.not_ready())
        registry = service.metrics.registry

        def value(name: str, **labels: str) -> float | None:
            return registry.get_sample_value(name, labels)

        await wait_until(lambda: value("inspector_commits_total", outcome="ok"))
        assert value("inspector_frames_total", camera="line/a", status="inspected", reason="none") == 1
        assert value("inspector_frames_total", camera="other", status="no_model", reason="unknown_camera") == 1
        assert value("inspector_deadletters_total", reason="unknown_camera") == 1
        assert value("inspector_batch_frames_count") == 1
        assert value("inspector_capture_to_result_seconds_count", camera="line/a") == 1
        await wait_until(lambda: value("inspector_consumer_lag_frames", partition="0") == 0)
        for stage_name in ("decode", "queue", "score", "encode", "sequence", "send"):
            assert (value("inspector_stage_seconds_count", stage=stage_name) or 0) >= 1, stage_name
