"""The batcher: a batch closes when asked, or when its linger is over, never later than the deadline allows."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from inspector.stages.batch import Batcher


@dataclass(frozen=True)
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
    batcher.observe("m", service_s)
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


def test_the_estimate_follows_what_is_observed_and_models_have_their_own() -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=8)
    assert batcher.estimated_service_s("m") == 0.0
    batcher.observe("m", 1.0)
    assert batcher.estimated_service_s("m") == 1.0
    for _ in range(100):
        batcher.observe("m", 2.0)
    assert batcher.estimated_service_s("m") == pytest.approx(2.0, abs=1e-3)
    assert batcher.estimated_service_s("n") == 0.0


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
