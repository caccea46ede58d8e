"""Which label the folders around an image give it: the nearest that says so decides, and doubt is not ok.

HALCON looks at the parent folder alone: `ok` or `good` (in any case) is ok, all else is nok. So it is here, but that a name
without a letter (a date, a number) says nothing: `good/2024-05-01` is ok, as `good` is. Where the parent's name may be a day's
or a defect's (`good/monday`, `good/crack`), or an outer folder contradicts it (`nok/ok`), nothing is guessed: a defect must
never be learnt as ok.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from inspector.anomaly.types import AnomalyClass

_OK = re.compile(r"ok|good", re.IGNORECASE)
_NOK = re.compile(
    r"nok|n\.?i\.?o\.?|not[ _-]?ok|ng|no[ _-]?good|bad|defects?|defective|faulty|rejects?|rejected|scrap|anomal(y|ies|ous)",
    re.IGNORECASE,
)


def is_ok_name(folder: str) -> bool:
    """Whether a folder's name says that its images are ok."""
    return _OK.fullmatch(folder) is not None


def is_nok_name(folder: str) -> bool:
    """Whether a folder's name says that its images are nok, whatever their defect; a defect's name is not known here."""
    return _NOK.fullmatch(folder) is not None


def label_by_folders(folders: Sequence[str]) -> AnomalyClass | None:
    """The label of an image in these folders, from the outermost to its parent; None where they leave it in doubt."""
    for place in range(len(folders) - 1, -1, -1):
        folder, outer = folders[place], folders[:place]
        if is_ok_name(folder):
            return None if any(map(is_nok_name, outer)) else "ok"
        if is_nok_name(folder):
            return "nok"
        if _has_letter(folder):
            return None if any(map(is_ok_name, outer)) else "nok"
    return "nok"


def defect_by_folders(folders: Sequence[str]) -> str:
    """Name of the defect of a nok image: the outermost of the folders, or of those inside the last one named ok."""
    inside = _inside_ok(folders)
    return folders[inside] if inside < len(folders) else folders[0]


def doubt(place: PurePosixPath, shown: str) -> str:
    """Why the folders leave the label in doubt, and the mend.

    Args:
        place: The folders around the images, the outermost first.
        shown: The path as the user knows it.
    """
    folders = place.parts
    way_out = "or pass --all-ok if every image is ok"
    inside = _inside_ok(folders)
    if inside == len(folders) or not any(map(_has_letter, folders[inside:])):
        return (
            f"{shown} lies inside a folder that says nok, which contradicts its own name; move it out if its images are ok, "
            f"name it otherwise if they are not, {way_out}"
        )
    ok = folders[inside - 1]
    renamed = PurePosixPath(*folders[: inside - 1], *folders[inside:], ok)
    return (
        f"{shown} lies inside a folder named ok or good, which does not say whether its images are ok; rename {place} to "
        f"{renamed} if its images are ok, or move it out of {ok} if they are not, {way_out}"
    )


def _inside_ok(folders: Sequence[str]) -> int:
    """Index of the first folder inside the last one that is named ok; 0 where none is."""
    return max((place + 1 for place, folder in enumerate(folders) if is_ok_name(folder)), default=0)


def _has_letter(folder: str) -> bool:
    return any(character.isalpha() for character in folder)
