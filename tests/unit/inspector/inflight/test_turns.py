"""The turns: cameras in turn, most urgent first, never reordered within a camera, nothing lost."""

from __future__ import annotations

import random
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.inflight.turns import TurnQueues


@dataclass(frozen=True)
class Waiter:
    camera: str
    model: str
    deadline_s: float
    number: int


waiters = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("mn"), st.integers(0, 20)), max_size=30).map(
    lambda rows: [Waiter(camera, model, float(deadline), n) for n, (camera, model, deadline) in enumerate(rows)]
)


def filled(frames: list[Waiter]) -> TurnQueues[Waiter]:
    queues: TurnQueues[Waiter] = TurnQueues()
    for frame in frames:
        queues.push(frame)
    return queues


@given(waiters, st.integers(1, 8), st.integers(0, 20))
def test_a_take_is_of_one_model_keeps_each_cameras_order_and_loses_nothing(
    frames: list[Waiter], limit: int, now: int
) -> None:
    queues = filled(frames)
    seen: list[Waiter] = []
    while len(queues):
        taken, expired, superseded = queues.take(limit, now)
        assert superseded == []
        assert taken or expired
        assert len(taken) <= limit
        assert len({frame.model for frame in taken}) <= 1
        assert all(frame.deadline_s > now for frame in taken)
        assert all(frame.deadline_s <= now for frame in expired)
        for camera in "abcd":
            for group in (taken, expired):
                numbers = [frame.number for frame in group if frame.camera == camera]
                assert numbers == sorted(numbers)
        seen += taken + expired
    assert sorted(frame.number for frame in seen) == [frame.number for frame in frames]
    for camera in "abcd":
        alive = [frame.number for frame in seen if frame.camera == camera and frame.deadline_s > now]
        assert alive == sorted(alive)


@given(waiters, st.integers(1, 8))
def test_the_most_urgent_head_is_always_taken(frames: list[Waiter], limit: int) -> None:
    queues = filled(frames)
    first = queues.most_urgent()
    taken = queues.take(limit, -1.0).frames
    assert (first is None) == (not frames)
    if first is not None:
        assert taken[0].deadline_s == first.deadline_s


def test_a_flood_of_one_camera_leaves_every_other_camera_its_turn() -> None:
    flood = [Waiter("a", "m", 1.0, n) for n in range(50)]
    others = [Waiter(camera, "m", 9.0, 50 + n) for n, camera in enumerate("bcd")]
    taken = filled(flood + others).take(8, 0.0).frames
    assert {frame.camera for frame in taken} == set("abcd")
    assert sum(frame.camera == "a" for frame in taken) == 5


def test_cameras_of_the_same_urgency_are_not_favoured_beyond_one_frame() -> None:
    frames = [Waiter(camera, "m", 5.0, n) for n, camera in enumerate("aaaabbbbcccc")]
    taken = filled(frames).take(7, 0.0).frames
    shares = sorted(sum(frame.camera == camera for frame in taken) for camera in "abc")
    assert shares == [2, 2, 3]


def test_removing_keeps_the_rest_in_order() -> None:
    queues = filled([Waiter("a", "m", 5.0, n) for n in range(6)])
    assert [frame.number for frame in queues.remove(lambda frame: frame.number % 2 == 0)] == [0, 2, 4]
    assert len(queues) == 3
    assert [frame.number for frame in queues.take(9, 0.0).frames] == [1, 3, 5]
    assert queues.most_urgent() is None


class Flood:
    """Cameras that always have frames waiting, and one that sends now and then."""

    def __init__(self, models: dict[str, str], cost: Callable[[Waiter], float] = lambda _frame: 1.0) -> None:
        self.models = models
        self.queues: TurnQueues[Waiter] = TurnQueues(cost)
        self.number = 0

    def send(self, camera: str, deadline_s: float | None = None) -> None:
        self.number += 1
        due_s = 10.0 + self.number if deadline_s is None else deadline_s
        self.queues.push(Waiter(camera, self.models[camera], due_s, self.number))

    def fill(self, cameras: str, least: int = 10) -> None:
        for camera in cameras:
            for _ in range(least - sum(frame.camera == camera for frame in self.queues)):
                self.send(camera)

    def take(self, limit: int) -> list[str]:
        return [frame.camera for frame in self.queues.take(limit, 0.0).frames]


