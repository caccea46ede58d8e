"""Two models' errors on the same images: the difference of their rates, with an interval. Pure.

The interval is Tango's score interval (Tango 1998, Statistics in Medicine 17:891), which holds its 95 % even if few images are judged
differently. It is widened where the exact test is less certain: only images on which exactly one model errs tell which is better
(McNemar 1947), and of these, the number on which the first one errs is binomial. So the lower end is above zero exactly
when the exact one-sided McNemar test at 2.5 % says that the first model is worse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from trainer.rates import binomial_rate, bisect

QUANTILE: Final = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """The error rate of one model minus that of another, on `total` images.

    Attributes:
        total: Images that both have judged.
        only_first: On which the first errs alone.
        only_second: On which the second errs alone.
        both: On which both err.
        low: Lower end of the 95 % interval of the difference.
        high: Its upper end.
    """

    total: int
    only_first: int
    only_second: int
    both: int
    low: float
    high: float

    @property
    def difference(self) -> float:
        """Of the observed rates; above 0 the first errs more often."""
        return (self.only_first - self.only_second) / self.total if self.total else 0.0


def paired_difference(first_errs: Sequence[bool], second_errs: Sequence[bool]) -> PairedDifference:
    """Compare two models' errors, image by image.

    Args:
        first_errs: Whether the first errs on each image.
        second_errs: Whether the second errs on the same.
    """
    pairs = list(zip(first_errs, second_errs, strict=True))
    total = len(pairs)
    only_first = sum(first and not second for first, second in pairs)
    only_second = sum(second and not first for first, second in pairs)
    low, high = _score_interval(only_first, only_second, total)
    if apart := only_first + only_second:
        share = binomial_rate(only_first, apart)
        low = min(low, apart / total * (2 * share.low - 1))
        high = max(high, apart / total * (2 * share.high - 1))
    return PairedDifference(total, only_first, only_second, sum(map(all, pairs)), low, high)


def _score_interval(only_first: int, only_second: int, total: int) -> tuple[float, float]:
    """Return the differences at which Tango's statistic reaches the quantiles of the normal distribution."""
    if not total:
        return -1.0, 1.0

    def statistic(difference: float) -> float:
        """Of the hypothesis that the rates differ by so much; falls with it."""
        linear = (2 * total - only_first + only_second) * difference - only_first - only_second
        constant = -only_second * difference * (1 - difference)
        # The share on which the second errs alone, estimated under the hypothesis.
        share = (math.sqrt(max(0.0, linear**2 - 8 * total * constant)) - linear) / (4 * total)
        variance = total * (2 * share + difference * (1 - difference))
        above = only_first - only_second - total * difference
        return above / math.sqrt(variance) if variance > 0 else above * math.inf if above else 0.0

    low = bisect(lambda at: statistic(at) <= QUANTILE, -1.0, 1.0)
    return low, bisect(lambda at: statistic(at) <= -QUANTILE, -1.0, 1.0)
