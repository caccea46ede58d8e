"""The transaction of a flush, cut off at every step by a kill or a failing storage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pytest

from inspector.archive.holdings.day import Limits
from inspector.archive.holdings.index import read_segments
from inspector.archive.holdings.keeper import Arrival, Keeper
from inspector.archive.holdings.verify import verify
from inspector.archive.storage.port import StorageError
from schemas.archive.layout import mask_name
from tests.archives import DAY_US, FaultyStorage, KilledError, arrival_of, candidate_of

LIMITS = Limits(ok=4, uninspected=1)
OWNER = "inspection.results-0"
STEPS = 60


@pytest.fixture
def storage(tmp_path: Path) -> FaultyStorage:
    storage = FaultyStorage(tmp_path / "archive")
    storage.create()
    return storage


def wave(first: int) -> list[Arrival]:
    """Of one flush: ok, near, nok and uninspected pictures of two days."""
    scores: Sequence[float | None] = [0.2, 0.3, 0.46, 0.8, None, 0.1]
    return [
        arrival_of(first + number, score, at_us=arrival_of(0).row.captured_at + day * DAY_US)
        for day in (0, 1)
        for number, score in enumerate(scores)
    ]


def state_of(storage: FaultyStorage) -> set[tuple[str, bool]]:
    account = verify(storage)
    assert account.is_whole
    assert account.unlisted == []
    return {
        (row.file, row.is_sample)
        for day in ("L1/C1/2026-03-01", "L1/C1/2026-03-02")
        for rows in read_segments(storage, day).values()
        for row in rows
    }


def undisturbed(tmp_path: Path, waves: int) -> set[tuple[str, bool]]:
    storage = FaultyStorage(tmp_path / "undisturbed")
    storage.create()
    keeper = Keeper(storage, LIMITS)
    for number in range(waves):
        keeper.keep(OWNER, wave(10 * number))
    return state_of(storage)


@pytest.mark.parametrize("fault", [KilledError, StorageError])
def test_cut_off_at_any_step_and_repeated_it_is_as_if_nothing_had_happened(
    storage: FaultyStorage, tmp_path: Path, fault: type[Exception]
) -> None:
    expected = undisturbed(tmp_path, 3)
    storage.fault = fault
    keeper = Keeper(storage, LIMITS)
    cuts = 0
    for number in range(3):
        for steps in range(STEPS):
            arriving = wave(10 * number)
            storage.steps_left = steps
            try:
                keeper.keep(OWNER, arriving)
            except fault:
                cuts += 1
            else:
                break
            finally:
                storage.steps_left = None
            if fault is KilledError:
                keeper = Keeper(storage, LIMITS)
            keeper.forget()
            keeper.recover(OWNER)
            state_of(storage)  # nothing is half there
        assert storage.steps_left is None
    assert cuts > 30
    assert state_of(storage) == expected


def test_a_kill_in_the_middle_of_mending_does_no_harm(storage: FaultyStorage, tmp_path: Path) -> None:
    keeper = Keeper(storage, LIMITS)
    keeper.keep(OWNER, wave(0))
    storage.steps_left, storage.fault = 6, KilledError
    with pytest.raises(KilledError):
        keeper.keep(OWNER, wave(10))
    for steps in range(3):
        storage.steps_left = steps
        with pytest.raises(KilledError):
            Keeper(storage, LIMITS).recover(OWNER)
    storage.steps_left = None
    keeper = Keeper(storage, LIMITS)
    keeper.recover(OWNER)
    keeper.keep(OWNER, wave(10))
    assert state_of(storage) == undisturbed(tmp_path, 2)


def test_what_is_there_is_not_wanted_again(storage: FaultyStorage) -> None:
    keeper = Keeper(storage, LIMITS)
    assert keeper.fate(candidate_of(3, 0.8)) == "wanted"
    kept = keeper.keep(OWNER, [arrival_of(3, 0.8)])
    assert (len(kept.added), kept.removed) == (1, 0)
    assert keeper.fate(candidate_of(3, 0.2)) == "held", "the first result counts"
    assert Keeper(storage, LIMITS).fate(candidate_of(3, 0.2)) == "held", "also for the next process"
    keeper.keep(OWNER, [arrival_of(seq) for seq in range(10, 40)])
    fates = {keeper.fate(candidate_of(seq)) for seq in range(50, 200)}
    assert fates == {"wanted", "unsampled"}


def test_a_relabelled_file_is_its_owners_and_is_neither_removed_nor_brought_back(storage: FaultyStorage) -> None:
    keeper = Keeper(storage, LIMITS)
    arrival = arrival_of(0, 0.8)
    keeper.keep(OWNER, [arrival, arrival_of(1, 0.9)])
    root = storage._root
    moved = root / arrival.row.file.replace("/nok/", "/ok/")
    moved.parent.mkdir()
    (root / arrival.row.file).rename(moved)
    account = verify(storage)
    assert (account.rows, account.relabelled, account.is_whole) == (2, 1, True)
    keeper.remove(OWNER, "L1/C1/2026-03-01", [arrival.row.result_id])
    assert moved.read_bytes() == arrival.content


def test_a_removed_picture_takes_its_mask_and_its_empty_folders_along(storage: FaultyStorage) -> None:
    keeper = Keeper(storage, LIMITS)
    arrival = arrival_of(0, 0.8)
    keeper.keep(OWNER, [arrival])
    mask = storage._root / mask_name(PurePosixPath(arrival.row.file))
    mask.write_bytes(b"mask")
    assert keeper.remove(OWNER, "L1/C1/2026-03-01", [arrival.row.result_id]).removed == 1
    assert [path.name for path in storage._root.iterdir() if path.name[0] != "."] == []


def test_without_its_disk_nothing_is_written_and_no_new_archive_begins(tmp_path: Path) -> None:
    storage = FaultyStorage(tmp_path / "mount")
    (tmp_path / "mount").mkdir()
    with pytest.raises(StorageError, match=r"contains no archive .* mount its disk"):
        Keeper(storage, LIMITS).keep(OWNER, [arrival_of(0, 0.8)])
    assert list((tmp_path / "mount").iterdir()) == []