@given(
    weights=st.lists(st.sampled_from([0.25, 0.5, 1.0, 2.0, 3.0]), min_size=2, max_size=4),
    own_models=st.booleans(),
    limit=st.integers(1, 8),
)
def test_cameras_that_always_wait_share_by_weight(weights: list[float], *, own_models: bool, limit: int) -> None:
    cameras = "abcd"[: len(weights)]
    weight = dict(zip(cameras, weights, strict=True))
    flood = Flood({camera: camera if own_models else "m" for camera in cameras}, lambda frame: 1 / weight[frame.camera])
    counts: Counter[str] = Counter()
    for _ in range(60):
        flood.fill(cameras)
        counts.update(flood.take(limit))
    served = [counts[camera] / weight[camera] for camera in cameras]
    assert max(served) - min(served) <= (limit + 1) / min(weights), "apart by more than a batch"


def test_a_camera_whose_frames_cost_more_has_fewer_of_them() -> None:
    flood = Flood({"a": "slow", "b": "fast"}, lambda frame: 0.5 if frame.camera == "a" else 0.1)
    counts: Counter[str] = Counter()
    for _ in range(120):
        flood.fill("ab")
        counts.update(flood.take(1))
    assert (counts["a"], counts["b"]) == (20, 100)


@given(
    others=st.integers(1, 4),
    own_models=st.booleans(),
    limit=st.integers(1, 8),
    before=st.integers(1, 9),
    weight=st.sampled_from([0.01, 0.5, 1.0]),
    urgent=st.booleans(),
)
def test_a_camera_that_comes_back_waits_a_round_at_most_whoever_floods(
    *, others: int, own_models: bool, limit: int, before: int, weight: float, urgent: bool
) -> None:
    """Also where those that flood have little weight, so that their tags are far ahead, or frames that are more urgent."""
    cameras = "abcd"[:others]
    models = {camera: camera if own_models else "m" for camera in cameras} | {"z": "m"}
    flood = Flood(models, lambda frame: 1.0 if frame.camera == "z" else 1 / weight)
    for _ in range(3):  # it sends, pauses, and sends again
        for _ in range(before):
            flood.fill(cameras)
            flood.take(limit)
        flood.fill(cameras)
        flood.send("z", 1.0 if urgent else 1e6)
        served = [flood.take(limit) for _ in range(others + 1)]
        assert any("z" in batch for batch in served), "each of the others is once before it at most"


def test_a_pause_earns_no_credit() -> None:
    """A camera that was silent has its share from now on, not what it left to others."""
    flood = Flood({"a": "m", "b": "m"})
    for _ in range(50):
        flood.fill("a")
        flood.take(1)
    flood.fill("ab", 100)
    counts = Counter(camera for _ in range(20) for camera in flood.take(1))
    assert counts["a"] in {9, 10}


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 3)), min_size=1, max_size=60))
def test_nobody_starves_while_queues_empty_and_refill(rounds: list[tuple[str, int]]) -> None:
    flood = Flood(dict.fromkeys("abcdz", "m"))
    flood.send("z")
    waited = 0
    for camera, count in rounds:
        for _ in range(count):
            flood.send(camera)
        served = flood.take(1)
        waited = 0 if served == ["z"] else waited + 1
        if served == ["z"]:
            flood.send("z")
        assert waited <= 2 * len("abcd"), "each once for the round before, and once for this one"


@given(st.integers(1, 8), st.integers(1, 100))
def test_cameras_that_are_gone_are_forgotten_when_their_round_is_over(limit: int, others: int) -> None:
    flood = Flood(dict.fromkeys("a", "m") | {str(number): "m" for number in range(others)})
    for number in range(others):
        flood.fill("a")
        flood.send(str(number))
        flood.take(limit)
    for _ in range(others + 2):
        flood.fill("a", 20)
        flood.take(limit)
    assert set(flood.queues._tags) == {"a"}


