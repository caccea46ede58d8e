"""Writes files and folders as a whole: if the process is killed meanwhile, either the old or the new one is there.

Everything is first written under a hidden name in the same folder, then synced and renamed in one step. Files and folders that a killed
process left behind can be recognised by their name: `.NAME.<32 hexadecimal digits>.tmp` of a file, the same without `.tmp` of a folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import glob
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_CANNOT = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}
"""What a kernel or a file system answers that knows no exchange."""
_UNIQUE = "[0-9a-f]" * 32
"""What the hidden names of two writers differ in, as a pattern of file names."""
_LEFT_BEHIND_S = 24 * 3600.0
"""No writer still works on a folder that is this old."""


def write_file(path: Path, content: bytes) -> None:
    """Write a file in the place of what is at `path`, or of what a symbolic link there points to. Its folder must be there.

    Raises:
        OSError: It cannot be written; what was there is there still.
    """
    path = resolved(path)
    temporary = _temporary(path, ".tmp")
    try:
        _write_synced(temporary, content)
        if path.exists():
            shutil.copymode(path, temporary)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def unfinished_files(folder: Path, name: str | None = None) -> list[Path]:
    """Return what killed writers of files left in a folder; whoever calls must know that none is at work there.

    Args:
        folder: Where the files were to be.
        name: Of one file; None for all.
    """
    wanted = "*" if name is None else glob.escape(name)
    return sorted(folder.glob(f".{wanted}.{_UNIQUE}.tmp"))


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder of `files`, in the place of what is at `path`, or of what a symbolic link there points to.

    Written to a hidden folder beside it, synced, and exchanged with it in one step. Where the file system cannot exchange
    (NFS), the old folder steps aside first: whoever is killed at that very moment leaves it where `set_aside` finds it. What others
    who were killed left of this name is removed once it is a day old, except what stepped aside.

    Raises:
        OSError: It cannot be written; what was there is there still.
    """
    path = resolved(path)
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "there is a file of this name", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    temporary.mkdir()
    try:
        for name, content in files.items():
            _write_synced(temporary / name, content)
        sync_folder(temporary)
        if not path.exists():
            temporary.rename(path)
        elif not _exchange(temporary, path):
            _replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(path.parent)
    shutil.rmtree(temporary, ignore_errors=True)  # the old one, where they were exchanged
    _remove_left_behind(path)


def try_folder(path: Path) -> None:
    """Find out whether `write_folder` could write to `path`, and leave nothing behind.

    Raises:
        OSError: It could not: a parent cannot be made or written to, or a name is too long.
    """
    path = resolved(path)
    made = next(parent for parent in path.parents if parent.exists())
    with tempfile.TemporaryDirectory(prefix=".", dir=made) as trial:
        # Missing parents are tried inside it: whoever makes the true ones meanwhile keeps them.
        temporary = trial / path.parent.relative_to(made) / _temporary(path).name
        temporary.mkdir(parents=True)
        (temporary / "file").write_bytes(b"1")


def is_empty_folder(path: Path) -> bool:
    """Return whether there is a folder with nothing in it, which may be used as if it were not there.

    Raises:
        OSError: What is in it cannot be seen.
    """
    return path.is_dir() and not any(path.iterdir())


def resolved(path: Path) -> Path:
    """Return the absolute path of what is written for `path`: where a symbolic link points to, not the link."""
    return Path(os.path.realpath(path))  # Path.resolve raises RuntimeError for links in a circle


def set_aside(path: Path) -> Path | None:
    """Return the folder that last stepped aside for one at `path` and was left there by whoever was killed meanwhile."""
    path = resolved(path)
    left = path.parent.glob(f".{glob.escape(path.name)}.*.old")
    return max(left, key=lambda folder: folder.stat().st_mtime, default=None)


def _temporary(path: Path, suffix: str = "") -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}{suffix}")


def _remove_left_behind(path: Path) -> None:
    """Remove what killed writers of `path` left: half a new folder, or the old one after the exchange.

    A folder that is being written is young, and an old one that was exchanged is of no more use to its writer. One that
    stepped aside may be needed to go back, and looks as old as it was before: it stays.
    """
    oldest = time.time() - _LEFT_BEHIND_S
    for left in path.parent.glob(f".{glob.escape(path.name)}.{_UNIQUE}"):
        with contextlib.suppress(OSError):  # another writer removes it as well
            if left.lstat().st_mtime < oldest:
                shutil.rmtree(left, ignore_errors=True)


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
    aside = _temporary(path, ".old")
    path.rename(aside)
    try:
        temporary.rename(path)
    except BaseException:
        aside.rename(path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Make the names in a folder last, also when the power goes.

    Raises:
        OSError: It cannot be opened or synced.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
