"""How large a batch may be, and what is foreseen of it: by room, inputs, slots and the time that is left."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from inspector.stages.batch import Batcher


@dataclass(frozen=True, eq=True)
class Waiter:
    camera: str = "a"
    deadline_s: float = 100.0
    model: str = "m"


def filled(batcher: Batcher[Waiter], count: int, *, deadline_s: float = 100.0) -> Batcher[Waiter]:
    for number in range(count):
        batcher.push(Waiter(str(number), deadline_s), 0.0)
    return batcher


@pytest.mark.parametrize(("room", "size"), [(None, 8), (3, 3), (8, 8), (20, 8)])
def test_a_batch_has_no_more_frames_than_the_device_has_room_for(room: int | None, size: int) -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=8, room=lambda _: room)
    assert len(filled(batcher, 9).pull(0.0).batch) == size


@pytest.mark.parametrize(("inputs", "most"), [(1, 8), (4, 2), (5, 1), (8, 1), (9, 1)])
def test_the_device_has_enough_to_do_when_a_whole_batch_waits(inputs: int, most: int) -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=8, inputs=lambda _: inputs)
    assert not filled(batcher, most - 1).full(Waiter())
    batcher.push(Waiter("z"), 0.0)
    assert batcher.full(Waiter())


@pytest.mark.parametrize(("left_s", "size"), [(4.01, 4), (4.0, 3), (1.5, 1), (0.5, 1)])
def test_a_batch_is_the_largest_that_is_done_before_the_deadlines_of_all_in_it(left_s: float, size: int) -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=8)
    for number in range(1, 9):
        batcher.observe("m", number, float(number))
    filled(batcher, 4, deadline_s=left_s)
    pull = batcher.pull(0.0)
    assert len(pull.batch) == size


def test_what_a_camera_needs_after_the_score_makes_a_batch_smaller() -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=8)
    for number in range(1, 9):
        batcher.observe("m", number, float(number))
    batcher.observe_after("3", 1.5)
    assert len(filled(batcher, 4, deadline_s=4.5).pull(0.0).batch) == 3


def test_a_linger_ends_when_a_whole_batch_would_not_be_in_time_any_more() -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=2, linger_s=60.0)
    for number in range(1, 3):
        batcher.observe("m", number, float(number))
    batcher.push(Waiter(deadline_s=10.0), 0.0)
    assert batcher.due_s() == pytest.approx(8.0)
    assert batcher.pull(7.5).batch == []
    assert batcher.pull(8.0).batch == [Waiter(deadline_s=10.0)]


def test_nothing_is_known_of_frames_that_do_not_wait() -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=1)
    assert (len(batcher), batcher.due_s(), batcher.count_of("a")) == (0, None, 0)
    assert batcher.pull(0.0).batch == batcher.pull(0.0).expired == []
    batcher.push(Waiter(), 3.0)
    batcher.push(Waiter("b"), 4.0)
    assert (len(batcher), batcher.due_s(), batcher.count_of("a"), batcher.count_of("c")) == (2, 3.0, 1, 0)


def test_a_batch_of_one_without_a_linger_is_allowed_and_the_refusal_names_what_was_given() -> None:
    Batcher[Waiter](max_size=1, linger_s=0.0)
    with pytest.raises(ValueError, match="not 0 and -1"):
        Batcher[Waiter](max_size=0, linger_s=-1)


def test_without_a_linger_a_batch_is_due_at_once_and_with_one_at_its_end() -> None:
    for linger_s, due_s in ((0.0, 1.0), (0.5, 1.5)):
        batcher: Batcher[Waiter] = Batcher(max_size=8, linger_s=linger_s)
        batcher.push(Waiter(), 1.0)
        batcher.push(Waiter("b"), 1.2)
        assert batcher.due_s() == due_s


def test_a_frame_whose_deadline_is_now_is_late_and_one_that_is_due_a_moment_later_is_scored() -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=8)
    now, later = Waiter("a", 5.0), Waiter("b", 5.001)
    batcher.push(now, 0.0)
    batcher.push(later, 0.0)
    pull = batcher.pull(5.0)
    assert (pull.batch, pull.expired) == ([later], [now])
