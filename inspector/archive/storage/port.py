"""What the archive needs from a storage: whole files by name. All calls block; they run on the archive's own thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol


class StorageError(Exception):
    """The storage is full, away, or does not do what it was asked; worth another try. Says which file and why."""


class Listed(NamedTuple):
    """A file or folder in a folder."""

    name: str
    """Its last part."""
    is_folder: bool
    size_bytes: int


class Storage(Protocol):
    """Files by names relative to the archive's root, with `/` between the parts. Every method may raise `StorageError`."""

    def check(self) -> None:
        """Check that the archive exists: a mount point without its disk does not count."""
        ...

    def create(self) -> None:
        """Make an archive here; one that is there stays as it is."""
        ...

    def read(self, name: str) -> bytes | None:
        """Return a file's content; None where there is no such file."""
        ...

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write files, each as a whole or not at all; when this returns they survive the loss of power."""
        ...

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; missing ones are ignored. Folders that become empty are removed too."""
        ...

    def entries(self, folder: str) -> list[Listed]:
        """Return what is in a folder, sorted by name; nothing if it does not exist. "": the root."""
        ...

    def tidy(self, folders: Iterable[str]) -> None:
        """Remove what a killed writer left half-written in these folders. Nobody else may be writing there."""
        ...
