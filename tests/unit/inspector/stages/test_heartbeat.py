"""Frames of the models' own pictures: for whom, when, and that they are what the model was tested with."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inspector.anomaly.model.bundle import read_dl_model
from inspector.anomaly.types import DLSample, Thresholds
from inspector.errors import BusError
from inspector.inflight.budget import FRAME_OVERHEAD_BYTES, HEARTBEATS, Budget
from inspector.inflight.frame import Frame, Refusal
from inspector.inflight.route import Model, Route
from inspector.settings.settings import Settings
from inspector.stages.decode import decode_golden
from inspector.stages.heartbeat import Heartbeats
from schemas import ModelReference, image_digest
from tests.fakes import FakeClock, FakeModel
from tests.models import make_bundle

REFERENCE = ModelReference(name="m", version="1", digest="0" * 64)


class Bench:
    """Heartbeats of two cameras: `own` has partition 3 by the settings, `hashed` has 5 by its key."""

    def __init__(self, model: Model | None = None) -> None:
        cameras: list[dict[str, Any]] = [
            {"line_id": "line", "camera_id": "own", "model": "m", "partition": 3},
            {"line_id": "line", "camera_id": "hashed", "model": "m"},
        ]
        settings = Settings.model_validate({"models": {"m": "m"}, "cameras": cameras})
        self.frames_topic = settings.topics.frames_topic
        self.held: set[tuple[str, int]] = set()
        self.taken: list[Frame] = []
        self.budget = Budget(1 << 20)
        self.model = model or FakeModel(Thresholds(classification=0.5, segmentation=0.5))
        self.routes = [Route(f"line/{camera}", self.model, REFERENCE, None, 500_000) for camera in ("own", "hashed")]
        self.heartbeats = Heartbeats(
            settings,
            lambda: self.routes,
            self.taken.append,
            self.budget,
            lambda: self.held,
            self.partition_for,
            FakeClock(),
        )
        self.heartbeats.prepare()

    async def partition_for(self, topic: str, key: bytes) -> int:
        assert (topic, key) == (self.frames_topic, b"line/hashed")
        return 5

    async def beat(self, *partitions: int) -> list[str]:
        """Beat once with these partitions; return the cameras."""
        self.held = {(self.frames_topic, number) for number in partitions}
        before = len(self.taken)
        for route in self.routes:
            if route.model.golden_images:
                await self.heartbeats.beat(route)
        return [frame.identity.camera_id or "" for frame in self.taken[before:]]

    def finish(self) -> None:
        for frame in self.taken:
            frame.enter(None, 0.0)


async def test_a_process_beats_for_the_cameras_whose_partition_it_has() -> None:
    bench = Bench()
    assert await bench.beat() == []
    for partitions, cameras in (((3,), ["own"]), ((5,), ["hashed"]), ((3, 5), ["own", "hashed"]), ((4,), [])):
        assert await bench.beat(*partitions) == cameras
        bench.finish()


async def test_a_beat_that_is_under_way_is_not_joined_by_a_second() -> None:
    bench = Bench()
    assert await bench.beat(3) == ["own"]
    assert await bench.beat(3, 5) == ["hashed"]
    bench.finish()
    assert await bench.beat(3) == ["own"]


async def test_it_is_simulated_has_a_queue_of_its_own_and_is_due_as_its_camera_s_frames() -> None:
    bench = Bench()
    await bench.beat(3)
    (frame,) = bench.taken
    now_us = FakeClock().wall_us()
    assert frame.is_heartbeat
    assert frame.is_simulated
    assert frame.camera == "heartbeat/line/own"
    assert (frame.identity.captured_at, frame.deadline_at) == (now_us, now_us + 500_000)
    assert frame.expected_score == bench.model.golden_scores[0]


async def test_every_beat_has_an_id_of_its_own() -> None:
    bench = Bench()
    for _ in range(3):
        await bench.beat(3, 5)
        bench.finish()
    assert len({(frame.identity, frame.source.offset) for frame in bench.taken}) == 6


async def test_pictures_take_turns_and_score_as_the_bundle_records(tmp_path: Path) -> None:
    model = read_dl_model(make_bundle(tmp_path))
    assert len(model.golden_scores) == len(model.golden_images) == 2
    bench = Bench(model)
    for _ in range(2):
        await bench.beat(3)
        bench.finish()
    for frame, image in zip(bench.taken, model.golden_images, strict=True):
        assert frame.message is not None
        sample = decode_golden(frame.message)
        assert isinstance(sample, DLSample)
        np.testing.assert_array_equal(sample.image, image)
        (result,) = model.launch([sample.image]).finish()
        assert result.anomaly_score == pytest.approx(frame.expected_score, rel=1e-4)


async def test_a_picture_that_changed_in_memory_is_no_heartbeat() -> None:
    bench = Bench()
    await bench.beat(3)
    message = bench.taken[0].message
    assert message is not None
    spoilt = message.model_copy(update={"image": bytes(len(message.image))})
    outcome = decode_golden(spoilt)
    assert outcome[:2] == ("failed", "internal")  # type: ignore[index]


async def test_an_error_that_nobody_thought_of_costs_one_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    await bench.beat(3)
    message = bench.taken[0].message
    assert message is not None

    def fail(*_: object, **__: object) -> DLSample:
        raise ZeroDivisionError("a surprise")

    monkeypatch.setattr("inspector.stages.decode.decode_image", fail)
    assert decode_golden(message) == Refusal("failed", "internal", "ZeroDivisionError: a surprise")


async def test_without_room_there_is_no_beat() -> None:
    bench = Bench()
    taken = bench.budget.hold(bench.budget.free_bytes)
    assert await bench.beat(3) == []
    taken.release()
    assert await bench.beat(3) == ["own"]


async def test_beats_of_one_model_share_its_picture_and_its_digest() -> None:
    """What is copied and hashed for each beat is milliseconds of the event loop, and bytes in no budget."""
    bench = Bench()
    await bench.beat(3, 5)
    first, second = (frame.message for frame in bench.taken)
    assert first is not None
    assert second is not None
    assert first.image is second.image
    assert first.image_digest == image_digest(first.image)
    assert (first.camera_id, second.camera_id) == ("own", "hashed")
    assert [frame.message and frame.message.identity for frame in bench.taken] == [
        frame.identity for frame in bench.taken
    ]


async def test_cameras_beat_one_after_the_other_in_the_interval() -> None:
    bench = Bench()
    bench.held = {(bench.frames_topic, 3), (bench.frames_topic, 5)}
    at_s: list[float] = []

    def take(frame: Frame) -> None:
        at_s.append(asyncio.get_running_loop().time())
        frame.enter(None, 0.0)

    bench.heartbeats._take = take
    running = asyncio.create_task(bench.heartbeats.run(1.0))
    begun_s = asyncio.get_running_loop().time()
    await asyncio.sleep(2.1)
    running.cancel()
    assert [at - begun_s for at in at_s] == pytest.approx([0.5, 1.0, 1.5, 2.0]), "half of the interval, for two cameras"


async def test_a_partition_that_nobody_tells_costs_a_beat_and_not_the_others(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.held = {(bench.frames_topic, 3), (bench.frames_topic, 5)}

    async def fail(_topic: str, _key: bytes) -> int:
        raise BusError("no broker answers")

    bench.heartbeats._partition_for = fail
    running = asyncio.create_task(bench.heartbeats.run(1.0))
    await asyncio.sleep(1.1)
    running.cancel()
    assert [frame.identity.camera_id for frame in bench.taken] == ["own"]
    assert caplog.messages == ["no heartbeat: no broker answers"]


async def test_a_beat_holds_and_decodes_what_its_picture_takes_and_is_numbered() -> None:
    bench = Bench()
    await bench.beat(3, 5)
    first, second = bench.taken
    clock = FakeClock()
    map_bytes = 64 * 64 * 4
    assert (first.map_bytes, first.decoding_bytes) == (map_bytes, 64 * 64 + map_bytes)
    assert (first.deadline_s, first.entered_s) == (clock.monotonic_s() + 0.5, clock.monotonic_s())
    assert bench.budget.used_by(HEARTBEATS) == bench.budget.used_bytes == 2 * FRAME_OVERHEAD_BYTES
    topic = Settings().topics.heartbeats_topic
    assert [(frame.source.topic, frame.source.partition, frame.source.offset) for frame in bench.taken] == [
        (topic, 0, 0),
        (topic, 0, 1),
    ]
    assert first.lease.in_flight == 2
    assert [frame.route for frame in bench.taken] == bench.routes
    assert (first.identity.part_id, first.identity.seq, second.identity.seq) == ("golden-0", 0, 1)


async def test_a_picture_wide_or_in_colour_is_beaten_as_it_is() -> None:
    model = FakeModel(Thresholds(classification=0.5, segmentation=0.5))
    model.golden_images = (np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3), np.full((2, 8), 7, np.uint8))
    model.golden_scores = (0.25, 0.5)
    bench = Bench(model)
    for _ in range(3):
        await bench.beat(3)
        bench.finish()
    assert [frame.expected_score for frame in bench.taken] == [0.25, 0.5, 0.25]
    for frame, image in zip(bench.taken, (*model.golden_images, model.golden_images[0]), strict=True):
        assert frame.message is not None
        sample = decode_golden(frame.message)
        assert isinstance(sample, DLSample)
        np.testing.assert_array_equal(sample.image, image)
        assert frame.decoding_bytes == image.nbytes + frame.map_bytes
        assert (frame.identity.line_id, frame.identity.camera_id) == ("line", "own")


async def test_there_is_a_beat_in_exactly_the_room_that_it_needs() -> None:
    bench = Bench()
    rest = bench.budget.hold(bench.budget.free_bytes - FRAME_OVERHEAD_BYTES + 1)
    assert await bench.beat(3) == []
    rest.shrink_to(rest.size_bytes - 1)
    assert await bench.beat(3) == ["own"]


async def test_a_model_without_a_picture_has_no_beat() -> None:
    model = FakeModel(Thresholds(classification=0.5, segmentation=0.5))
    empty: Sequence[Any] = ()
    model.golden_images = model.golden_scores = empty
    bench = Bench(model)
    assert await bench.beat(3, 5) == []
    running = asyncio.create_task(bench.heartbeats.run(0.001))
    await asyncio.sleep(0.05)
    assert (running.done(), bench.taken) == (False, [])
    running.cancel()


def test_after_a_swap_the_new_models_pictures_are_beaten_and_the_old_ones_are_let_go() -> None:
    async def swap() -> None:
        bench = Bench()
        new = FakeModel(Thresholds(classification=0.5, segmentation=0.5))
        new.golden_images, new.golden_scores = (np.full((64, 64), 200, np.uint8),), (0.78125,)
        old, bench.routes = bench.model, [Route("line/own", new, REFERENCE, None, 500_000)]
        assert await bench.beat(3) == [], "its messages are not made yet"
        running = asyncio.create_task(bench.heartbeats.run(0.001))
        async with asyncio.timeout(60):
            while not bench.taken:
                await asyncio.sleep(0.001)
        running.cancel()
        assert bench.taken[0].expected_score == 0.78125
        assert old not in bench.heartbeats._messages

    asyncio.run(swap())  # pictures are copied on a thread
