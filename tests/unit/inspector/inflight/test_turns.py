"""The turns: most urgent first, cameras in turn, never reordered within a camera, nothing lost."""

from __future__ import annotations

import weakref
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
        taken, expired = queues.take(limit, now)
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
    taken, _ = queues.take(limit, -1.0)
    assert (first is None) == (not frames)
    if first is not None:
        assert taken[0].deadline_s == first.deadline_s


def test_a_flood_of_one_camera_leaves_every_other_camera_its_turn() -> None:
    flood = [Waiter("a", "m", 1.0, n) for n in range(50)]
    others = [Waiter(camera, "m", 9.0, 50 + n) for n, camera in enumerate("bcd")]
    taken, _ = filled(flood + others).take(8, 0.0)
    assert {frame.camera for frame in taken} == set("abcd")
    assert sum(frame.camera == "a" for frame in taken) == 5


def test_cameras_of_the_same_urgency_are_not_favoured_beyond_one_frame() -> None:
    frames = [Waiter(camera, "m", 5.0, n) for n, camera in enumerate("aaaabbbbcccc")]
    taken, _ = filled(frames).take(7, 0.0)
    shares = sorted(sum(frame.camera == camera for frame in taken) for camera in "abc")
    assert shares == [2, 2, 3]


def test_removing_keeps_the_rest_in_order() -> None:
    queues = filled([Waiter("a", "m", 5.0, n) for n in range(6)])
    assert [frame.number for frame in queues.remove(lambda frame: frame.number % 2 == 0)] == [0, 2, 4]
    assert len(queues) == 3
    assert [frame.number for frame in queues.take(9, 0.0)[0]] == [1, 3, 5]
    assert queues.most_urgent() is None


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
