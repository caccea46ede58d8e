"""The budget: what is reserved is given back, exactly once, and never more than there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.inflight.budget import Budget, Reservation


@given(
    st.lists(st.tuples(st.sampled_from(["hold", "grow", "shrink", "release"]), st.integers(0, 60), st.integers(0, 9)))
)
def test_used_bytes_are_the_sum_of_what_is_held(steps: list[tuple[str, int, int]]) -> None:
    budget = Budget(100)
    held: list[Reservation] = []
    released: set[Reservation] = set()
    for step, size, which in steps:
        if step == "hold":
            held.append(budget.hold(size))
        elif held:
            reservation = held[which % len(held)]
            before, free = reservation.size_bytes, budget.free_bytes
            if step == "grow":
                assert reservation.grow(size) == (size <= free)
                grows = size <= free and reservation not in released
                assert reservation.size_bytes == before + (size if grows else 0)
            elif step == "shrink":
                reservation.shrink_to(size)
                assert reservation.size_bytes == min(before, size)
            else:
                reservation.release()
                released.add(reservation)
                assert reservation.size_bytes == 0
        assert budget.used_bytes == sum(reservation.size_bytes for reservation in held)
        assert budget.free_bytes == max(0, 100 - budget.used_bytes)
        assert budget.peak_bytes >= budget.used_bytes


def test_all_that_is_free_may_be_had_and_not_a_byte_more() -> None:
    reservation = Budget(10).hold(4)
    assert not reservation.grow(7)
    assert reservation.grow(6)
    assert not reservation.grow(1)


def test_what_is_released_twice_is_given_back_once() -> None:
    budget = Budget(10)
    reservation, other = budget.hold(6), budget.hold(3)
    reservation.release()
    reservation.release()
    assert (budget.free_bytes, other.size_bytes) == (7, 3)


def test_what_was_given_back_books_nothing_more() -> None:
    """A frame that was given up may come back from a thread: nobody would release it again."""
    budget = Budget(10)
    reservation = budget.hold(6, "a")
    reservation.release()
    assert reservation.grow(5), "its holder goes on, and drops it"
    reservation.force(20)
    assert (reservation.size_bytes, budget.used_bytes, budget.used_by("a")) == (0, 0, 0)


def test_what_must_be_had_is_had_beyond_the_limit_and_given_back_like_any_other() -> None:
    budget = Budget(10)
    reservation = budget.hold(8)
    assert not reservation.grow(7)
    reservation.force(7)
    assert (reservation.size_bytes, budget.used_bytes, budget.free_bytes, budget.peak_bytes) == (15, 15, 0, 15)
    reservation.release()
    assert budget.used_bytes == 0


@pytest.mark.parametrize("limit", [0, -1])
def test_a_budget_without_bytes_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="limit_bytes"):
        Budget(limit)


def test_a_negative_reservation_is_refused() -> None:
    with pytest.raises(ValueError, match="reserve"):
        Budget(10).hold(-1)
