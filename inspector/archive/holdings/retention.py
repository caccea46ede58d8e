"""Which pictures are removed because they are old or a camera's are too many bytes; never a camera's newest ok ones. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from schemas.archive.row import ArchiveRow

_DAY_US = 24 * 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """For how long pictures of a camera stay."""

    max_age_days: int
    max_bytes: int
    keep_last_ok: int


class DaySize(NamedTuple):
    """What one day of a camera comes to."""

    num_bytes: int
    num_ok: int


class Removal(NamedTuple):
    """Pictures of one day that go."""

    day: str
    result_ids: list[str]


def is_ok(row: ArchiveRow) -> bool:
    """Whether a model has called the picture ok."""
    return row.status == "inspected" and row.anomaly_class == "ok"


def size_of(rows: Iterable[ArchiveRow]) -> DaySize:
    """Return what a day comes to."""
    num_bytes = num_ok = 0
    for row in rows:
        num_bytes += row.file_bytes
        num_ok += is_ok(row)
    return DaySize(num_bytes, num_ok)


def removals(
    sizes: Mapping[str, DaySize], rows_of: Callable[[str], Sequence[ArchiveRow]], bounds: Bounds, *, now_us: int
) -> Iterator[Removal]:
    """Yield what is to go of one camera, the oldest first.

    Args:
        sizes: of the camera's days, by names that sort by time.
        rows_of: rows of a day; asked for those alone of which something may go.
        bounds: how long pictures stay.
        now_us: µs since 1970-01-01 UTC.
    """
    oldest_us = now_us - bounds.max_age_days * _DAY_US
    excess = sum(size.num_bytes for size in sizes.values()) - bounds.max_bytes
    newer_ok = sum(size.num_ok for size in sizes.values())
    for day in sorted(sizes):
        newer_ok -= sizes[day].num_ok
        rows = sorted(rows_of(day), key=lambda row: row.captured_at)
        if excess <= 0 and (not rows or rows[0].captured_at >= oldest_us):
            return
        ok_rows = [row.result_id for row in rows if is_ok(row)]
        protected = set(ok_rows[max(0, len(ok_rows) - max(0, bounds.keep_last_ok - newer_ok)) :])
        gone: list[str] = []
        for row in rows:
            if row.captured_at >= oldest_us and excess <= 0:
                break
            if row.result_id not in protected:
                gone.append(row.result_id)
                excess -= row.file_bytes
        if gone:
            yield Removal(day, gone)