def test_of_a_camera_that_wants_the_freshest_the_newest_is_taken_and_the_older_are_superseded() -> None:
    queues: TurnQueues[Waiter] = TurnQueues(freshest=lambda frame: frame.camera == "a")
    for number in range(3):
        queues.push(Waiter("a", "m", 5.0 + number, number))
        queues.push(Waiter("b", "m", 5.5 + number, 10 + number))
    first = queues.next()
    assert first is not None
    taken = queues.take(2, 0.0)
    assert [frame.number for frame in taken.frames] == [10, 2], "the older ones of a make it no more urgent"
    assert [frame.number for frame in taken.superseded] == [0, 1]
    assert first == taken.frames[0]
    assert [frame.number for frame in queues] == [11, 12]
    assert len(queues) == 2


def test_of_frames_that_are_due_together_the_last_is_the_newest() -> None:
    queues: TurnQueues[Waiter] = TurnQueues(freshest=lambda _frame: True)
    for number in range(3):
        queues.push(Waiter("a", "m", 5.0, number))
    assert [frame.number for frame in queues.take(2, 0.0).frames] == [2]


@given(waiters, st.integers(1, 8), st.integers(0, 20))
def test_where_the_freshest_count_nothing_is_lost_either(frames: list[Waiter], limit: int, now: int) -> None:
    queues: TurnQueues[Waiter] = TurnQueues(freshest=lambda frame: frame.camera in "ab")
    for frame in frames:
        queues.push(frame)
    seen: list[Waiter] = []
    while len(queues):
        taken = queues.take(limit, now)
        for group in taken:
            for camera in "abcd":
                numbers = [frame.number for frame in group if frame.camera == camera]
                assert numbers == sorted(numbers)
        for camera in "ab":
            assert sum(frame.camera == camera for frame in taken.frames) <= 1
        assert all(frame.camera in "ab" for frame in taken.superseded)
        assert all(frame.deadline_s > now for frame in taken.frames)
        seen += [frame for group in taken for frame in group]
    assert sorted(frame.number for frame in seen) == [frame.number for frame in frames]


@given(waiters, st.sampled_from("abcd"))
def test_how_many_are_ahead_is_how_many_are_taken_before(frames: list[Waiter], camera: str) -> None:
    queues = filled([Waiter(frame.camera, "m", frame.deadline_s, frame.number) for frame in frames])
    queues.take(3, -1.0)
    last = Waiter(camera, "m", 99.0, 99)
    ahead = queues.ahead_of(last)
    queues.push(last)
    taken: list[Waiter] = []
    while not taken or taken[-1] is not last:
        taken += queues.take(1, -1.0).frames
    assert len(taken) - 1 == ahead


@dataclass(frozen=True, eq=False)
class Stranger:
    """A frame of a camera whose end can be watched."""

    camera: object
    model: str = "m"
    deadline_s: float = 5.0


class Camera:
    """The name of a queue."""


@pytest.mark.parametrize(
    "empty",
    [
        lambda queues: queues.take(1, 0.0),
        lambda queues: queues.drop_expired(9.0),
        lambda queues: queues.remove(lambda _frame: True),
    ],
    ids=["take", "drop_expired", "remove"],
)
def test_a_queue_that_is_empty_leaves_nothing_behind(empty: Callable[[TurnQueues[Any]], object]) -> None:
    """Strangers may make up a camera for each frame."""
    queues: TurnQueues[Any] = TurnQueues()
    camera = Camera()
    gone = weakref.ref(camera)
    queues.push(Stranger(camera))
    empty(queues)
    assert len(queues) == 0
    assert queues.most_urgent() is None
    del camera
    assert gone() is None


@given(waiters, st.randoms(use_true_random=False))
def test_whatever_the_order_in_which_they_come_a_cameras_frames_are_taken_in_theirs(
    frames: list[Waiter], rng: random.Random
) -> None:
    queues: TurnQueues[Waiter] = TurnQueues(order=lambda frame: frame.number)
    shuffled = frames[:]
    rng.shuffle(shuffled)
    for frame in shuffled:
        queues.push(frame)
    taken = []
    while queues:
        taken += queues.take(3, -1.0).frames
    for camera in "abcd":
        assert [f for f in taken if f.camera == camera] == [f for f in frames if f.camera == camera]


