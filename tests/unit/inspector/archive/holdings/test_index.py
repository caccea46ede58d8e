from __future__ import annotations

from pathlib import Path

import pytest

from inspector.archive.holdings.index import SCHEMA, decode_rows, encode_rows, read_segments, segment_name
from inspector.archive.storage.folder import FolderStorage
from inspector.archive.storage.port import StorageError
from schemas.archive.row import ArchiveRow
from tests.archives import arrival_of


def test_rows_come_back_as_they_were() -> None:
    rows = [arrival_of(seq, score).row for seq, score in enumerate((0.2, 0.9, None))]
    assert decode_rows(encode_rows(rows)) == rows
    assert decode_rows(encode_rows([])) == []
    assert tuple(SCHEMA.names) == ArchiveRow._fields


def test_what_is_no_index_is_said_with_its_name(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    day = "L1/C1/2026-03-01"
    storage.write({segment_name(day, 0): encode_rows([arrival_of(1).row]), segment_name(day, 7): b"no parquet"})
    with pytest.raises(StorageError, match=r"0007\.parquet is not a Parquet file of the index.*; move it away"):
        read_segments(storage, day)
    (tmp_path / segment_name(day, 7)).unlink()
    assert read_segments(storage, day) == {0: [arrival_of(1).row]}
    assert read_segments(storage, "no/such/day") == {}
