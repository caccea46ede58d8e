"""A model on trial: it takes what the line leaves, within its room, and whatever is wrong with it ends it alone."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from typing_extensions import override

from inspector.anomaly.types import DLResult, DLSample, Thresholds
from inspector.bus.ports import Partition, ProducedRecord
from inspector.errors import BusError
from inspector.inflight.budget import FRAME_OVERHEAD_BYTES, Budget
from inspector.inflight.frame import Frame, Refusal, Trial
from inspector.inflight.route import Model, Route
from inspector.loop.workers import Workers
from inspector.observe.shadow import ShadowMetrics
from inspector.stages.shadow import MOST_FAULTS, MOST_UNSENT, ShadowParts, ShadowStage
from schemas import ModelReference, Reason
from tests.fakes import FakeBroker, FakeClock, FakeModel, FakeProducer
from tests.frames import camera_frame, png
from tests.inflight import inflight_frame

Done = Callable[[list[DLResult | Refusal]], None]

PICTURE_BYTES = FRAME_OVERHEAD_BYTES + len(png())


class Hands(Workers):
    """Threads whose jobs run when the test says so."""

    def __init__(self) -> None:
        super().__init__(1, lambda function: function(), lambda _exc: None)
        self.jobs: deque[tuple[Callable[[], Any], Callable[[Any], None]]] = deque()

    @override
    def submit(self, job: Callable[[], Any], done: Callable[[Any], None], *, urgent: bool = False) -> None:
        self.jobs.append((job, done))

    def run_all(self) -> None:
        while self.jobs:
            job, done = self.jobs.popleft()
            done(job())


class Scene:
    """A stage between a line that is idle or not, and a device that answers when asked."""

    def __init__(self, *, max_bytes: int = 1 << 20, budget_s: float = 1.0) -> None:
        self.clock, self.hands = FakeClock(), Hands()
        self.idle = True
        self.trials = {camera: route(camera) for camera in ("line/a", "line/b")}
        self.at_device: deque[tuple[Model, Done]] = deque()
        self.encoded: list[tuple[Trial, Reason]] = []
        self.ended: list[str] = []
        self.registry = CollectorRegistry()
        self.broker = FakeBroker({"shadow": 1})
        self.producer = FakeProducer(self.broker)
        metrics = ShadowMetrics(self.registry, list(self.trials))
        self.stage = ShadowStage(
            ShadowParts(self.hands, self.producer, metrics, self._end),
            max_bytes=max_bytes,
            find=self.trials.get,
            is_idle=lambda: self.idle,
            shortest_budget_s=lambda: budget_s,
            decode=self._decode,
            encode=self._encode,
            device=self,
            wake=lambda: None,
            clock=self.clock,
        )
        self.undecodable: Refusal | None = None

    def _end(self, ended: Route, why: str) -> None:
        self.ended.append(why)
        self.trials.pop(ended.camera, None)

    def _decode(self, _trial: Trial) -> DLSample | Refusal:
        if self.undecodable is not None:
            return self.undecodable
        return DLSample(np.zeros((4, 4), np.uint8), original_width=4, original_height=4, channels=1)

    def _encode(
        self, trial: Trial, _sample: DLSample | Refusal, outcome: DLResult | Refusal
    ) -> tuple[ProducedRecord, Reason]:
        reason: Reason = outcome.reason if isinstance(outcome, Refusal) else "none"
        self.encoded.append((trial, reason))
        return ProducedRecord("shadow", trial.camera.encode(), b"said", []), reason

    def try_out(self, model: Model, image: NDArray[np.uint8], done: Done) -> None:
        assert image.shape == (4, 4)
        self.at_device.append((model, done))

    def answer(self, outcome: DLResult | Refusal | None = None, *, took_s: float = 0.0) -> None:
        """Let the device give a score, or this."""
        self.clock.advance(took_s)
        _, done = self.at_device.popleft()
        done([outcome or DLResult(anomaly_score=0.1, anomaly_image=np.zeros((4, 4), np.float32))])

    def go(self, outcome: DLResult | Refusal | None = None, *, took_s: float = 0.0) -> None:
        """Take one frame the whole way."""
        self.stage.start()
        self.hands.run_all()
        self.stage.start()
        if self.at_device:
            self.answer(outcome, took_s=took_s)
        self.hands.run_all()

    def offer(self, *seqs: int, camera: str = "a") -> None:
        self.stage.offer([frame(camera, seq) for seq in seqs])

    def count(self, name: str, camera: str = "line/a") -> float:
        return self.registry.get_sample_value(f"inspector_shadow_{name}_total", {"camera": camera}) or 0


def route(camera: str) -> Route:
    model = FakeModel(Thresholds(classification=0.5, segmentation=0.5))
    return Route(camera, model, ModelReference(name="b", version="1", digest="b" * 64), None, 1_000_000)


def frame(camera: str, seq: int) -> Frame:
    made = inflight_frame(Budget(1 << 30).hold(0))
    made.message = camera_frame(camera, seq, 0)
    made.camera, made.identity = f"line/{camera}", made.message.identity
    return made


def test_no_frame_is_begun_and_none_goes_to_the_device_while_one_of_the_line_waits() -> None:
    scene = Scene()
    scene.idle = False
    scene.offer(1)
    scene.stage.start()
    assert not scene.hands.jobs, "not even decoded: the line needs the cores"
    scene.idle = True
    scene.stage.start()
    assert len(scene.hands.jobs) == 1
    scene.idle = False
    scene.hands.run_all()
    scene.stage.start()
    assert not scene.at_device, "frames of the line came meanwhile"
    scene.idle = True
    scene.stage.start()
    assert len(scene.at_device) == 1
    scene.answer()
    scene.hands.run_all()
    assert [reason for _, reason in scene.encoded] == ["none"]
    assert (scene.count("scored"), scene.count("shed"), scene.count("failed")) == (1, 0, 0)


def test_one_frame_is_with_the_shadow_at_a_time() -> None:
    scene = Scene()
    scene.offer(1, 2, 3)
    for _ in range(3):
        scene.stage.start()
    assert (len(scene.hands.jobs), len(scene.stage)) == (1, 2)
    scene.hands.run_all()
    for _ in range(3):
        scene.stage.start()
    assert (len(scene.at_device), len(scene.hands.jobs), len(scene.stage)) == (1, 0, 2)


def test_what_has_no_room_is_shed_and_no_camera_takes_it_all() -> None:
    scene = Scene(max_bytes=4 * PICTURE_BYTES)
    scene.offer(*range(6))
    assert (len(scene.stage), scene.stage.used_bytes, scene.count("shed")) == (4, 4 * PICTURE_BYTES, 2)
    scene.go()
    scene.offer(1, 2, 3, camera="b")
    assert scene.count("shed", "line/b") == 2, "there was room for one"
    scene.go()
    scene.offer(7)
    assert scene.count("shed") == 3, "camera a has its half"
    while len(scene.stage):
        scene.go()
    assert (scene.stage.used_bytes, scene.count("scored"), scene.count("scored", "line/b")) == (0, 4, 1)


def test_the_picture_that_is_scored_takes_room_until_its_record_is_made() -> None:
    """It is in memory as long: with room for one picture, no two are held."""
    scene = Scene(max_bytes=PICTURE_BYTES)
    scene.offer(1)
    for stage in ("decode", "device", "encode"):
        if stage == "device":
            scene.hands.run_all()
        scene.stage.start()
        if stage == "encode":
            scene.answer()
        scene.offer(2)
        held = len(scene.stage) + (scene.stage._current is not None)
        assert (held, scene.stage.used_bytes) == (1, PICTURE_BYTES), stage
    assert scene.count("shed") == 3
    scene.hands.run_all()
    assert scene.stage.used_bytes == 0
    scene.offer(3)
    assert (len(scene.stage), scene.count("shed")) == (1, 3)


def test_a_picture_above_the_room_is_shed() -> None:
    scene = Scene(max_bytes=PICTURE_BYTES - 1)
    scene.offer(1)
    assert (len(scene.stage), scene.count("shed")) == (0, 1)


def test_cameras_take_turns() -> None:
    scene = Scene()
    scene.offer(1, 2, 3)
    scene.offer(1, 2, camera="b")
    while len(scene.stage):
        scene.go()
    assert [trial.camera[-1] for trial, _ in scene.encoded] == ["a", "b", "a", "b", "a"]


def test_cameras_without_a_trial_and_heartbeats_are_not_its_business() -> None:
    scene = Scene()
    scene.offer(1, camera="c")
    beat = frame("a", 1)
    beat.expected_score = 0.125
    scene.stage.offer([beat])
    assert (len(scene.stage), scene.count("shed")) == (0, 0)


def test_a_trial_that_ends_leaves_nothing_behind() -> None:
    scene = Scene()
    scene.offer(1, 2, 3)
    scene.stage.start()
    scene.hands.run_all()
    del scene.trials["line/a"]
    scene.stage.start()
    assert (len(scene.stage), scene.stage.used_bytes, scene.count("shed")) == (0, 0, 3)
    assert not scene.at_device, "nor is what was decoded scored"


def test_what_is_decoded_for_a_trial_that_has_ended_is_not_kept() -> None:
    """Nor its model, whose memory is wanted."""
    scene = Scene()
    scene.offer(1)
    scene.stage.start()
    gone = weakref.ref(scene.trials.pop("line/a").model)
    scene.stage.start()
    scene.hands.run_all()
    scene.stage.start()
    gc.collect()
    assert gone() is None


def test_a_trial_that_follows_another_gets_none_of_its_frames_and_none_of_its_blame() -> None:
    scene = Scene()
    scene.offer(1, 2)
    scene.stage.start()
    scene.hands.run_all()
    scene.stage.start()
    second = scene.trials["line/a"] = route("line/a")
    scene.offer(3)
    assert (len(scene.stage), scene.count("shed")) == (1, 1)
    scene.answer(Refusal("failed", "out_of_memory"))
    scene.hands.run_all()
    assert scene.ended == [], "it was the other one that failed"
    scene.go()
    assert scene.encoded[-1][0].route is second


@pytest.mark.parametrize("at", ["the device", "encoding"])
def test_what_a_trial_that_has_ended_does_ends_none_that_follows_it(at: str) -> None:
    """Even where no frame was offered to the one that follows."""
    scene = Scene(budget_s=1.0)
    scene.offer(1)
    scene.stage.start()
    scene.hands.run_all()
    scene.stage.start()
    failed = Refusal("failed", "out_of_memory")
    if at == "encoding":
        scene.answer(failed)
    second = scene.trials["line/a"] = route("line/a")
    if at == "the device":
        scene.answer(failed, took_s=10.0)
    scene.hands.run_all()
    assert (scene.ended, scene.trials["line/a"]) == ([], second)


def test_a_model_that_fails_more_often_than_not_is_given_up_and_one_that_fails_now_and_then_is_not() -> None:
    scene = Scene()
    failed = Refusal("failed", "internal")
    for seq in range(2 * MOST_FAULTS):
        scene.offer(seq)
        scene.go(failed if seq % 2 else None)
    assert (scene.ended, scene.count("failed")) == ([], MOST_FAULTS)
    for seq in range(MOST_FAULTS - 1):
        assert scene.ended == [], seq
        scene.offer(100, 101)
        scene.go(failed)
    assert scene.ended == ["it cannot score the frames of this camera: internal"]
    assert (len(scene.stage), scene.count("shed")) == (0, MOST_FAULTS - 1)


def test_a_score_now_and_then_does_not_hide_that_a_model_fails() -> None:
    scene = Scene()
    frames = 0
    while not scene.ended and frames < MOST_UNSENT:
        scene.offer(frames)
        scene.go(None if frames % 4 == 3 else Refusal("failed", "internal"))
        frames += 1
    assert frames == MOST_FAULTS + 2, "the fourth was scored, and made up for one"


@pytest.mark.parametrize("reason", ["corrupt", "digest_mismatch", "too_large"])
def test_pictures_that_cannot_be_decoded_are_shed_and_count_against_no_model(reason: Reason) -> None:
    scene = Scene()
    scene.undecodable = Refusal("undecodable", reason)
    for seq in range(2 * MOST_FAULTS):
        scene.offer(seq)
        scene.go()
    assert (scene.ended, scene.encoded) == ([], [])
    assert (scene.count("shed"), scene.count("failed"), scene.stage.used_bytes) == (2 * MOST_FAULTS, 0, 0)
    scene.undecodable = None
    scene.offer(100)
    scene.go()
    assert scene.count("scored") == 1, "the next picture has its turn"


def test_pictures_whose_geometry_does_not_suit_the_model_count_as_failed_and_end_the_trial() -> None:
    scene = Scene()
    scene.undecodable = Refusal("failed", "geometry")
    for seq in range(MOST_FAULTS):
        scene.offer(seq)
        scene.go()
    assert scene.ended == ["it cannot score the frames of this camera: geometry"]
    assert ([reason for _, reason in scene.encoded], scene.count("failed")) == (["geometry"] * MOST_FAULTS, MOST_FAULTS)


def test_want_of_memory_ends_it_at_once() -> None:
    scene = Scene()
    scene.offer(1)
    scene.go(Refusal("failed", "out_of_memory"))
    assert scene.ended == ["it cannot score the frames of this camera: out_of_memory"]


def test_a_model_that_could_cost_the_line_a_deadline_is_given_up() -> None:
    scene = Scene(budget_s=1.0)
    for seq in range(MOST_FAULTS):
        assert scene.ended == []
        scene.offer(seq)
        scene.go(took_s=0.3)
    assert len(scene.ended) == 1
    assert "takes it 0.300 s, more than a quarter of the shortest budget" in scene.ended[0]


def test_a_model_that_is_slow_now_and_then_is_not_given_up() -> None:
    scene = Scene(budget_s=1.0)
    for seq in range(3 * MOST_FAULTS):
        scene.offer(seq)
        scene.go(took_s=0.3 if seq % 2 else 0.2)
    assert scene.ended == []


def test_a_fast_frame_now_and_then_does_not_hide_that_a_model_is_slow() -> None:
    scene = Scene(budget_s=1.0)
    frames = 0
    while not scene.ended and frames < MOST_UNSENT:
        scene.offer(frames)
        scene.go(took_s=0.2 if frames % 5 == 4 else 0.9)
        frames += 1
    assert frames == MOST_FAULTS + 2, "the fifth was fast, and made up for one"


def test_the_first_frame_that_takes_longer_than_the_shortest_budget_ends_a_trial() -> None:
    scene = Scene(budget_s=1.0)
    scene.offer(1, 2)
    scene.go(took_s=10.0)
    assert len(scene.ended) == 1
    assert "takes it 10.000 s, more than the whole of the shortest budget" in scene.ended[0]
    assert (len(scene.stage), scene.count("shed")) == (0, 1), "what waits is not scored any more"


async def test_what_was_said_is_sent_and_with_much_unsent_nothing_is_begun() -> None:
    scene = Scene()
    scene.offer(*range(MOST_UNSENT + 1))
    for _ in range(MOST_UNSENT):
        scene.go()
    scene.stage.start()
    assert (len(scene.hands.jobs), len(scene.stage)) == (0, 1)
    sending = asyncio.create_task(scene.stage.run())
    while len(scene.broker.log(("shadow", 0))) < MOST_UNSENT:
        await asyncio.sleep(0)
    sending.cancel()
    scene.stage.start()
    assert len(scene.hands.jobs) == 1


class Refusing(FakeProducer):
    """Takes nothing, at first."""

    is_refusing = True

    @override
    async def send(self, partition: Partition, records: Sequence[ProducedRecord]) -> int:
        if self.is_refusing:
            raise BusError("no broker answers")
        return await super().send(partition, records)


async def test_what_the_brokers_do_not_take_is_given_up_and_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("inspector.stages.shadow.RETRY_S", 0)
    scene = Scene()
    producer = scene.stage._producer = Refusing(scene.broker)
    sending = asyncio.create_task(scene.stage.run())
    scene.offer(1)
    scene.go()
    while not scene.count("shed"):
        await asyncio.sleep(0)
    assert "cannot be sent: no broker answers" in caplog.text
    producer.is_refusing = False
    scene.offer(2)
    scene.go()
    while not scene.broker.log(("shadow", 0)):
        await asyncio.sleep(0)
    sending.cancel()
    assert len(scene.broker.log(("shadow", 0))) == 1
