from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from trainer.rates import binomial_rate


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_interval_equals_scipy(count_total: tuple[int, int]) -> None:
    count, total = count_total
    rate = binomial_rate(count, total)
    expected = binomtest(count, total).proportion_ci(0.95, method="exact")
    assert (rate.low, rate.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert rate.rate == count / total


def test_rate_of_nothing_says_nothing() -> None:
    rate = binomial_rate(0, 0)
    assert (rate.rate, rate.low, rate.high) == (None, 0.0, 1.0)
