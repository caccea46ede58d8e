"""From what a command was told to an archive's place: a folder as it lies, a store with a folder of copies."""

from __future__ import annotations

from pathlib import Path

from trainer.archives.place import ArchivePlace, FolderArchive
from trainer.errors import DatasetError


def open_archive(place: Path | str, cache: Path | None = None, config: Path | None = None) -> ArchivePlace:
    """Return the place of an archive; nothing is looked at yet.

    Args:
        place: A folder, or `s3://bucket/prefix`.
        cache: Folder of the copies; needed for a store.
        config: The inspector's settings file, for the store's address and keys; None: environment and machine.

    Raises:
        DatasetError: The store's settings are wrong, or it has no folder of copies.
        OutputError: The copies cannot be written.
    """
    if isinstance(place, Path):
        return FolderArchive(place)
    if cache is None:
        raise DatasetError(
            f"pictures of {place} are copied to this machine before they are read; name a folder for that"
        )
    from trainer.archives.stored import StoredArchive  # noqa: PLC0415 - what speaks to a store loads only for one

    return StoredArchive(place, cache, config)
