"""Which images a contact sheet shows, under which heading: a few of each label, and those that a person should look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.check.facts import Facts, SeenImage
from trainer.check.oddities import Oddity
from trainer.wording import printable

IN_A_GROUP = 12
"""Images under a heading at most: two rows of six."""
_EXTREMES = 3


@dataclass(frozen=True, slots=True)
class Shown:
    """One picture of the sheet: the image, and the line below its name."""

    image: SeenImage
    caption: str


@dataclass(frozen=True, slots=True)
class SheetGroup:
    """Pictures under a heading."""

    title: str
    pictures: tuple[Shown, ...]


def sheet_groups(facts: Facts, oddities: Sequence[Oddity]) -> list[SheetGroup]:
    """What a sheet shows, groups without pictures left out."""
    groups = [
        *(_labelled(facts, label) for label in ("ok", "nok", None)),
        _group("Look at these", _to_look_at(facts, oddities)),
        _group("Copies of one picture", [Shown(i, _whose(i)) for one in facts.copies for i in one.images[:2]]),
        _group(
            "With an EXIF orientation, ignored without --apply-exif",
            [Shown(i, f"EXIF orientation {int(i.probe.orientation)}") for i in facts.turned],
        ),
        _group("The darkest and the brightest", [Shown(i, _light(i)) for i in _extremes(facts)]),
    ]
    return [group for group in groups if group.pictures]


def _extremes(facts: Facts) -> list[SeenImage]:
    ordered = facts.by_light
    return ordered if len(ordered) <= 2 * _EXTREMES else [*ordered[:_EXTREMES], *ordered[-_EXTREMES:]]


def _labelled(facts: Facts, label: str | None) -> SheetGroup:
    images = [image for image in facts.images if image.label == label]
    head = {"ok": "ok", "nok": "nok", None: "Images without a known label"}[label]
    shown = evenly(sorted(images, key=lambda image: (image.defect or "", image.name)), IN_A_GROUP)
    outlined = " (outlined: what the mask marks)" if any(image.mask for image in shown) else ""
    return _group(f"{head}: {len(shown)} of {len(images)}{outlined}", [Shown(image, _whose(image)) for image in shown])


def _to_look_at(facts: Facts, oddities: Sequence[Oddity]) -> list[Shown]:
    by_name = {image.name: image for image in facts.images}
    found = {image.name: Shown(image, "of a single colour") for image in facts.blank}
    for oddity in oddities:
        found |= {name: Shown(by_name[name], oddity.short) for name in oddity.names if name not in found}
    return list(found.values())


def _group(title: str, pictures: Sequence[Shown]) -> SheetGroup:
    return SheetGroup(title, tuple(pictures[:IN_A_GROUP]))


def _whose(image: SeenImage) -> str:
    defect = "" if image.defect is None or image.defect.casefold() == image.label else printable(image.defect)
    parts = [image.label or "", defect, image.split or ""]
    return ", ".join(part for part in parts if part) or f"{image.size[0]}x{image.size[1]}"


def _light(image: SeenImage) -> str:
    return f"mean gray value {image.probe.brightness:.0f}"


def evenly(images: Sequence[SeenImage], count: int) -> list[SeenImage]:
    """As many of them, from the first to the last."""
    if len(images) <= count:
        return list(images)
    step = (len(images) - 1) / (count - 1)
    return [images[round(place * step)] for place in range(count)]
