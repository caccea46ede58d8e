"""What is asked of an archive's place before any picture is opened; and a folder of this machine as such a place."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Protocol

from trainer.listing.search import Found, is_folder, search_folder
from trainer.progress import StageProgress


class ArchivePlace(Protocol):
    """An archive for reading. A camera is `LINE/CAMERA`; names are relative to the archive's root."""

    @property
    def where(self) -> str:
        """As the user named it, for messages."""
        ...

    @property
    def root(self) -> Path:
        """The folder in which files lie on this machine, once they have been brought."""
        ...

    def cameras(self) -> list[str]:
        """Return the cameras that the archive has, sorted."""
        ...

    def has(self, camera: PurePosixPath) -> bool:
        """Return whether the archive has this camera.

        Raises:
            DatasetError: That cannot be found out.
        """
        ...

    def search(self, camera: PurePosixPath) -> Found:
        """Return what lies below a camera's folder, by names relative to it; hidden files are left out.

        Raises:
            DatasetError: It cannot be read.
        """
        ...

    def holds(self, name: PurePosixPath) -> bool:
        """Return whether there is such a file.

        Raises:
            DatasetError: That cannot be found out.
        """
        ...

    def bring_index(self, camera: PurePosixPath, first_day: str, last_day: str) -> None:
        """See to it that the camera's index of these days, and of both days named, lies below `root`.

        Raises:
            DatasetError: It cannot be brought.
        """
        ...

    def bring(self, names: Iterable[PurePosixPath], progress: StageProgress | None = None) -> None:
        """See to it that these files lie below `root`.

        Raises:
            DatasetError: One cannot be brought.
        """
        ...


class FolderArchive:
    """`ArchivePlace` in a folder of this machine: everything is there already."""

    def __init__(self, root: Path) -> None:
        """Use `root`; nothing is looked at yet."""
        self._root = root

    @property
    def where(self) -> str:
        """The folder."""
        return str(self._root)

    @property
    def root(self) -> Path:
        """The folder."""
        return self._root

    def cameras(self) -> list[str]:
        """Return the folders that may be those of cameras."""
        return sorted(str(path.relative_to(self._root)) for path in self._root.glob("[!.]*/*") if path.is_dir())

    def has(self, camera: PurePosixPath) -> bool:
        """Return whether the camera has a folder."""
        return is_folder(self._root / camera)

    def search(self, camera: PurePosixPath) -> Found:
        """Look at everything below the camera's folder."""
        return search_folder(self._root / camera, has_masks=False, judge=lambda _: None)

    def holds(self, name: PurePosixPath) -> bool:
        """Return whether there is such a file."""
        return (self._root / name).is_file()

    def bring_index(self, camera: PurePosixPath, first_day: str, last_day: str) -> None:
        """Nothing is to be brought."""

    def bring(self, names: Iterable[PurePosixPath], progress: StageProgress | None = None) -> None:
        """Nothing is to be brought."""
