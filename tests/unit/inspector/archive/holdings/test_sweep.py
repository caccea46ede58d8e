from __future__ import annotations

from pathlib import Path

import pytest

from inspector.archive.holdings.day import Limits
from inspector.archive.holdings.keeper import Keeper
from inspector.archive.holdings.retention import Bounds
from inspector.archive.holdings.sweep import Sweep
from inspector.archive.holdings.verify import verify
from inspector.archive.storage.folder import FolderStorage
from tests.archives import DAY_US, NOON_US, arrival_of

NOW_US = NOON_US + 9 * DAY_US


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    """Ten days of one camera, of each an ok and a nok picture."""
    storage = FolderStorage(tmp_path / "archive")
    storage.create()
    keeper = Keeper(storage, Limits(ok=10, uninspected=0))
    for day in range(10):
        keeper.keep(
            "p", [arrival_of(day * 2 + n, score, at_us=NOON_US + day * DAY_US) for n, score in enumerate((0.2, 0.9))]
        )
    return storage


def sweep_of(storage: FolderStorage, **bounds: int) -> Sweep:
    limits = {"max_age_days": 100, "max_bytes": 10**9, "keep_last_ok": 0} | bounds
    return Sweep(storage, Keeper(storage, Limits(ok=10, uninspected=0)), Bounds(**limits))


def days_left(storage: FolderStorage) -> list[str]:
    account = verify(storage)
    assert (account.is_whole, account.unlisted, account.rows) == (True, [], account.files)
    return [entry.name for entry in storage.entries("L1/C1")]


def test_old_days_go_as_a_whole_but_for_the_newest_ok(storage: FolderStorage) -> None:
    sweep = sweep_of(storage, max_age_days=3, keep_last_ok=5)
    assert sweep.cameras() == ["L1/C1"]
    assert sweep.sweep("L1/C1", now_us=NOW_US) == 11
    assert days_left(storage) == [f"2026-03-{day:02d}" for day in range(6, 11)]
    assert [row.name for row in storage.entries("L1/C1/2026-03-06")] == [".index", "ok"]
    assert sweep.sweep("L1/C1", now_us=NOW_US) == 0


def test_a_camera_with_too_many_bytes_gives_up_its_oldest(storage: FolderStorage) -> None:
    sweep = sweep_of(storage, max_bytes=4 * len(b"picture 10"))
    assert sweep.sweep("L1/C1", now_us=NOW_US) == 16
    assert days_left(storage) == ["2026-03-09", "2026-03-10"]


def test_days_of_another_process_stay(storage: FolderStorage) -> None:
    sweep = sweep_of(storage, max_bytes=0)
    sweep.sweep("L1/C1", now_us=NOW_US, before="2026-03-09")
    assert days_left(storage) == ["2026-03-09", "2026-03-10"]


def test_what_came_since_the_sweep_before_counts(storage: FolderStorage) -> None:
    sweep = sweep_of(storage, max_bytes=20 * len(b"picture 10"))
    assert sweep.sweep("L1/C1", now_us=NOW_US) == 0
    sweep._keeper.keep("p", [arrival_of(30 + number, 0.9, at_us=NOW_US) for number in range(4)])
    assert sweep.sweep("L1/C1", now_us=NOW_US, open_days=["2026-03-10"]) > 0
    assert verify(storage).is_whole
