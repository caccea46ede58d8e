"""What a verdict says, of sound frames and of bad ones, on both buses."""

from __future__ import annotations

import struct
import sys
import threading
import zlib
from typing import Any

import msgpack
import pytest

from inspector.inflight.frame import Frame, Outgoing
from inspector.stages.encode import Encoder
from schemas import encode, frame_headers, identity_from_headers, result_id_of_record
from tests.buses import wait_until
from tests.fakes import FakeModel
from tests.frames import Headers, camera_frame, png, record_of
from tests.stage import CAMERAS, Stage, by_seq, sequences


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
            assert {"queue", "decode", "batch", "score"} <= set(result.stage_seconds)
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
    assert identity_from_headers(sent.headers) == result.identity
    assert headers["is_simulated"] == b"0"


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
        assert value("inspector_verdicts_total", camera="line/a", anomaly_class="ok") == 1
        assert value("inspector_verdicts_total", camera="other", anomaly_class="nok") == 1
        assert value("inspector_answers_total", camera="line/a", timing="on_time") == 1
        assert value("inspector_anomaly_score_ratio_count", camera="line/a") == 1
        assert value("inspector_classification_threshold_ratio", camera="line/b") == 0.5
        assert value("inspector_model_since_timestamp_seconds", camera="line/b") == stage.clock.wall_us() / 1e6
        assert (value("inspector_memory_idle_bytes") or 0) > 0 or sys.platform != "linux"
        assert value("inspector_clock_offset_seconds_count", camera="line/a") == 1
        assert value("inspector_ready") == 1
        assert value("process_resident_memory_bytes") or sys.platform != "linux"
        assert value("inspector_batch_frames_count") == 1
        assert value("inspector_capture_to_result_seconds_count", camera="line/a") == 1
        await wait_until(lambda: value("inspector_consumer_lag_frames", partition="0") == 0)
        for stage_name in ("decode", "queue", "score", "encode", "sequence", "send"):
            assert (value("inspector_stage_seconds_count", stage=stage_name) or 0) >= 1, stage_name


async def test_the_encoding_of_each_frame_of_a_batch_is_a_step_of_its_own(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watchdog's limit is for one picture."""
    encode_one = Encoder.encode
    steps: list[int] = []
    async with stage.service(stage.settings(batching={"max_batch_size": 6, "linger_ms": 9000})) as service:

        def encode_watched(self: Encoder, frame: Frame) -> Outgoing:
            steps.append(service._workers.working.steps()[threading.current_thread().name])
            return encode_one(self, frame)

        monkeypatch.setattr(Encoder, "encode", encode_watched)
        for seq in range(6):
            await stage.publish("a", seq)
        await stage.bus.wait_for_results(6)
    assert stage.model.batches == [6]
    assert len(steps) == len(set(steps)) == 6
