"""Which label an image gets from the folders around it: the nearest one with a label decides; in doubt it is not ok.

HALCON looks only at the parent folder: `ok` or `good` (in any case) is ok, everything else is nok. This module does the same, but it knows
other words for ok and nok (`words`), and a name without a letter (a date, a number) says nothing: `good/2024-05-01` is ok, as `good` is. If
the parent's name may mean a day or a defect (`good/monday`, `good/crack`, `ok scratch`), or an outer folder contradicts it (`nok/ok`),
nothing is guessed: a defect must never be learnt as ok.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from inspector.anomaly.choices import AnomalyClass
from trainer.labels.patterns import LabelPattern
from trainer.labels.words import Said, comparable, said_by

WAY_OUT = "or pass --all-ok if every image is ok"


@dataclass(frozen=True, slots=True)
class LabelRules:
    """How labels are read.

    Attributes:
        ok_folders: Names of folders whose images are ok, besides those that say so; compared in any case, with or without accents.
        pattern: Reads labels from the images' names instead of from folders.
    """

    ok_folders: tuple[str, ...] = ()
    pattern: LabelPattern | None = None

    def is_named_ok(self, folder: str) -> bool:
        """Whether the user named the folder as one of ok images."""
        return comparable(folder) in {comparable(name) for name in self.ok_folders}

    def said_by(self, folder: str) -> Said | None:
        """What a folder's name says of its images; a defect's name is not known here."""
        return "ok" if self.is_named_ok(folder) else said_by(folder)

    def is_ok(self, folder: str) -> bool:
        """Whether a folder's name says that its images are ok."""
        return self.said_by(folder) == "ok"

    def is_nok(self, folder: str) -> bool:
        """Whether a folder's name says that its images are nok, whatever their defect."""
        return self.said_by(folder) == "nok"


BY_WORDS = LabelRules()


def label_by_folders(folders: Sequence[str], rules: LabelRules = BY_WORDS) -> AnomalyClass | None:
    """The label of an image in these folders, from the outermost to its parent; None where they leave it in doubt."""
    for place in range(len(folders) - 1, -1, -1):
        folder, outer = folders[place], folders[:place]
        match rules.said_by(folder):
            case "ok":
                return None if any(map(rules.is_nok, outer)) else "ok"
            case "nok":
                return "nok"
            case "doubt":
                return None
            case _ if has_letter(folder):
                return None if any(map(rules.is_ok, outer)) else "nok"
    return "nok"


def defect_by_folders(folders: Sequence[str], rules: LabelRules = BY_WORDS) -> str | None:
    """Name of the defect of a nok image: the outermost of the folders, or of those inside the last one named ok; None without."""
    if not folders:
        return None
    inside = _inside_ok(folders, rules)
    return folders[inside] if inside < len(folders) else folders[0]


def doubt(place: PurePosixPath, shown: str, rules: LabelRules = BY_WORDS) -> str:
    """Why the folders leave the label in doubt, and what to do.

    Args:
        place: The folders around the images, the outermost first.
        shown: The path as the user knows it.
        rules: How labels are read.
    """
    folders = place.parts
    nearest = next((folder for folder in reversed(folders) if has_letter(folder)), "")
    if rules.said_by(nearest) == "doubt":
        return (
            f"{shown}: the name {nearest} contains a word for ok among others, so it is not clear whether its images "
            f"are ok; pass --ok-folder '{nearest}' if they are, rename the folder if they are not, {WAY_OUT}"
        )
    inside = _inside_ok(folders, rules)
    if inside == len(folders) or not any(map(has_letter, folders[inside:])):
        return (
            f"{shown} is inside a folder named as nok, which contradicts its own name; move it out if its images are "
            f"ok, rename it if they are not, {WAY_OUT}"
        )
    ok = folders[inside - 1]
    renamed = PurePosixPath(*folders[: inside - 1], *folders[inside:], ok)
    return (
        f"{shown} is inside the ok folder {ok}, but it is not clear whether its images are ok; rename {place} to "
        f"{renamed} if its images are ok (or pass --ok-folder '{nearest}'), or move it out of {ok} if they are not, "
        f"{WAY_OUT}"
    )


def _inside_ok(folders: Sequence[str], rules: LabelRules) -> int:
    """Index of the first folder inside the last one that is named ok; 0 where none is."""
    return max((place + 1 for place, folder in enumerate(folders) if rules.is_ok(folder)), default=0)


def has_letter(folder: str) -> bool:
    """Whether a folder's name has a letter; a date or a number says nothing."""
    return any(character.isalpha() for character in folder)