@given(waiters, st.integers(0, 20))
def test_taking_the_next_is_taking_one(frames: list[Waiter], now: int) -> None:
    one, other = filled(frames), filled(frames)
    while (frame := (one.drop_expired(float(now)), one.next())[1]) is not None:
        taken = one.take_next(frame, float(now))
        assert taken.frames == [frame] == other.take(1, float(now)).frames
        assert len(one) == len(other)


def test_after_a_take_what_cannot_be_met_any_more_is_dropped_by_what_it_needs() -> None:
    first, second, third = (Waiter("a", "m", deadline, n) for n, deadline in enumerate((10.0, 1.5, 2.5)))
    taken = filled([first, second, third]).take(1, 1.0, lambda _frame: 1.0)
    assert (taken.frames, taken.late) == ([first], [second])


def test_who_may_not_be_taken_has_no_turn_and_leaves_it_to_others() -> None:
    first, second, other = Waiter("a", "m", 1.0, 0), Waiter("a", "m", 2.0, 1), Waiter("b", "m", 9.0, 2)
    queues = filled([first, second, other])
    assert queues.next() == first
    assert queues.next(lambda frame: frame.camera == "b") == other
    assert queues.next(lambda frame: frame is second) is None, "only heads are asked for"
    assert (len(queues), queues.cameras, queues.count_of("a"), queues.count_of("c")) == (3, 2, 2, 0)
    assert filled([]).next() is None


def test_a_batch_is_of_the_model_that_is_asked_for_whoever_has_the_turn() -> None:
    urgent, other = Waiter("a", "m", 1.0, 0), Waiter("b", "n", 9.0, 1)
    queues = filled([urgent, other])
    assert queues.take(4, 0.0, model="n").frames == [other]
    assert queues.take(4, 0.0).frames == [urgent]
    assert queues.take(4, 0.0).frames == []


def test_a_frame_that_costs_more_has_its_camera_wait_for_longer() -> None:
    queues: TurnQueues[Waiter] = TurnQueues(lambda frame: 2.5 if frame.camera == "a" else 1.0)
    for number in range(4):
        for camera in "ab":
            queues.push(Waiter(camera, "m", 10.0 + number + (camera == "b"), number))
    order = [queues.take(1, 0.0).frames[0].camera for _ in range(8)]
    assert order == ["a", "b", "b", "b", "a", "b", "a", "a"]


@pytest.mark.parametrize(("camera", "ahead"), [("a", 3 + 2), ("b", 3 + 3), ("z", 1 + 1)])
def test_how_many_are_ahead_depends_on_what_each_costs(camera: str, ahead: int) -> None:
    """Three frames of a cost one each, three of b two each."""
    queues: TurnQueues[Waiter] = TurnQueues(lambda frame: 2.0 if frame.camera == "b" else 1.0)
    for number in range(3):
        for each in "ab":
            queues.push(Waiter(each, "m", 5.0, number))
    assert queues.ahead_of(Waiter(camera, "m", 9.0, 9)) == ahead


def test_late_heads_are_dropped_up_to_the_first_that_is_in_time() -> None:
    frames = [Waiter("a", "m", deadline, n) for n, deadline in enumerate((1.0, 2.0, 9.0, 1.0))]
    queues = filled([*frames, Waiter("b", "m", 2.0, 4)])
    assert queues.drop_expired(1.5, lambda _frame: 0.5) == [frames[0], frames[1], Waiter("b", "m", 2.0, 4)]
    assert list(queues) == frames[2:]
    assert len(queues) == 2
    assert queues.drop_expired(1.0) == [], "it stands behind a fresh one"


def test_cameras_whose_frames_were_never_taken_are_forgotten_too() -> None:
    queues = filled([Waiter("a", "m", 9.0, 0), Waiter("a", "m", 9.0, 1)])
    queues.take(1, 0.0)
    for number in range(3):
        queues.push(Waiter(f"stranger {number}", "m", 1.0, number))
    assert len(queues.drop_expired(1.0)) == 3
    assert set(queues._tags) == {"a"}
