"""Which images are for learning, which only for calibration and which for testing: as given, or by percentage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from trainer.dataset.dataset import DLDatasetSample
from trainer.errors import SplitError
from trainer.prepare.units import deal, gather, pictures, share_out
from trainer.wording import some

NO_VALIDATION = "keep_validation needs images that the folders or the manifest assign to validation; leave it out"


@dataclass(slots=True)
class Sides:
    """Where the images go before some are held out of those to learn from."""

    learn: list[DLDatasetSample]
    held: list[DLDatasetSample]
    test: list[DLDatasetSample]
    is_held_given: bool
    """The caller or the source decided what calibrates."""
    warnings: list[str] = field(default_factory=list)


def respect_given(
    samples: Sequence[DLDatasetSample], unit_of: Mapping[int, int], *, keep_validation: bool | None
) -> Sides:
    """The source's own division, less what would be on two sides; see `SplitParam.keep_validation`.

    Raises:
        SplitError: `keep_validation` is True without an ok image in validation.
    """
    test = [s for s in samples if s.image_label == "nok" or s.split == "test"]
    others = [s for s in samples if s.image_label == "ok" and s.split != "test"]
    held = [] if keep_validation is False else [s for s in others if s.split == "validation"]
    if keep_validation and not held:
        raise SplitError(NO_VALIDATION)
    kept, is_held_given = {s.image_id for s in held}, bool(held)
    learn = [s for s in others if s.image_id not in kept]
    warnings: list[str] = []
    held = _without(held, test, unit_of, warnings, ("validation", "test", "calibrate nothing"))
    learn = _without(learn, test, unit_of, warnings, ("training", "test", "are not used for training"))
    learn = _without(learn, held, unit_of, warnings, ("training", "validation", "are not used for training"))
    return Sides(learn, held, test, is_held_given, warnings)


def _without(
    samples: list[DLDatasetSample],
    others: Sequence[DLDatasetSample],
    unit_of: Mapping[int, int],
    warnings: list[str],
    words: tuple[str, str, str],
) -> list[DLDatasetSample]:
    """The samples without those whose picture or group is on the other side."""
    side, other_side, so = words
    seen, units = {s.pixel_digest for s in others}, {unit_of[s.image_id] for s in others}
    same = [s.image_file_name for s in samples if s.pixel_digest in seen]
    akin = [s.image_file_name for s in samples if unit_of[s.image_id] in units and s.pixel_digest not in seen]
    if same:
        warnings.append(f"{len(same)} {side} images are also {other_side} images and {so}: {some(same)}")
    if akin:
        warnings.append(
            f"{len(akin)} {side} images belong to a group of the {other_side} images and {so}: {some(akin)}"
        )
    return [s for s in samples if unit_of[s.image_id] not in units]


def divide_by_percent(
    samples: Sequence[DLDatasetSample],
    unit_of: Mapping[int, int],
    percents: Sequence[Fraction],
    random: np.random.Generator,
) -> Sides:
    """By percentage (training, validation, test) of the different ok pictures; groups of a nok image are tested on."""
    nok = {unit_of[s.image_id] for s in samples if s.image_label == "nok"}
    units = gather([s for s in samples if s.image_label == "ok"], unit_of)
    forced = [unit for unit in units if unit_of[unit[0].image_id] in nok]
    free = [unit for unit in units if unit_of[unit[0].image_id] not in nok]
    targets = share_out(sum(map(pictures, units)), percents, random)
    free = [free[i] for i in random.permutation(len(free))]
    tested = sum(map(pictures, forced))
    side_of = {unit_of[u[0].image_id]: s for u, s in zip(free, deal(free, targets, (0, 0, tested)), strict=True)}
    parts: list[list[DLDatasetSample]] = [[], [], []]
    for sample in samples:
        parts[side_of.get(unit_of[sample.image_id], 2)].append(sample)
    note = f"{tested} ok images are in the same group as a nok image, so they are test images"
    return Sides(parts[0], parts[1], parts[2], is_held_given=False, warnings=[note] if tested else [])


def without_copies(samples: Sequence[DLDatasetSample], warnings: list[str]) -> list[DLDatasetSample]:
    """The first of each picture; the others are named in a warning."""
    first: dict[str, DLDatasetSample] = {}
    copies = [s for s in samples if first.setdefault(s.pixel_digest, s) is not s]
    if copies:
        names = some(f"{s.image_file_name} (= {first[s.pixel_digest].image_file_name})" for s in copies)
        warnings.append(f"{len(copies)} training images are copies of other images and count once: {names}")
    return list(first.values())
