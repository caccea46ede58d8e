"""Compares the index with the files: `inspector archive --verify`. Changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from inspector.archive.holdings.index import read_segments
from inspector.archive.storage.port import Storage
from schemas.archive.layout import INDEX_DIR, MASK_SUFFIX, relabelled_name

_SHOWN: Final = 10


@dataclass(slots=True)
class Account:
    """What was found.

    Attributes:
        rows: of the index.
        files: pictures.
        relabelled: rows whose file somebody moved to the other label.
        missing: files of rows that are not there.
        altered: files that are not what their row says.
        unlisted: pictures without a row.
        repeated: ids that have more than one row.
    """

    rows: int = 0
    files: int = 0
    relabelled: int = 0
    missing: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether index and files agree. Files that were put there by hand have no row, and are said but no fault."""
        return not (self.missing or self.altered or self.repeated)

    def lines(self) -> Iterator[str]:
        """Yield the account in words."""
        yield f"{self.rows} rows, {self.files} pictures, {self.relabelled} of them relabelled"
        for what, names in (
            ("in the index, but missing", self.missing),
            ("different from what the index says", self.altered),
            ("not in the index", self.unlisted),
            ("in the index more than once", self.repeated),
        ):
            if names:
                more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
                yield f"{len(names)} {what}: {', '.join(names[:_SHOWN])}{more}"


def verify(storage: Storage, *, reads_files: bool = True) -> Account:
    """Return how index and files agree.

    Args:
        storage: holds the archive.
        reads_files: whether the digests of all files are compared, too.

    Raises:
        StorageError: Something cannot be read.
    """
    storage.check()
    account = Account()
    for day in _days(storage):
        _verify_day(storage, day, account, reads_files=reads_files)
    return account


def _days(storage: Storage) -> Iterator[str]:
    for line in _folders(storage, ""):
        for camera in _folders(storage, line):
            yield from _folders(storage, f"{line}/{camera}", f"{line}/{camera}/")


def _folders(storage: Storage, folder: str, prefix: str = "") -> list[str]:
    return [prefix + entry.name for entry in storage.entries(folder) if entry.is_folder and entry.name[0] != "."]


def _verify_day(storage: Storage, day: str, account: Account, *, reads_files: bool) -> None:
    there = {
        f"{day}/{folder.name}/{entry.name}"
        for folder in storage.entries(day)
        if folder.is_folder and folder.name != INDEX_DIR
        for entry in storage.entries(f"{day}/{folder.name}")
        if not entry.is_folder and not entry.name.endswith(MASK_SUFFIX)
    }
    account.files += len(there)
    seen: set[str] = set()
    for row in (row for rows in read_segments(storage, day).values() for row in rows):
        account.rows += 1
        if row.result_id in seen:
            account.repeated.append(row.file)
        seen.add(row.result_id)
        name = row.file
        moved = relabelled_name(PurePosixPath(name))
        if name not in there and moved is not None and str(moved) in there:
            name = str(moved)
            account.relabelled += 1
        if name not in there:
            account.missing.append(row.file)
            continue
        there.discard(name)
        if reads_files and hashlib.sha256(storage.read(name) or b"").hexdigest() != row.file_digest:
            account.altered.append(name)
    account.unlisted.extend(sorted(there))
