"""What looks odd although a fit would accept it: names that contradict the label, results among pictures, unusual sizes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from trainer.check.facts import Facts, SeenImage
from trainer.formats.known import FORMAT_NAMES, FORMAT_SUFFIXES
from trainer.labels.words import CAMEL, said_by, speaks_of_nok
from trainer.wording import counted, some

_MADE_WORDS: Final = frozenset(
    [
        "mask",
        "masks",
        "maske",
        "masque",
        "label",
        "labels",
        "labelled",
        "annotated",
        "annotation",
        "annotations",
        "overlay",
        "heatmap",
        "heat",
        "result",
        "results",
        "thumb",
        "thumbs",
        "thumbnail",
        "preview",
        "screenshot",
        "edited",
        "bearbeitet",
        "copy",
        "kopie",
        "copie",
        "copia",
        "gt",
        "segmentation",
        "prediction",
    ]
)
"""Parts of names that are given to what was made of pictures rather than to pictures."""

_NUMBERED_COPY: Final = re.compile(r"[ _]\(\d{1,2}\)$")
_PARTS: Final = re.compile(r"[^\W\d_]+")
_NEAR: Final = 0.05
"""Sizes that differ by less than this share of both sides are of one camera, and one of them was cropped or scaled."""
_MANY: Final = 0.5
"""Where more of the images than this share bear a word, it is how the line names its pictures."""


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something to look at.

    Attributes:
        sentence: What it is, with the first names and what to do.
        short: The same of one image, for below its picture.
        names: All images that it is about.
    """

    sentence: str
    short: str
    names: tuple[str, ...]


def find_oddities(facts: Facts) -> list[Oddity]:
    """What looks odd, in no case a reason to refuse a fit."""
    return [
        *_against_label(facts.images),
        *_made(facts.images),
        *_suffixes(facts.images),
        *_cases(facts.images),
        *_near(facts),
    ]


def _oddity(images: Sequence[SeenImage], short: str, sentence: str) -> Iterator[Oddity]:
    if images:
        names = tuple(image.name for image in images)
        yield Oddity(f"{counted(len(names))} {sentence.format(names=some(names, 3))}", short, names)


def _against_label(images: Sequence[SeenImage]) -> Iterator[Oddity]:
    ok = [i for i in images if i.label == "ok" and speaks_of_nok(PurePosixPath(i.name).stem)]
    nok = [i for i in images if i.label == "nok" and said_by(PurePosixPath(i.name).stem) == "ok"]
    yield from _oddity(ok, "ok, name says nok", "labelled ok, but with a name that says nok: {names}; check the label")
    yield from _oddity(nok, "nok, name says ok", "labelled nok, but with a name that says ok: {names}; check the label")


def _made(images: Sequence[SeenImage]) -> Iterator[Oddity]:
    found = [image for image in images if _is_made(PurePosixPath(image.name).stem)]
    if len(found) <= _MANY * len(images):
        yield from _oddity(
            found,
            "named like a mask or result",
            "with a name like that of a mask, a result or a copy: {names}; move it out if it is one",
        )


def _is_made(stem: str) -> bool:
    words = {part.casefold() for run in _PARTS.findall(stem) for part in (run, *CAMEL.split(run))}
    return bool(words & _MADE_WORDS) or _NUMBERED_COPY.search(stem) is not None


def _suffixes(images: Sequence[SeenImage]) -> Iterator[Oddity]:
    wrong = [i for i in images if PurePosixPath(i.name).suffix.lower() not in FORMAT_SUFFIXES[i.probe.format]]
    kinds = " and ".join(sorted({FORMAT_NAMES[image.probe.format] for image in wrong}))
    yield from _oddity(
        wrong,
        "suffix does not match",
        f"with a suffix that does not match the contents ({kinds}): {{names}}; the contents decide, so nothing is lost",
    )


def _cases(images: Sequence[SeenImage]) -> Iterator[Oddity]:
    by_key: defaultdict[str, list[SeenImage]] = defaultdict(list)
    for image in images:
        by_key[image.name.casefold()].append(image)
    alike = [image for group in by_key.values() if len(group) > 1 for image in group]
    yield from _oddity(
        alike,
        "name differs only in case",
        "whose names differ only in upper and lower case: {names}; Windows and macOS keep only one of them",
    )


def _near(facts: Facts) -> Iterator[Oddity]:
    if not facts.images:
        return
    (width, height), _ = facts.sizes[0]
    odd = [
        image
        for image in facts.images
        if image.size != (width, height)
        and abs(image.size[0] - width) <= _NEAR * width
        and abs(image.size[1] - height) <= _NEAR * height
    ]
    yield from _oddity(
        odd,
        f"not quite {width}x{height}",
        f"almost, but not exactly, {width}x{height} like most: {{names}}; perhaps cropped or scaled by hand, which moves "
        "the part within the picture",
    )
