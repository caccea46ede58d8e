"""Copies of an archive's files: kept, known by their size, removed with the archive's, and never beside a user's own files."""

from __future__ import annotations

import os
import time
from pathlib import Path, PurePosixPath

import pytest

from trainer.archives.copies import MARKER_FILE, Copies
from trainer.errors import DatasetError, OutputError

CAMERA = PurePosixPath("L1/C1")
FIRST, SECOND = CAMERA / "2026-03-01/ok/1_1_a.png", CAMERA / "2026-03-01/nok/2_2_b.png"


def test_a_copy_is_known_by_its_size_and_goes_with_the_archives(tmp_path: Path) -> None:
    copies = Copies(tmp_path / "copies", "s3://bucket/x")
    copies.keep(FIRST, b"first")
    copies.keep(SECOND, b"second")
    assert [copies.has(FIRST, 5), copies.has(FIRST, 6), copies.has(CAMERA / "none.png", 0)] == [True, False, False]
    other = PurePosixPath("L1/C2/2026-03-01/ok/3_3_c.png")
    copies.keep(other, b"of another camera")
    Copies(tmp_path / "copies", "s3://bucket/x").drop_others(CAMERA, {SECOND})
    assert [copies.has(FIRST, 5), copies.has(SECOND, 6), copies.has(other, 17)] == [False, True, True]


def test_half_a_file_of_a_killed_process_goes_once_nobody_can_be_writing_it(tmp_path: Path) -> None:
    copies = Copies(tmp_path, "s3://bucket/x")
    copies.keep(FIRST, b"first")
    young, old = ((tmp_path / FIRST).with_name(f".1_1_a.png.{letter * 32}.tmp") for letter in "ab")
    young.touch()
    old.touch()
    os.utime(old, (time.time() - 2 * 24 * 3600,) * 2)
    copies.drop_others(CAMERA, {FIRST})
    assert (young.exists(), old.exists()) == (True, False)


def test_nothing_is_kept_beside_other_files_or_another_stores(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/picture.png").touch()
    with pytest.raises(DatasetError, match="holds files that are no copies of an archive"):
        Copies(tmp_path / "mine", "s3://bucket/x")
    assert not (tmp_path / "mine" / MARKER_FILE).exists()
    Copies(tmp_path / "copies", "s3://bucket/x")
    with pytest.raises(DatasetError, match=r"holds copies of s3://bucket/x, and this archive is s3://bucket/y"):
        Copies(tmp_path / "copies", "s3://bucket/y")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="give another folder to --archive-cache"):
        Copies(tmp_path / "file", "s3://bucket/x")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / MARKER_FILE).write_bytes(b"\xff")
    with pytest.raises(OutputError, match="give another folder"):
        Copies(tmp_path / "odd", "s3://bucket/x")
