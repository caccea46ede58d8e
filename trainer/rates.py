"""An observed rate, with the interval in which the true rate lies."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

_INTERVAL_PRECISION = 1e-12


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` of `total`, with the 95 % Clopper-Pearson interval of the rate."""

    count: int
    total: int
    low: float
    high: float

    @property
    def rate(self) -> float | None:
        """Observed share; None if nothing was observed."""
        return self.count / self.total if self.total else None


def binomial_rate(count: int, total: int, *, confidence: float = 0.95) -> Rate:
    """The exact two-sided interval of a rate (Clopper & Pearson 1934); [0, 1] if nothing was counted."""
    tail = (1 - confidence) / 2
    # P(at least `count`) rises with the rate, P(at most `count`) falls: each limit is where its tail is met.
    low = bisect(lambda rate: _binomial_cdf(count - 1, total, rate) < 1 - tail) if count else 0.0
    high = bisect(lambda rate: _binomial_cdf(count, total, rate) < tail) if count < total else 1.0
    return Rate(count, total, low, high)


def _binomial_cdf(count: int, total: int, rate: float) -> float:
    """P(at most `count` of `total`), for a rate strictly between 0 and 1."""
    log_terms = [
        math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1)
        + k * math.log(rate) + (total - k) * math.log1p(-rate)
        for k in range(count + 1)
    ]  # fmt: skip
    return math.fsum(map(math.exp, log_terms))


def bisect(is_above: Callable[[float], bool], low: float = 0.0, high: float = 1.0) -> float:
    """Return the number between `low` and `high` from which on `is_above` holds."""
    while (middle := (low + high) / 2) not in (low, high) and high - low > _INTERVAL_PRECISION:
        low, high = (low, middle) if is_above(middle) else (middle, high)
    return high
