from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from inspector.archive.holdings.day import Limits
from inspector.archive.holdings.keeper import Arrival, Keeper
from inspector.archive.storage.folder import FolderStorage
from schemas.archive.layout import relabelled_name
from tests.archives import shown_arrival
from tests.pictures import part
from trainer.dataset.archive import list_archive
from trainer.dataset.index import read_index
from trainer.errors import DatasetError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three ok pictures of the sample, one of them a copy, two near ones, and two nok."""
    storage = FolderStorage(tmp_path / "archive")
    storage.create()
    arrivals = [shown_arrival(seq, score, part(shows)) for seq, score, shows in (
        (0, 0.1, 0), (1, 0.2, 1), (2, 0.2, 1), (3, 0.46, 3), (4, 0.47, 4), (5, 0.8, 5), (6, 0.9, 6),
    )]  # fmt: skip
    near = [Arrival(one.row._replace(is_sample=False) if one.row.is_near else one.row, one.content) for one in arrivals]
    Keeper(storage, Limits(10, 0)).keep("p", near)
    return tmp_path / "archive"


def names(root: Path, *, include_near: bool = False) -> list[tuple[str, str]]:
    listing = list_archive(root, "L1", "C1", include_near=include_near)
    return [(image.name.rpartition("_")[2], image.label) for image in listing.images]


def test_copies_and_what_lies_near_the_threshold_are_left_out_and_said(root: Path) -> None:
    assert names(root) == [("part-0.png", "ok"), ("part-1.png", "ok"), ("part-5.png", "nok"), ("part-6.png", "nok")]
    assert [name for name, _ in names(root, include_near=True)][2:4] == ["part-3.png", "part-4.png"]
    tally = list_archive(root, "L1", "C1").tally
    assert tally is not None
    reasons = {reason: len(found) for reason, found in tally.by_reason.items()}
    assert reasons["a copy of an earlier image"] == 1
    assert reasons["kept for its score near the threshold"] == 2


def test_whose_label_somebody_corrected_is_learnt_from(root: Path) -> None:
    row = next(row for row in read_index(root / "L1/C1").rows() if row.seq == 6)
    moved = relabelled_name(PurePosixPath(row.file))
    assert moved is not None
    (root / row.file).rename(root / moved)
    assert ("part-6.png", "ok") in names(root)
    assert read_index(root / "L1/C1").row(moved) == row


def test_an_index_that_cannot_be_read_is_named(root: Path) -> None:
    (root / "L1/C1/2026-03-01/.index/0000.parquet").write_bytes(b"none")
    with pytest.raises(DatasetError, match=r"0000\.parquet cannot be read as the archive's index"):
        list_archive(root, "L1", "C1")
