"""Round numbers along an axis."""

from __future__ import annotations

import math

_NICE = (1.0, 2.0, 5.0, 10.0)


def nice_ticks(low: float, high: float, *, count: int = 7) -> list[tuple[float, str]]:
    """About `count` round values from `low` to `high`, with their labels; `high` is greater than `low`."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * nice for nice in _NICE if power * nice >= rough)
    digits = max(0, -math.floor(math.log10(step)))
    first, last = math.ceil(low / step), math.floor(high / step)
    return [(index * step, f"{index * step:.{digits}f}") for index in range(first, last + 1)]
