from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from inspector.archive.holdings.retention import Bounds, is_ok, removals, size_of
from schemas.archive.layout import day_of
from schemas.archive.row import ArchiveRow
from tests.archives import DAY_US, NOON_US, arrival_of

NOW_US = NOON_US + 20 * DAY_US


def by_day(rows: Sequence[ArchiveRow]) -> dict[str, list[ArchiveRow]]:
    days: dict[str, list[ArchiveRow]] = {}
    for row in rows:
        days.setdefault(day_of(row.captured_at), []).append(row)
    return days


def gone_of(days: Mapping[str, Sequence[ArchiveRow]], bounds: Bounds, *, now_us: int = NOW_US) -> set[str]:
    sizes = {day: size_of(rows) for day, rows in days.items()}
    return {
        name for removal in removals(sizes, lambda day: days[day], bounds, now_us=now_us) for name in removal.result_ids
    }


def picture(day: int, seq: int, score: float) -> ArchiveRow:
    return arrival_of(seq, score, at_us=NOON_US + day * DAY_US).row._replace(file_bytes=10)


PICTURES = st.lists(st.tuples(st.integers(0, 19), st.sampled_from([0.2, 0.9])), max_size=20)


@given(PICTURES, st.integers(1, 25), st.integers(0, 250), st.integers(0, 8))
def test_what_stays_is_young_or_among_the_newest_ok_and_nothing_goes_without_need(
    pictures: list[tuple[int, float]], max_age_days: int, max_bytes: int, keep_last_ok: int
) -> None:
    rows = [picture(day, seq, score) for seq, (day, score) in enumerate(pictures)]
    gone = gone_of(by_day(rows), Bounds(max_age_days, max_bytes, keep_last_ok))
    left = [row for row in rows if row.result_id not in gone]
    newest_ok = sorted((row for row in rows if is_ok(row)), key=lambda row: row.captured_at)
    protected = {row.result_id for row in newest_ok[max(0, len(newest_ok) - keep_last_ok) :]}
    assert not gone & protected
    oldest_us = NOW_US - max_age_days * DAY_US
    assert all(row.captured_at >= oldest_us or row.result_id in protected for row in left)
    assert sum(row.file_bytes for row in left) <= max_bytes or {row.result_id for row in left} <= protected
    for row in rows:
        if row.result_id in gone and row.captured_at >= oldest_us:
            # For its bytes: what came after it would not have been enough to remove.
            later = sum(
                other.file_bytes
                for other in rows
                if other.captured_at >= row.captured_at and other.result_id not in protected
            )
            kept = sum(other.file_bytes for other in rows if other.result_id in protected)
            older_kept = 0 if row.result_id in protected else kept
            assert later + older_kept > max_bytes


def test_only_days_of_which_something_may_go_are_read() -> None:
    days = by_day([picture(day, day, 0.2) for day in range(10)])
    sizes = {day: size_of(rows) for day, rows in days.items()}
    asked: list[str] = []

    def rows_of(day: str) -> Sequence[ArchiveRow]:
        asked.append(day)
        return days[day]

    found = list(removals(sizes, rows_of, Bounds(90, 75, 2), now_us=NOW_US))
    assert [removal.day for removal in found] == ["2026-03-01", "2026-03-02", "2026-03-03"]
    assert len(asked) == 4
