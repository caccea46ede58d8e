"""Searches a folder for files: each one is taken, or left out for a reason; what cannot be read is refused."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from trainer.errors import DatasetError
from trainer.formats.known import IMAGE_SUFFIXES, UNREAD_SUFFIXES
from trainer.listing.tally import Reason
from trainer.wording import some

MASK_FOLDER: Final = "ground_truth"

_Kind = Literal["folder", "file", "lost link", "other"]


@dataclass(frozen=True, slots=True)
class Found:
    """What lies below a folder, by names relative to it, sorted."""

    taken: list[PurePosixPath] = field(default_factory=list)
    left_out: dict[PurePosixPath, Reason] = field(default_factory=dict)
    """The reason by the name, of files and of folders that were not entered."""

    @property
    def other_formats(self) -> list[PurePosixPath]:
        """Pictures of formats that are not read."""
        return [name for name, reason in self.left_out.items() if reason == "of a format that is not read"]


def is_mask_folder(name: str) -> bool:
    """Whether a folder is called as that of the masks: `ground_truth`, `Ground_Truth`, `GroundTruth`, `ground-truth`."""
    return name.casefold().replace("-", "").replace("_", "").replace(" ", "") == "groundtruth"


def mask_folder(root: Path) -> Path:
    """The folder of the masks of a folder of images, whatever its case; `ground_truth` where there is none.

    Raises:
        DatasetError: There are several.
    """
    found = (
        sorted(path for path in root.iterdir() if is_mask_folder(path.name) and path.is_dir()) if root.is_dir() else []
    )
    if len(found) > 1:
        raise DatasetError(f"the masks may be in any of {some(found)}; keep one, or name it with --anomaly-dir")
    return found[0] if found else root / MASK_FOLDER


def picture_reason(name: PurePosixPath) -> Reason | None:
    """Why a file of this name is not taken as a picture; None of one that is."""
    suffix = name.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return None
    return "of a format that is not read" if suffix in UNREAD_SUFFIXES else "not a picture by its name"


def search_folder(
    root: Path,
    *,
    has_masks: bool = True,
    judge: Callable[[PurePosixPath], Reason | None] = picture_reason,
) -> Found:
    """Look at everything below a folder; links are followed, hidden files and masks left out.

    Args:
        root: The folder.
        has_masks: Whether a folder directly below that is called as one of masks holds no pictures.
        judge: Says why a file is not taken, by its name; None takes it.

    Raises:
        DatasetError: It, or a folder below that is not hidden, cannot be read, or a link leads nowhere that may have led to
            a folder; named, with what to do.
    """
    search = _Search(root, judge, has_masks=has_masks)
    search.enter(PurePosixPath(), None)
    found = search.found
    return Found(sorted(found.taken), dict(sorted(found.left_out.items())))


def is_folder(path: Path) -> bool:
    """Whether there is a folder; it may be a link to one.

    Raises:
        DatasetError: That cannot be found out.
    """
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _unreadable(f"{path}", error) from error


def _unreadable(what: str, error: OSError) -> DatasetError:
    """What the file system says about a folder, and what to do."""
    return DatasetError(
        f"{what} cannot be read ({error.strerror or error}); grant yourself the right to read it, or move it out of "
        "the folder that you give"
    )


class _Search:
    def __init__(self, root: Path, judge: Callable[[PurePosixPath], Reason | None], *, has_masks: bool) -> None:
        self._root = root
        self._has_masks = has_masks
        self._judge = judge
        # A link to a folder above would never end; one that was read already would double its images.
        self._visited: set[str] = set()
        # Nothing is taken of a hidden folder, so a link in it must not keep what it leads to from being read.
        self._visited_unread: set[str] = set()
        self.found = Found()

    def enter(self, name: PurePosixPath, outer: Reason | None) -> None:
        """Look at everything in a folder; `outer` is why nothing of it is taken, where that is so."""
        folder = self._root / name
        real = os.path.realpath(folder)
        visited = self._visited if outer is None else self._visited_unread
        if real in visited:
            self.found.left_out[name] = "a link to a folder that was read already"
            return
        visited.add(real)
        try:
            with os.scandir(folder) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
        except OSError as error:
            if outer == "hidden":
                self.found.left_out[name] = outer
                return
            raise _unreadable(f"the folder {folder}", error) from error
        for entry in entries:
            self._meet(entry, name / entry.name, outer)

    def _meet(self, entry: os.DirEntry[str], name: PurePosixPath, outer: Reason | None) -> None:
        reason = outer
        kind = _kind_of(entry)
        if entry.name.startswith("."):
            reason = reason or "hidden"
        elif kind == "folder" and len(name.parts) == 1 and self._has_masks and is_mask_folder(entry.name):
            reason = reason or "in the folder of masks"
        if kind == "folder":
            self.enter(name, reason)
            return
        if reason is None and kind == "lost link" and not name.suffix:
            raise DatasetError(
                f"{self._root / name} is a broken link, perhaps to a folder of images that is missing at the moment; "
                "repair or remove it"
            )
        if reason is None and kind != "other":
            reason = self._judge(name)  # a lost link to a picture is found to be unreadable when it is opened
        elif reason is None:
            reason = "no regular file"
        if reason is None:
            self.found.taken.append(name)
        else:
            self.found.left_out[name] = reason


def _kind_of(entry: os.DirEntry[str]) -> _Kind:
    """What an entry is, through links."""
    try:
        mode = entry.stat().st_mode if entry.is_symlink() else entry.stat(follow_symlinks=False).st_mode
    except OSError:  # nothing is there, or links lead in a circle
        return "lost link"
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "other"
