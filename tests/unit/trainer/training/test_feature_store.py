from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainer.errors import OutputError
from trainer.training.feature_store import FeatureStore

ROW = (2, 3, 4)
ROW_BYTES = 4 * 2 * 3 * 4


def rows(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, *ROW, generator=torch.Generator().manual_seed(seed))


def filled(count: int, *, in_memory: int, batch: int = 3, folder: Path | None = None) -> FeatureStore:
    store = FeatureStore(count, limit_bytes=in_memory * ROW_BYTES + 1, folder=folder)
    for part in torch.split(rows(count), batch):
        store.append(part)
    return store


@given(
    count=st.integers(1, 20),
    in_memory=st.integers(0, 25),
    batch=st.integers(1, 7),
    size=st.integers(1, 9),
    data=st.data(),
)
def test_rows_come_back_as_they_were_wherever_they_lie(
    count: int, in_memory: int, batch: int, size: int, data: st.DataObject
) -> None:
    order = data.draw(st.lists(st.integers(0, count - 1), max_size=30))
    with filled(count, in_memory=in_memory, batch=batch) as store:
        assert (len(store), store.shape) == (count, ROW)
        assert store.spilled_bytes == max(0, count - in_memory) * ROW_BYTES
        assert torch.equal(torch.cat(list(store.batches(size=size))), rows(count))
        found = list(store.batches(order, size))
        assert all(len(part) == size for part in found[:-1])
        assert torch.equal(torch.cat([*found, torch.empty(0, *ROW)]), rows(count)[order])


def test_the_file_has_no_name_and_what_is_read_is_a_copy(tmp_path: Path) -> None:
    with filled(8, in_memory=2, folder=tmp_path) as store:
        assert list(tmp_path.iterdir()) == [], "nothing is left of it, however the process ends"
        for row in (0, 7):
            store.read([row]).zero_()
            assert torch.equal(store.read([row]), rows(8)[row : row + 1])
    assert len(store) == 0
    with pytest.raises(ValueError, match="the store is empty"):
        _ = store.shape


@pytest.mark.parametrize(
    "batch", [torch.zeros(1, 2, 3, 5), torch.zeros(1, *ROW, dtype=torch.float64), torch.zeros(3, *ROW)]
)
def test_what_does_not_fit_is_refused(batch: Tensor) -> None:
    store = FeatureStore(4)
    store.append(rows(2))
    with pytest.raises(ValueError, match="do not fit into a store of 4 rows"):
        store.append(batch)
    assert len(store) == 2


@pytest.mark.parametrize("order", [[-1], [5], [0, 99]])
def test_rows_that_are_not_there_are_refused(order: list[int]) -> None:
    with filled(5, in_memory=2) as store, pytest.raises(IndexError, match="rows are 0 to 4"):
        store.read(order)


def test_a_full_disk_is_named_with_the_mend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*args: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("trainer.training.feature_store.os.pwrite", full)
    message = r"No space left on device.*set TMPDIR"
    with FeatureStore(4, limit_bytes=ROW_BYTES, folder=tmp_path) as store, pytest.raises(OutputError, match=message):
        store.append(rows(4))


def test_a_file_that_was_cut_is_noticed() -> None:
    with filled(4, in_memory=1) as store:
        assert store._file is not None
        os.ftruncate(store._file.fileno(), ROW_BYTES)
        with pytest.raises(OutputError, match="shorter than what was written"):
            store.read([3])
