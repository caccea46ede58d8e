from __future__ import annotations

import os
from pathlib import Path

import pytest

from inspector.anomaly.network.cores import usable_cores

BOUND = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("max 100000", BOUND),
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("150000 100000", min(BOUND, 2)),
        ("6400000 100000", BOUND),
        ("nonsense", BOUND),
        ("1 0", BOUND),
    ],
)
def test_the_limit_of_a_container_counts(tmp_path: Path, limit: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(limit + "\n")
    assert usable_cores(tmp_path) == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", BOUND), ("100000", 1)])
def test_control_groups_of_version_1_count_too(tmp_path: Path, quota: str, expected: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota + "\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cores(tmp_path) == expected


def test_without_control_groups_the_cores_that_the_process_is_bound_to_count(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "none") == BOUND
