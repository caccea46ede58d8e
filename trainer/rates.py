"""An observed rate, with the interval in which the true rate lies."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

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
    low = _rate_with(count - 1, total, 1 - tail) if count else 0.0
    return Rate(count, total, low, _rate_with(count, total, tail) if count < total else 1.0)


@lru_cache(maxsize=1024)
def binomial_upper_limit(count: int, total: int, *, confidence: float) -> float:
    """The exact one-sided upper limit of a rate: the rate is at most this, at this confidence; 1 if all of them were counted."""
    return _rate_with(count, total, 1 - confidence) if count < total else 1.0


def _rate_with(count: int, total: int, probability: float) -> float:
    """The rate at which at most `count` of `total` are counted with this probability, which falls as the rate rises."""
    log_ways = [math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1) for k in range(count + 1)]

    def is_above(rate: float) -> bool:
        log_rate, log_rest = math.log(rate), math.log1p(-rate)
        terms = (math.exp(log + k * log_rate + (total - k) * log_rest) for k, log in enumerate(log_ways))
        return math.fsum(terms) < probability

    return bisect(is_above)


def bisect(is_above: Callable[[float], bool], low: float = 0.0, high: float = 1.0) -> float:
    """Return the number between `low` and `high` from which on `is_above` holds."""
    while (middle := (low + high) / 2) not in (low, high) and high - low > _INTERVAL_PRECISION:
        low, high = (low, middle) if is_above(middle) else (middle, high)
    return high
