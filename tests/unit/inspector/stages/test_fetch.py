"""Fetching pictures: cameras in turn, bytes reserved before, each frame's time, and what a slow store may not do."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from inspector.anomaly.types import Thresholds
from inspector.inflight.budget import FRAME_OVERHEAD_BYTES, Budget
from inspector.inflight.frame import Frame, Refusal
from inspector.inflight.lease import Lease
from inspector.inflight.route import Route
from inspector.settings.places.store import StoreSettings
from inspector.settings.settings import Settings
from inspector.stages.fetch import COPIES, FetchStage
from inspector.store.allowed import AllowedPlace, AllowList
from inspector.store.errors import ClaimError
from schemas import ModelReference, RecordSource
from tests.fakes import FakeClock, FakeModel
from tests.frames import png
from tests.stores import claim

PICTURE = png()
PREFIX = "s3://bucket/lines/"
ROUTE = Route(
    "line/a",
    FakeModel(Thresholds(classification=0.5, segmentation=0.5)),
    ModelReference(name="m", version="1", digest="0" * 64),
    None,
    1,
)


class SlowStore:
    """Gives a picture when the test says so."""

    def __init__(self) -> None:
        self.asked: dict[str, asyncio.Future[bytes]] = {}

    async def read(self, allowed: AllowedPlace, size_bytes: int) -> bytes:
        name = allowed.uri.removeprefix(PREFIX)
        self.asked[name] = asyncio.get_running_loop().create_future()
        assert size_bytes == len(png())
        return await self.asked[name]


class Bench:
    def __init__(self, *, limit: int = 1 << 20, readable: int = 1 << 19, idle: bool = False, **settings: Any) -> None:
        self.budget = Budget(limit)
        self.clock = FakeClock()
        self.store = SlowStore()
        self.back: list[tuple[Frame, Refusal | None]] = []
        self.crashes: list[BaseException] = []
        self.idle = idle
        values: dict[str, Any] = {"allowed_prefixes": (PREFIX,), "endpoint": "http://127.0.0.1:1", "concurrency": 3}
        self.stage = FetchStage(
            Settings(store=StoreSettings(**(values | settings))),
            self.store,
            budget=self.budget,
            is_idle=lambda: self.idle,
            on_fetched=lambda frame, refusal: self.back.append((frame, refusal)),
            on_crash=self.crashes.append,
            clock=self.clock,
        )
        self.stage._readable_bytes = readable

    def push(self, camera: str, seq: int, *, left_s: float = 100.0) -> Frame:
        uri = f"{PREFIX}{camera}{seq}.png"
        message = claim(camera, seq, self.clock.wall_us(), uri)
        frame = Frame(
            lease=Lease(("frames", 0), 1, cap=10),
            source=RecordSource(topic="frames", partition=0, offset=seq),
            key=None,
            value=b"v",
            identity=message.identity,
            camera=f"line/{camera}",
            deadline_at=None,
            deadline_s=self.clock.monotonic_s() + left_s,
            reservation=self.budget.hold(FRAME_OVERHEAD_BYTES + 1),
            message=message,
            route=ROUTE,
            claim=AllowList([PREFIX]).find(uri),
        )
        self.stage.push(frame)
        return frame

    async def settle(self) -> None:
        """Let tasks go on until each waits for something again."""
        for _ in range(10):
            await asyncio.sleep(0)

    async def give(self, name: str, outcome: bytes | Exception = PICTURE) -> None:
        future = self.store.asked[name]
        if isinstance(outcome, bytes):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)
        await self.settle()


async def test_a_picture_is_reserved_before_it_is_fetched_and_comes_back_in_its_message() -> None:
    bench = Bench()
    frame = bench.push("a", 1)
    before = bench.budget.used_bytes
    bench.stage.start()
    assert bench.budget.used_bytes == before + COPIES * len(png())
    await bench.settle()
    await bench.give("a1.png")
    assert bench.back == [(frame, None)]
    assert frame.message is not None
    assert frame.message.image == png()
    assert bench.budget.used_bytes == before + len(png())


async def test_as_many_are_fetched_at_once_as_are_set_and_one_place_is_left_to_other_cameras() -> None:
    bench = Bench(concurrency=3)
    for seq in range(5):
        bench.push("a", seq)
    bench.stage.start()
    await bench.settle()
    assert sorted(bench.store.asked) == ["a0.png", "a1.png"]
    for seq in range(2):
        bench.push("b", seq, left_s=50)
    bench.stage.start()
    await bench.settle()
    assert sorted(bench.store.asked) == ["a0.png", "a1.png", "b0.png"]
    await bench.give("a0.png")
    bench.stage.start()
    await bench.settle()
    assert "b1.png" in bench.store.asked, "of equal turns the most urgent is next"


async def test_what_has_no_room_waits_unless_nothing_else_could_make_room() -> None:
    bench = Bench(readable=COPIES * len(png()) + 2 * (FRAME_OVERHEAD_BYTES + 1))
    for seq in range(2):
        bench.push("a", seq)
    bench.stage.start()
    await bench.settle()
    assert list(bench.store.asked) == ["a0.png"]
    await bench.give("a0.png")
    tight = Bench(readable=1)
    tight.push("a", 0)
    tight.stage.start()
    await tight.settle()
    assert tight.store.asked == {}
    tight.idle = True
    tight.stage.start()
    await tight.settle()
    assert list(tight.store.asked) == ["a0.png"], "nobody else would give any back"


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ClaimError("image_missing", "gone"), "undecodable", "image_missing"),
        (ClaimError("image_mismatch", "other"), "undecodable", "image_mismatch"),
        (ClaimError("image_refused", "no"), "undecodable", "image_refused"),
        (ClaimError("image_unreachable", "down"), "failed", "image_unreachable"),
        (ZeroDivisionError("a surprise"), "failed", "internal"),
    ],
)
async def test_what_goes_wrong_is_named_and_gives_back_its_bytes(error: Exception, status: str, reason: str) -> None:
    bench = Bench()
    frame = bench.push("a", 1)
    before = bench.budget.used_bytes
    bench.stage.start()
    await bench.settle()
    await bench.give("a1.png", error)
    ((back, refusal),) = bench.back
    assert back is frame
    assert refusal is not None
    assert (refusal.status, refusal.reason) == (status, reason)
    assert bench.budget.used_bytes == before


async def test_a_store_that_does_not_answer_is_given_up_at_the_deadline_or_at_the_time_limit() -> None:
    bench = Bench(fetch_timeout_ms=200)
    soon, later = bench.push("a", 1, left_s=0.05), bench.push("b", 2)
    bench.stage.start()
    await asyncio.sleep(0.19)
    assert [frame for frame, _ in bench.back] == [soon]
    await asyncio.sleep(0.02)
    reasons = {frame: refusal and (refusal.status, refusal.reason) for frame, refusal in bench.back}
    assert reasons == {soon: ("expired", "late_before_decode"), later: ("failed", "image_unreachable")}
    assert all(future.cancelled() for future in bench.store.asked.values())


async def test_a_frame_that_waits_for_a_place_is_answered_when_its_time_is_over_though_nothing_else_happens() -> None:
    bench = Bench(concurrency=1)
    bench.push("a", 0)
    bench.stage.start()
    await bench.settle()
    waiting = bench.push("b", 1, left_s=0.05)
    bench.stage.start()
    bench.clock.advance(0.06)
    await asyncio.sleep(0.06)
    assert bench.back == [(waiting, Refusal("expired", "late_before_decode"))]
    assert list(bench.store.asked) == ["a0.png"]


async def test_frames_that_nobody_wants_do_not_come_back() -> None:
    bench = Bench(concurrency=2)
    frames = [bench.push("a", seq) for seq in range(3)]
    bench.stage.start()
    await bench.settle()
    bench.stage.forget(frames.__contains__)
    await bench.settle()
    assert (len(bench.stage), bench.back, bench.crashes) == (0, [], [])
    assert bench.store.asked["a0.png"].cancelled()


async def test_an_error_behind_the_stage_is_told() -> None:
    bench = Bench()
    frame = bench.push("a", 1)
    bench.stage.start()
    await bench.settle()
    frame.message = None
    await bench.give("a1.png")
    assert [str(crash) for crash in bench.crashes] == ["a frame without a message names no picture"]


async def test_of_frames_that_wait_only_the_newest_is_fetched_where_that_is_wanted() -> None:
    bench = Bench()
    frames = [bench.push("a", seq, left_s=50.0 + seq) for seq in range(3)]
    for frame in frames:
        frame.route = dataclasses.replace(ROUTE, freshest_first=True)
    bench.stage.start()
    await bench.settle()
    assert list(bench.store.asked) == ["a2.png"]
    assert bench.back == [(frame, Refusal("expired", "superseded")) for frame in frames[:2]]


async def test_frames_that_wait_may_be_taken_back_and_others_stay() -> None:
    bench = Bench()
    first, second = bench.push("a", 1), bench.push("a", 2)
    assert bench.stage.remove(lambda frame: frame is first) == [first]
    assert len(bench.stage) == 1
    bench.stage.forget(lambda frame: frame is first)
    bench.stage.start()
    await bench.settle()
    assert list(bench.store.asked) == ["a2.png"]
    bench.stage.forget(lambda frame: frame is first)
    await bench.give("a2.png")
    assert bench.back == [(second, None)]


async def test_a_picture_that_fits_exactly_is_fetched_and_one_byte_less_is_no_room() -> None:
    held = 2 * (FRAME_OVERHEAD_BYTES + 1)
    for readable, asked in ((held + 2 * COPIES * len(PICTURE), 2), (held + 2 * COPIES * len(PICTURE) - 1, 1)):
        bench = Bench(readable=readable)
        for camera in "ab":
            bench.push(camera, 1)
        bench.stage.start()
        await bench.settle()
        assert len(bench.store.asked) == asked


async def test_a_store_with_one_place_gives_it_to_whoever_has_its_turn() -> None:
    bench = Bench(concurrency=1)
    bench.push("a", 1)
    bench.push("b", 1)
    bench.stage.start()
    await bench.settle()
    assert list(bench.store.asked) == ["a1.png"]


@pytest.mark.parametrize(("left_s", "reason"), [(0.25, "late_before_decode"), (0.2505, "image_unreachable")])
async def test_who_was_slower_the_store_or_the_frames_own_time_is_told(left_s: float, reason: str) -> None:
    bench = Bench(fetch_timeout_ms=250)
    bench.push("a", 1, left_s=left_s)
    bench.stage.start()
    await asyncio.sleep(1)
    ((_, refusal),) = bench.back
    assert refusal is not None
    assert refusal.reason == reason
    words = {"late_before_decode": "not fetched in time", "image_unreachable": "did not give it within 0.25 s"}
    assert words[reason] in refusal.detail


async def test_what_goes_wrong_is_told_in_its_own_words() -> None:
    bench = Bench()
    for seq, error in enumerate((ClaimError("image_missing", "gone"), ZeroDivisionError("a surprise"))):
        bench.push("a", seq)
        bench.stage.start()
        await bench.settle()
        await bench.give(f"a{seq}.png", error)
    assert [refusal and refusal.detail for _, refusal in bench.back] == ["gone", "ZeroDivisionError: a surprise"]


async def test_an_error_behind_a_frame_whose_time_is_over_is_told_too() -> None:
    bench = Bench(concurrency=1)

    def fail(_frame: Frame, _refusal: Refusal | None) -> None:
        raise RuntimeError("nobody takes it")

    bench.push("a", 0)
    bench.push("b", 1, left_s=101.0)
    bench.stage.start()
    bench.stage._on_fetched = fail
    bench.clock.advance(102.0)
    await asyncio.sleep(101.0)
    assert [str(crash) for crash in bench.crashes] == ["nobody takes it"] * 2, "of the slow one and of the late one"
