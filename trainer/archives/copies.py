"""Copies of an archive's files on this machine: each is fetched once, and goes when the archive has it no longer.

FOLDER/BUCKET/PREFIX/.line-inspector-archive-copy   says of which store this is a copy
FOLDER/BUCKET/PREFIX/LINE/CAMERA/YYYY-MM-DD/...     as in the archive
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Final

from inspector.anomaly.files import is_empty_folder, write_file
from trainer.errors import DatasetError, OutputError

MARKER_FILE: Final = ".line-inspector-archive-copy"
_LEFT_BEHIND_S: Final = 24 * 3600.0
"""No process still writes to a file that is this old."""


class Copies:
    """A folder of copies. Several processes may share one: a copy gets its name when it is whole."""

    def __init__(self, root: Path, origin: str) -> None:
        """Make the folder, or go on with the one that is there.

        Args:
            root: where the copies of one archive lie.
            origin: the store that they are of, with its address.

        Raises:
            DatasetError: The folder holds other files, or copies of another store's.
            OutputError: It cannot be written to.
        """
        self.root = root
        marker = root / MARKER_FILE
        try:
            root.mkdir(parents=True, exist_ok=True)
            if is_empty_folder(root):
                write_file(marker, f"{origin}\n".encode())
            found = marker.read_text(encoding="utf-8").strip() if marker.is_file() else None
        except (OSError, UnicodeDecodeError) as error:
            raise _unwritable(root, error) from error
        if found is None:
            raise DatasetError(
                f"{root} holds files that are no copies of an archive, and what the archive does not have is removed from "
                "such a folder; give another one to --archive-cache"
            )
        if found != origin:
            raise DatasetError(
                f"{root} holds copies of {found}, and this archive is {origin}; give another folder to --archive-cache"
            )

    def has(self, name: PurePosixPath, size_bytes: int) -> bool:
        """Return whether there is a copy of this size: a picture of the archive never changes under its name."""
        with contextlib.suppress(OSError):
            return (self.root / name).stat().st_size == size_bytes
        return False

    def keep(self, name: PurePosixPath, content: bytes) -> None:
        """Keep a file, in the place of an older copy.

        Raises:
            OutputError: It cannot be written.
        """
        path = self.root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, content)
        except OSError as error:
            raise _unwritable(path, error) from error

    def drop_others(self, camera: PurePosixPath, names: Collection[PurePosixPath]) -> None:
        """Remove the copies of a camera's files that are not among `names`.

        Half a file that a killed process left goes once it is a day old; a younger one may still be written by another process.

        Raises:
            OutputError: One cannot be removed.
        """
        folder, oldest = self.root / camera, time.time() - _LEFT_BEHIND_S
        try:
            for path in folder.rglob("*"):
                is_kept = PurePosixPath(path.relative_to(self.root).as_posix()) in names
                if is_kept or (path.is_dir() and not path.is_symlink()):
                    continue
                if not path.name.startswith(".") or path.lstat().st_mtime < oldest:
                    path.unlink(missing_ok=True)
        except FileNotFoundError:  # another process removes the same
            return
        except OSError as error:
            raise _unwritable(folder, error) from error


def _unwritable(path: Path, error: OSError | UnicodeDecodeError) -> OutputError:
    reason = error if isinstance(error, OSError) else OSError(str(error))
    return OutputError.unwritable(path, reason, mend="give another folder to --archive-cache")
