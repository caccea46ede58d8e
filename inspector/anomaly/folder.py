"""Write a folder as a whole: all its files are there or none, also where it takes the place of another."""

from __future__ import annotations

import ctypes
import errno
import glob
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_CANNOT = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}
"""What a kernel or a file system answers that knows no exchange."""


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder of `files`, in the place of what is at `path`.

    Written to a hidden folder beside it, synced, and exchanged with it in one step. Where the file system cannot exchange
    (NFS), the old folder steps aside first: whoever is killed at that very moment leaves it where `set_aside` finds it.

    Raises:
        OSError: It cannot be written; what was there is there still.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    temporary.mkdir()
    try:
        for name, content in files.items():
            with (temporary / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        _sync(temporary)
        if not path.exists():
            temporary.rename(path)
        elif not _exchange(temporary, path):
            _replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync(path.parent)
    shutil.rmtree(temporary, ignore_errors=True)  # the old one, where they were exchanged


def set_aside(path: Path) -> Path | None:
    """Return the folder that last stepped aside for one at `path` and was left there by whoever was killed meanwhile."""
    left = path.parent.glob(f".{glob.escape(path.name)}.*.old")
    return max(left, key=lambda folder: folder.stat().st_mtime, default=None)


def _exchange(first: Path, second: Path) -> bool:
    """Give each the other's name, as one step; return False where that is not possible here."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):  # another system, or an older C library
        return False
    if renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT:
        return False
    raise OSError(code, os.strerror(code), str(second))


def _replace(temporary: Path, path: Path) -> None:
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.old")
    path.rename(aside)
    try:
        temporary.rename(path)
    except BaseException:
        aside.rename(path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
