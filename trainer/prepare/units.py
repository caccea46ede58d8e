"""Which images belong together, and how such units are distributed so that none is in two parts of a split."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from fractions import Fraction

import numpy as np

from trainer.choices import GroupBy
from trainer.dataset.dataset import DLDatasetSample
from trainer.errors import SplitError
from trainer.wording import some

Unit = list[DLDatasetSample]

LEAST_TO_FIT = 2
"""Different images without which a detector cannot be fitted."""


def find_units(
    samples: Sequence[DLDatasetSample], group_by: GroupBy, time_window_us: int | None = None
) -> dict[int, int]:
    """Number of the unit of each image, by image_id: copies of a picture and images of one group share one.

    Groups that share a copy are one unit. Time windows start at multiples of their width since 1970; the images of
    one part (`group`) all count to the window in which its first was captured.

    Args:
        samples: The images.
        group_by: What a group is: nothing but copies, the sample's `group`, or a time window.
        time_window_us: Width of a time window in µs.

    Raises:
        SplitError: Time windows were asked for, and an image has no capture time.
    """
    first_of_key: dict[Hashable, int] = {}
    above = list(range(len(samples)))

    def top(index: int) -> int:
        while above[index] != index:
            above[index] = index = above[above[index]]
        return index

    groups = _groups(samples, group_by, time_window_us)
    for index, sample in enumerate(samples):
        for key in (("picture", sample.pixel_digest), groups[sample.image_id]):
            if key is not None:
                one, other = sorted((top(index), top(first_of_key.setdefault(key, index))))
                above[other] = one
    return {sample.image_id: top(index) for index, sample in enumerate(samples)}


def _groups(
    samples: Sequence[DLDatasetSample], group_by: GroupBy, time_window_us: int | None
) -> Mapping[int, Hashable | None]:
    if group_by == "none":
        return dict.fromkeys((s.image_id for s in samples), None)
    if group_by == "group" or time_window_us is None:
        return {s.image_id: None if s.group is None else ("group", s.group) for s in samples}
    times = {s.image_id: s.captured_at for s in samples if s.captured_at is not None}
    if without := [s.image_file_name for s in samples if s.captured_at is None]:
        raise SplitError(
            f"{some(without)} have no capture time, which is needed for time windows; read the images from the "
            "inspector's archive, or group them by a column of a manifest or by a pattern"
        )
    began: dict[str, int] = {}
    for s in samples:
        if s.group is not None:
            began[s.group] = min(times[s.image_id], began.get(s.group, times[s.image_id]))
    return {
        s.image_id: ("window", (times[s.image_id] if s.group is None else began[s.group]) // time_window_us)
        for s in samples
    }


def gather(samples: Sequence[DLDatasetSample], unit_of: Mapping[int, int]) -> list[Unit]:
    """The samples by unit, in the order in which the units appear."""
    units: dict[int, Unit] = {}
    for sample in samples:
        units.setdefault(unit_of[sample.image_id], []).append(sample)
    return list(units.values())


def pictures(unit: Sequence[DLDatasetSample]) -> int:
    """Number of different pictures: copies count once."""
    return len({sample.pixel_digest for sample in unit})


def share_out(total: int, percents: Sequence[Fraction], random: np.random.Generator) -> list[int]:
    """How many of `total` each side gets: floor of its percentage, the remainder dealt randomly by percentage.

    The percentages are exact fractions that sum to 100; with floats, 29 % of 100 would be 28.
    """
    counts = [math.floor(total * percent / 100) for percent in percents]
    weights = [float(percent / 100) for percent in percents]
    for side in random.choice(len(counts), size=total - sum(counts), p=weights):
        counts[side] += 1
    return counts


def deal(units: Sequence[Unit], targets: Sequence[int], filled: Sequence[int] = ()) -> list[int]:
    """Side of each unit: the largest units first, each to the side that is least filled against its target.

    Units of one picture meet the targets exactly; larger ones overshoot a target by less than the largest of them.
    Equal units are dealt in the order given, so that a shuffle before decides.

    Args:
        units: What to deal.
        targets: Pictures that each side should get; a side with 0 gets none.
        filled: Pictures that each side has already; none by default.
    """
    have = list(filled) or [0] * len(targets)
    open_sides = [side for side, target in enumerate(targets) if target > 0]
    sides = [0] * len(units)
    for index in sorted(range(len(units)), key=lambda i: -pictures(units[i])):
        side = min(open_sides, key=lambda s: Fraction(have[s], targets[s]))
        sides[index] = side
        have[side] += pictures(units[index])
    return sides


def deal_folds(units: Sequence[Unit], folds: int) -> list[int]:
    """Fold of each unit, from 0: the largest units first, each to the smallest fold.

    Args:
        units: What to deal; each picture is there once.
        folds: How many there are, where there are as many units.

    Raises:
        SplitError: A fold leaves too few images to fit the model that judges it.
    """
    total, largest = sum(map(len, units)), max(map(len, units))
    if total - largest < LEAST_TO_FIT:
        of = "all from one group" if len(units) == 1 else f"from one group except {total - largest}"
        raise SplitError(
            f"the {total} training images are {of}, and a model that scores this group needs {LEAST_TO_FIT} images of "
            "other groups; add images of other groups, make the groups smaller, pass group_by='none', or raise "
            "max_train if it is given"
        )
    count = min(folds, len(units))
    dealt = deal(units, [total] * count)
    sizes = Counter(fold for unit, fold in zip(units, dealt, strict=True) for _ in unit)
    if (left := total - max(sizes.values())) < LEAST_TO_FIT:
        raise SplitError(
            f"with {count} folds of {total} images each model is trained on {left} images, but it needs "
            f"{LEAST_TO_FIT}; raise folds, or add ok images"
        )
    return dealt
