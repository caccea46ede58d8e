from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from trainer.comparison.paired import paired_difference

PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@given(PAIRS)
def test_the_interval_holds_the_difference_and_turns_with_the_models(pairs: list[tuple[bool, bool]]) -> None:
    first, second = zip(*pairs, strict=True)
    there, back = paired_difference(first, second), paired_difference(second, first)
    assert there.low <= there.difference <= there.high
    assert abs(there.low + back.high) < 1e-9
    assert there.difference == -back.difference
    assert there.both == sum(a and b for a, b in pairs)


@given(st.integers(1, 25), st.integers(0, 25), st.integers(0, 50))
def test_its_lower_end_is_above_zero_exactly_where_mcnemars_test_says_worse(
    only_first: int, only_second: int, same: int
) -> None:
    first = [True] * only_first + [False] * (only_second + same)
    second = [False] * only_first + [True] * only_second + [False] * same
    found = paired_difference(first, second)
    test = binomtest(only_first, only_first + only_second, 0.5, alternative="greater")
    assert (found.low > 0) == (test.pvalue < 0.025)


def test_models_that_never_differ_may_differ_as_often_as_nothing_of_so_many_allows() -> None:
    few, many = paired_difference([False] * 5, [False] * 5), paired_difference([True] * 500, [True] * 500)
    assert abs(few.low + few.high) < 1e-9
    assert 0.43 < few.high < 0.44, "1.96 ** 2 / (5 + 1.96 ** 2)"
    assert many.high < 0.008


@pytest.mark.parametrize(
    ("only_first", "only_second"), [(0.002, 0), (0.005, 0), (0.01, 0), (0.003, 0.001), (0.001, 0.001), (0.05, 0.03)]
)
def test_95_percent_of_the_intervals_hold_the_true_difference(only_first: float, only_second: float) -> None:
    random = np.random.default_rng(1)
    drawn = random.multinomial(1000, [only_first, only_second, 1 - only_first - only_second], 300)
    held = 0
    for first, second, same in drawn:
        found = paired_difference(
            [True] * first + [False] * (second + same), [False] * first + [True] * second + [False] * same
        )
        held += found.low <= only_first - only_second <= found.high
    assert held >= 0.93 * len(drawn)
