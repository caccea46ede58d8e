"""Folders that cannot be read, whoever runs the tests: permissions do not bind root."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def lock(monkeypatch: pytest.MonkeyPatch, is_locked: Callable[[Path], bool]) -> None:
    """Refuse to list the folders that a function names, until the monkeypatch is undone."""

    def scandir(folder: Any = ".") -> Any:
        if isinstance(folder, str | os.PathLike) and is_locked(Path(folder)):
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return scan(folder)

    scan = os.scandir
    monkeypatch.setattr(os, "scandir", scandir)
