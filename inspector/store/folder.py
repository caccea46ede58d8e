"""Pictures as files below a folder. Blocking; no link is followed, so nothing outside the folder is ever opened."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from inspector.store.allowed import AllowedPlace
from inspector.store.errors import ClaimError, shown
from schemas.image_uri import store_place

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_INSIDE = _FOLDER | os.O_NOFOLLOW
# A pipe would wait for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_REFUSED = frozenset({errno.ELOOP, errno.ENOTDIR, errno.ENXIO})
"""A link; a link or a file where a folder belongs; a socket."""


def absent_folders(prefixes: Iterable[str]) -> Iterator[str]:
    """Yield those of these prefixes that name a folder which is not here. Blocking, as long as a network's file system likes."""
    for prefix in prefixes:
        place = store_place(prefix, folder=True)
        if place.scheme == "file" and not Path("/", place.path).is_dir():
            yield prefix


def read_file(allowed: AllowedPlace, size_bytes: int) -> bytes:
    """Return the bytes of a file that has exactly `size_bytes`; of any other none is read. On a thread of its own.

    The prefix's own folder may be reached by links: its operator wrote it. Below it every part is opened from the one before.

    Raises:
        ClaimError: No such file, no folder of the prefix, a link or no plain file, another size, or it cannot be read.
    """
    parts = allowed.place.path.removeprefix(allowed.folder.path).split("/")
    with contextlib.ExitStack() as opened:

        def follow(name: str, flags: int, folder: int | None = None) -> int:
            descriptor = os.open(name, flags, dir_fd=folder)
            opened.callback(os.close, descriptor)
            return descriptor

        folder = Path("/", allowed.folder.path)
        try:
            try:
                at = follow(str(folder), _FOLDER)
            except FileNotFoundError as exc:
                raise ClaimError("image_unreachable", f"the folder {folder} does not exist; is it mounted?") from exc
            for part in parts[:-1]:
                at = follow(part, _INSIDE, at)
            file = follow(parts[-1], _FILE, at)
            return _read(file, allowed.uri, size_bytes)
        except FileNotFoundError as exc:
            raise ClaimError("image_missing", f"the file {shown(allowed.uri)} does not exist") from exc
        except OSError as exc:
            if exc.errno in _REFUSED:
                raise ClaimError(
                    "image_refused",
                    f"{shown(allowed.uri)} contains a link, or a part that is not a folder; links are not followed",
                ) from exc
            raise ClaimError("image_unreachable", f"{shown(allowed.uri)} cannot be read: {exc.strerror}") from exc


def _read(file: int, uri: str, size_bytes: int) -> bytes:
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode):
        raise ClaimError("image_refused", f"{shown(uri)} is not a regular file")
    if found.st_size != size_bytes:
        raise ClaimError("image_mismatch", f"{shown(uri)} has {found.st_size} bytes, but the frame says {size_bytes}")
    with open(file, "rb", buffering=0, closefd=False) as plain:
        data = plain.read(size_bytes)
        while len(data) < size_bytes and (more := plain.read(size_bytes - len(data))):
            data += more
    if len(data) != size_bytes:
        raise ClaimError(
            "image_mismatch", f"{shown(uri)} ended after {len(data)} bytes, but the frame says {size_bytes}"
        )
    return data
