"""The pace of batches: a line through their seconds that follows what is seen and forgets hiccups."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.inflight.pace import OUTLIER, Pace

batches = st.lists(st.tuples(st.integers(1, 64), st.floats(0, 30)), max_size=60)


def learnt(*batches: tuple[int, float]) -> Pace:
    pace = Pace()
    for size, seconds in batches:
        pace.observe(size, seconds)
    return pace


def test_before_the_first_batch_nothing_is_expected_to_take_time() -> None:
    assert Pace().expected_s(8) == 0.0


def test_on_a_cpu_a_batch_takes_as_long_as_its_pictures() -> None:
    pace = learnt(*[(size, 0.02 * size) for size in (1, 8, 3, 5)] * 10)
    assert [pace.mean_s(size) for size in (1, 4, 8, 16)] == pytest.approx([0.02, 0.08, 0.16, 0.32])
    assert pace.expected_s(8) == pytest.approx(0.16, rel=0.1)


def test_on_a_gpu_a_batch_takes_hardly_longer_than_a_picture() -> None:
    pace = learnt(*[(size, 0.01 + 0.001 * size) for size in (1, 8, 3, 5)] * 10)
    assert [pace.mean_s(size) for size in (1, 8, 16)] == pytest.approx([0.011, 0.018, 0.026])


def test_batches_of_one_size_are_taken_for_those_of_a_cpu() -> None:
    assert learnt(*[(8, 0.16)] * 10).mean_s(2) == pytest.approx(0.04)


@pytest.mark.parametrize("factor", [0.1, 0.5, 2.0, 10.0])
def test_a_lasting_change_is_learnt(factor: float) -> None:
    pace = learnt(*[(8, 0.1)] * 50, *[(8, 0.1 * factor)] * 100)
    assert pace.mean_s(8) == pytest.approx(0.1 * factor, rel=0.01)
    assert pace.expected_s(8) == pytest.approx(0.1 * factor, rel=0.1)


def test_a_slow_start_is_forgotten_with_the_next_batch() -> None:
    assert learnt((1, 5.0), (1, 0.02)).expected_s(1) == 0.02


def test_a_hiccup_is_not_the_pace() -> None:
    steady = [(8, 0.1)] * 30
    assert learnt(*steady, (8, 30.0)).expected_s(8) < 0.1 * (1 + 0.2 * OUTLIER)
    assert learnt(*steady, (8, 30.0), *steady).expected_s(8) == pytest.approx(0.1, rel=0.05)


def test_much_faster_batches_are_believed_when_they_last() -> None:
    slow = [(8, 1.0)] * 30
    assert learnt(*slow, (8, 0.1)).mean_s(8) == pytest.approx(0.91)
    assert learnt(*slow, *[(8, 0.1)] * 3).expected_s(8) == pytest.approx(0.1)


def test_what_varies_is_expected_to_take_longer_than_its_mean() -> None:
    pace = learnt(*[(8, 0.1), (8, 0.2)] * 30)
    assert pace.mean_s(8) == pytest.approx(0.15, rel=0.1)
    assert pace.expected_s(8) == pytest.approx(0.2, rel=0.1)


@given(batches)
def test_it_is_never_negative_nor_falls_with_the_size(seen: list[tuple[int, float]]) -> None:
    pace = learnt(*seen)
    expected_s = [pace.expected_s(size) for size in range(1, 100)]
    assert expected_s[0] >= 0
    assert all(later >= earlier * (1 - 1e-9) for earlier, later in itertools.pairwise(expected_s))


@given(batches.filter(bool))
def test_it_is_never_more_than_the_slowest_batch_by_the_picture(seen: list[tuple[int, float]]) -> None:
    slowest_s = max(seconds for _, seconds in seen)
    assert learnt(*seen).mean_s(1) <= slowest_s * (1 + 1e-9)


def test_of_the_first_ten_batches_the_plain_mean_counts_and_from_then_on_each_new_one_a_tenth() -> None:
    assert learnt(*[(1, 1.0 + number) for number in range(5)]).mean_s(1) == pytest.approx(3.0)
    assert learnt(*[(1, 1.0)] * 9, (1, 2.0)).mean_s(1) == pytest.approx(1.1)
    assert learnt(*[(1, 1.0)] * 19, (1, 2.0)).mean_s(1) == pytest.approx(1.1)


def test_from_the_third_batch_on_a_hiccup_counts_three_times_what_is_expected() -> None:
    assert learnt((1, 0.1), (1, 30.0)).mean_s(1) == pytest.approx(15.05), "one batch is no pace yet"
    assert learnt((1, 0.1), (1, 0.1), (1, 30.0)).mean_s(1) == pytest.approx((0.1 + 0.1 + 0.3) / 3)
    assert learnt((1, 0.1), (1, 0.1), (10, 30.0)).mean_s(10) < 3.0, "as many times what its size is expected to take"


def test_the_usual_error_is_the_mean_distance_from_the_line() -> None:
    assert learnt((1, 0.1)).expected_s(1) == 0.1
    assert learnt((1, 0.1), (1, 0.3)).expected_s(1) == pytest.approx(0.2 + 0.1), "half of 0.2, the second of two"


def test_a_fast_batch_is_one_that_takes_less_than_a_third_and_after_ten_three_in_a_row_are_believed() -> None:
    assert learnt((1, 3.0), (1, 1.0)).mean_s(1) == 2.0
    assert learnt((1, 3.0), (1, 0.99)).mean_s(1) == 0.99
    assert learnt(*[(1, 1.0)] * 9, (1, 0.1)).mean_s(1) == 0.1
    ten = [(1, 1.0)] * 10
    assert learnt(*ten, (1, 0.1)).mean_s(1) == pytest.approx(0.91)
    assert learnt(*ten, (1, 0.1), (1, 0.1), (1, 1.0), (1, 0.1), (1, 0.1)).mean_s(1) > 0.5, "not in a row"
    assert learnt(*ten, *[(1, 0.1)] * 3).mean_s(1) == pytest.approx(0.1)


def test_a_batch_that_took_no_time_bounds_no_other() -> None:
    assert learnt((1, 0.0), (1, 0.0), (1, 3.0)).mean_s(1) == pytest.approx(1.0)


def test_a_larger_batch_that_took_less_makes_the_line_level_and_not_fall() -> None:
    pace = learnt((6, 0.4), (8, 0.3))
    assert pace.mean_s(6) == pace.mean_s(8) == pytest.approx(0.35)
