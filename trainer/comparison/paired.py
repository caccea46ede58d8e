"""Two models' errors on the same images: the difference of their rates, with an exact interval. Pure.

Only images on which one model errs and the other does not say anything about which is better (McNemar 1947). Given how many these are,
the number on which the first errs is binomial; its Clopper-Pearson interval, carried over to the difference of the rates, is the
interval here. Its lower end lies above zero exactly where the exact one-sided McNemar test at 2.5 % says that the first is worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.rates import binomial_rate


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
    apart = only_first + only_second
    if apart:
        share = binomial_rate(only_first, apart)
        low, high = (apart / total * (2 * limit - 1) for limit in (share.low, share.high))
    else:
        # They never differ: as often as the rate of differing allows.
        high = binomial_rate(0, total).high
        low = -high
    return PairedDifference(total, only_first, only_second, sum(map(all, pairs)), low, high)
