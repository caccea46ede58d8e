from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from inspector.archive.storage import folder as folder_module
from inspector.archive.storage.folder import FolderStorage
from inspector.archive.storage.port import Listed, StorageError


def test_a_file_is_there_as_a_whole_and_gone_with_its_empty_folders(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    storage.write({"a/b/c.png": b"one", "a/d.png": b"two"})
    assert storage.read("a/b/c.png") == b"one"
    assert storage.read("a/b/none.png") is None
    assert storage.read("a/d.png/x") is None
    assert storage.entries("a") == [Listed("b", True, 0), Listed("d.png", False, 3)]
    assert storage.entries("none") == []
    storage.remove(["a/b/c.png", "a/b/none.png"])
    assert storage.entries("") == [Listed("a", True, 0)]
    assert storage.entries("a") == [Listed("d.png", False, 3)]


def test_a_disk_that_is_full_in_the_middle_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FolderStorage(tmp_path)
    written = folder_module._write_synced

    def full(path: Path, content: bytes) -> None:
        written(path, content[:2])
        if b"second" in content:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(folder_module, "_write_synced", full)
    with pytest.raises(StorageError, match=r"b\.png: No space left on device"):
        storage.write({"x/a.png": b"first", "x/b.png": b"second"})
    assert list((tmp_path / "x").iterdir()) == []


def test_what_a_killed_writer_left_is_tidied_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    for name in (f".a.png.{'0' * 32}.tmp", ".hidden", "a.png", ".a.png.tmp"):
        (tmp_path / "x" / name).write_bytes(b"")
    FolderStorage(tmp_path).tidy(["x", "none"])
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == [".a.png.tmp", ".hidden", "a.png"]


def test_an_archive_is_made_once(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path / "new" / "archive")
    with pytest.raises(StorageError, match="inspector archive --create"):
        storage.check()
    storage.create()
    storage.create()
    storage.check()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=r"File exists|Not a directory"):
        FolderStorage(tmp_path / "file").create()
