"""A folder as storage: a file is written under a hidden name, synced and renamed, then the folder is synced."""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from inspector.archive.storage.port import Listed, StorageError
from schemas.archive.layout import MARKER_FILE

_HALF_WRITTEN: Final = re.compile(r"\..*\.[0-9a-f]{32}\.tmp")
_MARKER: Final = b"An archive of line-inspector; `inspector archive` writes here as long as this file is here.\n"


class FolderStorage:
    """`Storage` in a folder of this machine, or of a network's file system that is mounted here."""

    def __init__(self, root: Path) -> None:
        """Use `root`; nothing is looked at yet."""
        self._root = root

    def check(self) -> None:
        """Find out whether the marker is there."""
        with _told(self._root):
            is_there = (self._root / MARKER_FILE).is_file()
        if not is_there:
            raise StorageError(
                f"{self._root} contains no archive ({MARKER_FILE} is missing); mount its disk, or create a new "
                "archive with `inspector archive --create`"
            )

    def create(self) -> None:
        """Make folder and marker."""
        with _told(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            if not (self._root / MARKER_FILE).exists():
                self.write({MARKER_FILE: _MARKER})

    def read(self, name: str) -> bytes | None:
        """Return a file's content."""
        path = self._root / name
        with _told(path):
            try:
                return path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write files: all are synced before the first one gets its name, and their folders once at the end."""
        written: dict[Path, Path] = {}
        try:
            for name, content in files.items():
                path = self._root / name
                with _told(path):
                    self._make(path.parent)
                    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
                    written[temporary] = path
                    _write_synced(temporary, content)
            for temporary, path in list(written.items()):
                with _told(path):
                    temporary.replace(path)
                del written[temporary]
            for folder in {(self._root / name).parent for name in files}:
                with _told(folder):
                    _sync(folder)
        finally:
            for temporary in written:
                with contextlib.suppress(OSError):
                    temporary.unlink()

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, and folders that become empty."""
        folders: set[Path] = set()
        for name in names:
            path = self._root / name
            with _told(path):
                path.unlink(missing_ok=True)
            folders.add(path.parent)
        for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
            self._remove_empty(folder)

    def entries(self, folder: str) -> list[Listed]:
        """Return what is in a folder."""
        path = self._root / folder
        with _told(path):
            try:
                with os.scandir(path) as found:
                    return sorted(
                        Listed(entry.name, entry.is_dir(), 0 if entry.is_dir() else entry.stat().st_size)
                        for entry in found
                    )
            except (FileNotFoundError, NotADirectoryError):
                return []

    def tidy(self, folders: Iterable[str]) -> None:
        """Remove files of hidden names that a killed writer left."""
        for folder in folders:
            for entry in self.entries(folder):
                if _HALF_WRITTEN.fullmatch(entry.name):
                    path = self._root / folder / entry.name
                    with _told(path):
                        path.unlink(missing_ok=True)

    def _make(self, folder: Path) -> None:
        """Make a folder below the root, and see to it that it stays."""
        missing = [one for one in (folder, *folder.parents) if one.is_relative_to(self._root) and not one.is_dir()]
        for one in reversed(missing):
            one.mkdir(exist_ok=True)
            _sync(one.parent)

    def _remove_empty(self, folder: Path) -> None:
        for one in (folder, *folder.parents):
            if one == self._root:
                return
            try:
                one.rmdir()
            except OSError:  # not empty, or not ours to remove
                return


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StorageError(f"{path}: {exc.strerror or exc}") from exc


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb", buffering=0) as file:
        left = memoryview(content)
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
