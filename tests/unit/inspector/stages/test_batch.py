"""The batcher: a batch closes when asked, or when its linger is over, never later than the deadline allows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from inspector.stages.batch import Batcher


@dataclass(frozen=True, eq=True)
class Waiter:
    camera: str = "a"
    model: str = "m"
    deadline_s: float = 100.0


def test_without_linger_one_frame_is_a_batch_at_once() -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=8)
    frame = Waiter()
    batcher.push(frame, 1.0)
    assert batcher.pull(1.0).batch == [frame]
    assert batcher.due_s() is None


@pytest.mark.parametrize(
    ("waiting", "slots", "sizes"),
    [(8, 1, [8]), (8, 2, [4, 4]), (9, 2, [5, 4]), (3, 4, [1, 1, 1]), (40, 2, [8, 8]), (1, 2, [1])],
)
def test_free_slots_share_what_waits(waiting: int, slots: int, sizes: list[int]) -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=8)
    for number in range(waiting):
        batcher.push(Waiter(camera=str(number)), 0.0)
    batches = [batcher.pull(0.0, slots=free).batch for free in range(slots, 0, -1)]
    assert [len(batch) for batch in batches if batch] == sizes


def test_with_a_linger_a_batch_is_not_shared_out() -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=8, linger_s=0.1)
    for number in range(8):
        batcher.push(Waiter(camera=str(number)), 0.0)
    assert len(batcher.pull(0.0, slots=2).batch) == 8


@pytest.mark.parametrize(("inputs", "size"), [(1, 8), (3, 2), (8, 1), (336, 1)])
@pytest.mark.parametrize("linger_s", [0.0, 60.0])
def test_a_batch_is_counted_in_inputs_of_the_network(inputs: int, size: int, linger_s: float) -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=8, linger_s=linger_s, inputs=lambda _: inputs)
    for number in range(8):
        batcher.push(Waiter(camera=str(number)), 0.0)
    assert batcher.due_s() == 0.0
    assert len(batcher.pull(0.0).batch) == size


def test_a_linger_waits_for_company_and_ends_in_time() -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=8, linger_s=2.0)
    batcher.push(Waiter(), 1.0)
    assert batcher.pull(2.9).batch == []
    batcher.push(Waiter("b"), 2.9)
    assert batcher.due_s() == 3.0
    assert len(batcher.pull(3.0).batch) == 2


def test_a_full_batch_does_not_linger() -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=2, linger_s=60.0)
    batcher.push(Waiter("a"), 1.0)
    batcher.push(Waiter("b"), 1.0)
    assert len(batcher.pull(1.0).batch) == 2


def test_frames_of_another_model_do_not_fill_a_batch() -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=2, linger_s=60.0)
    batcher.push(Waiter("a", "m"), 1.0)
    batcher.push(Waiter("b", "n"), 1.0)
    assert batcher.pull(1.0).batch == []


def test_a_whole_batch_does_not_wait_behind_a_model_that_lingers() -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=2, linger_s=1.0)
    batcher.push(Waiter("a", "m"), 0.0)
    assert batcher.pull(0.0, linger=False).batch, "so camera b has its turn first"
    batcher.push(Waiter("b", "n"), 0.0)
    for _ in range(2):
        batcher.push(Waiter("a", "m"), 0.0)
    assert [frame.model for frame in batcher.pull(0.5).batch] == ["m", "m"]
    assert batcher.pull(1.4).batch == []
    assert [frame.model for frame in batcher.pull(1.5).batch] == ["n"]


@given(
    linger_s=st.floats(0.01, 50),
    deadline_s=st.floats(1, 200),
    service_s=st.floats(0, 50),
    steps=st.lists(st.floats(0, 100), min_size=1).map(sorted),
)
def test_the_linger_ends_no_later_than_the_deadline_less_the_service_time(
    linger_s: float, deadline_s: float, service_s: float, steps: list[float]
) -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=8, linger_s=linger_s)
    batcher.observe("m", 1, service_s)
    batcher.push(Waiter(deadline_s=deadline_s), 0.0)
    for now_s in steps:
        pull = batcher.pull(now_s)
        if pull.batch or pull.expired:
            assert bool(pull.expired) == (now_s >= deadline_s)
            return
        assert now_s < linger_s
        assert now_s < deadline_s - service_s
    assume(steps[-1] < min(linger_s, deadline_s - service_s))


def test_at_a_drain_the_linger_is_off() -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=8, linger_s=60.0)
    batcher.push(Waiter(), 1.0)
    assert batcher.pull(1.0, linger=False).batch == [Waiter()]


def test_an_expired_frame_leaves_even_while_the_others_linger() -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=8, linger_s=60.0)
    late = Waiter("a", deadline_s=5.0)
    batcher.push(Waiter("b", deadline_s=500.0), 1.0)
    batcher.push(late, 1.0)
    pull = batcher.pull(5.0)
    assert (pull.batch, pull.expired) == ([], [late])
    assert len(batcher) == 1


def test_a_frame_that_is_found_late_while_a_batch_is_taken_is_handed_on_too() -> None:
    """It stood behind a fresh one of its camera; lost here it would never get a verdict."""
    batcher: Batcher[Waiter] = Batcher(max_size=8)
    fresh, late, other = Waiter(deadline_s=50.0), Waiter(deadline_s=5.0), Waiter("b", deadline_s=4.0)
    for frame in (fresh, late, other):
        batcher.push(frame, 1.0)
    pull = batcher.pull(10.0)
    assert pull.batch == [fresh]
    assert sorted(pull.expired, key=lambda frame: frame.deadline_s) == [other, late]
    assert len(batcher) == 0


def test_what_is_needed_follows_what_is_observed_and_models_have_their_own() -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=8)
    frame = Waiter()
    assert batcher.needed_s(frame, 1) == 0.0
    batcher.observe("m", 1, 1.0)
    assert batcher.needed_s(frame, 1) == 1.0
    assert batcher.needed_s(frame, 4) == 4.0
    for _ in range(100):
        batcher.observe("m", 1, 2.0)
    batcher.observe_after("a", 0.5)
    assert batcher.needed_s(frame, 1) == pytest.approx(2.5, abs=1e-2)
    assert batcher.needed_s(Waiter("b"), 1) == pytest.approx(2.0, abs=1e-2)
    assert batcher.needed_s(Waiter(model="n"), 1) == 0.0


def learnt(
    *, max_size: int = 8, each_s: float = 0.1, fixed_s: float = 0.0, rounds: int = 20, **options: Any
) -> Batcher[Waiter]:
    """A batcher that knows how long batches of its models take."""
    batcher: Batcher[Waiter] = Batcher(max_size=max_size, **options)
    for size in (1, 2, 4, 8) * rounds:
        for model in "mn":
            batcher.observe(model, size, fixed_s + each_s * size)
    return batcher


def test_what_cannot_be_in_time_is_given_up_and_the_rest_is_scored() -> None:
    batcher = learnt()
    late = [Waiter("a", deadline_s=0.05), Waiter("b", deadline_s=0.09)]
    soon = [Waiter("a", deadline_s=5.0), Waiter("c", deadline_s=5.0)]
    for frame in late + soon:
        batcher.push(frame, 0.0)
    pull = batcher.pull(0.0)
    assert pull.expired == late
    assert pull.batch == soon


@pytest.mark.parametrize("expected_s", [10.0, 1000.0])
def test_one_frame_is_always_tried_so_that_a_wrong_estimate_heals(expected_s: float) -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=8)
    for _ in range(20):
        batcher.observe("m", 1, expected_s)
    given_up, rounds = 1, 0
    while given_up:
        for camera in "abcd":
            batcher.push(Waiter(camera, deadline_s=1.0), 0.0)
        pull = batcher.pull(0.0)
        assert len(pull.batch) >= 1
        given_up = len(pull.expired)
        batcher.observe("m", len(pull.batch), 0.02 * len(pull.batch))
        rounds += 1
    assert rounds <= 100


def test_a_wrong_estimate_of_one_model_heals_while_another_floods() -> None:
    batcher = learnt()
    for _ in range(200):
        batcher.observe("n", 1, 2.0)
    scored: list[str] = []
    for _ in range(40):
        for _ in range(8):
            batcher.push(Waiter("a", "m", deadline_s=2.0), 0.0)
        batcher.push(Waiter("b", "n", deadline_s=1.0), 0.0)
        pull = batcher.pull(0.0)
        scored += [frame.model for frame in pull.batch]
        if pull.batch[0].model == "n":
            batcher.observe("n", 1, 0.1)
    assert scored.count("n") >= 20


def test_a_batch_is_as_small_as_time_demands_on_a_cpu() -> None:
    """Of eight frames that have half a second four are in time together, and then the others are not any more."""
    batcher = learnt(each_s=0.1)
    for camera in "abcdefgh":
        batcher.push(Waiter(camera, deadline_s=0.5), 0.0)
    pull = batcher.pull(0.0)
    assert 4 <= len(pull.batch) <= 5
    assert pull.expired == []
    assert batcher.pull(0.45).expired, "what is left cannot be in time"


def test_a_batch_is_as_large_as_it_may_be_on_a_gpu() -> None:
    batcher = learnt(each_s=0.001, fixed_s=0.2)
    late = Waiter("h", deadline_s=0.1)
    for camera in "abcdefg":
        batcher.push(Waiter(camera, deadline_s=0.5), 0.0)
    batcher.push(late, 0.0)
    pull = batcher.pull(0.0)
    assert (len(pull.batch), pull.expired) == (7, [late])


def test_another_models_frames_do_not_make_a_batch_look_full() -> None:
    """Two frames of m have time for a batch of two, though eight frames wait."""
    batcher = learnt(each_s=0.1)
    for camera in "ab":
        batcher.push(Waiter(camera, "m", deadline_s=0.35), 0.0)
    for camera in "cdefgh":
        batcher.push(Waiter(camera, "n", deadline_s=5.0), 0.0)
    pull = batcher.pull(0.0)
    assert [frame.camera for frame in pull.batch] == ["a", "b"]
    assert pull.expired == []


def test_the_frames_of_one_model_are_as_many_as_it_may_have_whoever_is_given_up() -> None:
    """All frames of the one whose turn it was are late; the other cuts its pictures into tiles and has fewer of them in a batch."""
    batcher = learnt(each_s=0.1, inputs=lambda frame: 8 if frame.model == "n" else 1)
    for _ in range(4):
        batcher.push(Waiter("a", "m", deadline_s=0.05), 0.0)
        batcher.push(Waiter("b", "n", deadline_s=5.0), 0.0)
    sizes = [(pull.batch[0].model, len(pull.batch)) for _ in range(5) if (pull := batcher.pull(0.0)).batch]
    assert sorted(sizes) == [("m", 1), *[("n", 1)] * 4]


@given(
    frames=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from("mn"), st.floats(0.01, 3)), min_size=1, max_size=25
    ),
    each_s=st.floats(0, 0.5),
    fixed_s=st.floats(0, 0.5),
    slots=st.integers(1, 3),
)
def test_whatever_is_expected_the_device_never_idles_and_nothing_is_lost(
    frames: list[tuple[str, str, float]], each_s: float, fixed_s: float, slots: int
) -> None:
    batcher = learnt(each_s=each_s, fixed_s=fixed_s, rounds=2)
    waiting = [Waiter(f"{camera}{model}", model, deadline_s) for camera, model, deadline_s in frames]
    for frame in waiting:
        batcher.push(frame, 0.0)
    seen: list[Waiter] = []
    while len(batcher):
        pull = batcher.pull(0.0, slots=slots)
        assert 1 <= len(pull.batch) <= 8
        assert len({frame.model for frame in pull.batch}) == 1
        seen += pull.batch + pull.expired
    assert sorted(seen, key=repr) == sorted(waiting, key=repr)


@given(cameras=st.integers(1, 8), each_s=st.floats(0.001, 0.1), slots=st.integers(1, 4))
def test_without_contention_nothing_is_given_up(cameras: int, each_s: float, slots: int) -> None:
    """Each camera sends a frame now and then, all of them in time for one batch."""
    batcher = learnt(each_s=each_s, rounds=5)
    for number in range(20):
        for camera in range(cameras):
            batcher.push(Waiter(str(camera), deadline_s=number + 0.1 + each_s * 8 * 1.5), float(number))
        while len(batcher):
            pull = batcher.pull(float(number), slots=slots)
            assert pull.expired == []


def test_only_the_newest_frame_of_a_camera_is_scored_where_that_is_wanted() -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=8, freshest=lambda frame: frame.camera == "a")
    for number in range(3):
        batcher.push(Waiter("a", deadline_s=10.0 + number), 0.0)
        batcher.push(Waiter("b", deadline_s=10.0 + number), 0.0)
    pull = batcher.pull(0.0)
    assert sorted((frame.camera, frame.deadline_s) for frame in pull.batch) == [
        ("a", 12.0),
        ("b", 10.0),
        ("b", 11.0),
        ("b", 12.0),
    ]
    assert [frame.deadline_s for frame in pull.superseded] == [10.0, 11.0]
    assert len(batcher) == 0


def test_the_wait_of_a_frame_counts_those_before_it_and_the_slots() -> None:
    batcher, wide = learnt(), learnt(slots=4)
    for each in (batcher, wide):
        for _ in range(16):
            each.push(Waiter("a"), 0.0)
        assert each.full(Waiter("b"))
    assert batcher.wait_s(Waiter("a")) == pytest.approx(4 * 0.8, rel=0.05), "two batches before, one that runs, its own"
    assert batcher.wait_s(Waiter("b")) == pytest.approx((2 + 1 / 8) * 0.8, rel=0.05), (
        "one frame of a has its turn before"
    )
    assert wide.wait_s(Waiter("a")) == pytest.approx(2.5 * 0.8, rel=0.05)


def test_cost_and_capacity_follow_the_pace() -> None:
    batcher = learnt(each_s=0.01, slots=2, weight=lambda frame: 4.0 if frame.camera == "a" else 1.0)
    assert batcher.capacity_per_s(Waiter()) == pytest.approx(200, rel=0.01)
    assert batcher.cost(Waiter("b")) == pytest.approx(0.01, rel=0.01)
    assert batcher.cost(Waiter("a")) == pytest.approx(0.0025, rel=0.01)
    unknown = Waiter("b", "unknown")
    assert batcher.capacity_per_s(unknown) == math.inf
    assert 0 < batcher.cost(unknown) < 1e-3


def test_removed_frames_are_gone() -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=8)
    kept, dropped = Waiter("a"), Waiter("b")
    batcher.push(kept, 1.0)
    batcher.push(dropped, 1.0)
    assert batcher.remove(lambda frame: frame is dropped) == [dropped]
    assert batcher.pull(1.0).batch == [kept]


def test_frames_that_come_after_all_were_removed_wait_anew() -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=8, linger_s=2.0)
    batcher.push(Waiter("a"), 1.0)
    batcher.push(Waiter("b"), 1.5)
    batcher.remove(lambda frame: frame.camera == "a")
    assert batcher.due_s() == 3.0, "the one that is left has waited since"
    batcher.remove(lambda frame: frame.camera == "b")
    assert batcher.due_s() is None
    batcher.push(Waiter("c"), 10.0)
    assert batcher.due_s() == 12.0


def test_frames_that_come_after_all_expired_wait_anew() -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=8, linger_s=2.0)
    batcher.push(Waiter(deadline_s=1.5), 1.0)
    assert len(batcher.pull(1.6).expired) == 1
    batcher.push(Waiter(), 10.0)
    assert batcher.due_s() == 12.0


def test_what_a_full_batch_leaves_behind_waits_anew() -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=2, linger_s=2.0)
    for camera in "abc":
        batcher.push(Waiter(camera), 1.0)
    assert len(batcher.pull(2.0).batch) == 2
    assert batcher.due_s() == 4.0


@pytest.mark.parametrize(("max_size", "linger_s"), [(0, 0.0), (1, -0.1)])
def test_senseless_settings_are_refused(max_size: int, linger_s: float) -> None:
    with pytest.raises(ValueError, match="max_size"):
        Batcher(max_size=max_size, linger_s=linger_s)


@dataclass(frozen=True, eq=True)
class Numbered(Waiter):
    number: int = 0


def test_a_frame_that_was_decoded_after_those_behind_it_is_scored_before_them() -> None:
    """Their verdicts would wait for its own."""
    batcher: Batcher[Numbered] = Batcher(max_size=2, order=lambda frame: frame.number)
    for number in (2, 3, 1):
        batcher.push(Numbered(number=number), 0.0)
    assert [frame.number for frame in batcher.pull(0.0).batch] == [1, 2]


def test_of_frames_that_are_due_together_the_last_is_tried_so_that_none_waits_for_it() -> None:
    batcher: Batcher[Numbered] = Batcher(max_size=8, order=lambda frame: frame.number)
    batcher.observe("m", 1, 50.0)
    for number in range(4):
        batcher.push(Numbered(number=number, deadline_s=10.0 - number * 1e-9), 0.0)
    pull = batcher.pull(0.0)
    assert [frame.number for frame in pull.batch] == [3]
    assert [frame.number for frame in pull.expired] == [0, 1, 2]
