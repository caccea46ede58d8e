"""What the archive holds for one day of a camera, and how that changes. Pure.

The sample of a day is the `ok_per_day` pictures with the smallest `result_id`. That id is a hash of the picture's identity, so
the sample is uniform, and choosing it again gives the same pictures, in any order and after any crash.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from schemas.archive.row import ArchiveRow

SEGMENT_ROWS: Final = 2_000
"""Rows of one file of the index: what a change of one row costs is bounded by it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes of the samples of one day."""

    ok: int
    uninspected: int


@dataclass(slots=True)
class Change:
    """What is to be written after a day has changed.

    Attributes:
        added: rows whose files are to be there, each once.
        removed: rows whose files are to go.
        segments: rows of each file of the index that is to be written; empty: the file is to go.
    """

    added: list[ArchiveRow] = field(default_factory=list)
    removed: list[ArchiveRow] = field(default_factory=list)
    segments: dict[int, list[ArchiveRow]] = field(default_factory=dict)


class Day:
    """One camera's day."""

    def __init__(self, segments: Mapping[int, Sequence[ArchiveRow]]) -> None:
        """Begin with what the index holds, by the numbers of its files."""
        self._segments = {number: {row.result_id: row for row in rows} for number, rows in sorted(segments.items())}
        self._segment_of = {result_id: number for number, rows in self._segments.items() for result_id in rows}
        self._samples: dict[bool, list[str]] = {
            is_inspected: sorted(
                row.result_id for row in self.rows() if row.is_sample and (row.status == "inspected") is is_inspected
            )
            for is_inspected in (True, False)
        }

    def __contains__(self, result_id: str) -> bool:
        return result_id in self._segment_of

    def rows(self) -> Iterable[ArchiveRow]:
        """Return every row."""
        return (row for rows in self._segments.values() for row in rows.values())

    def may_sample(self, result_id: str, *, is_inspected: bool, limits: Limits) -> bool:
        """Whether a picture would be of the sample as it is now."""
        size = limits.ok if is_inspected else limits.uninspected
        sample = self._samples[is_inspected]
        return len(sample) < size or (bool(size) and result_id < sample[size - 1])

    def add(self, arrivals: Iterable[ArchiveRow], limits: Limits) -> Change:
        """Take in pictures and let the sample give up what falls out of it.

        Args:
            arrivals: rows; `is_sample` says that they are candidates. One whose id is here is passed over.
            limits: sizes of the samples.
        """
        dirty: set[int] = set()
        fresh: dict[str, ArchiveRow] = {}
        for row in arrivals:
            if row.result_id not in self._segment_of:
                fresh[row.result_id] = row
                dirty.add(self._append(row))
                if row.is_sample:
                    bisect.insort(self._samples[row.status == "inspected"], row.result_id)
        removed: list[ArchiveRow] = []
        for is_inspected, sample in self._samples.items():
            while len(sample) > (limits.ok if is_inspected else limits.uninspected):
                result_id = sample.pop()
                number = self._segment_of[result_id]
                dirty.add(number)
                row = self._segments[number][result_id]
                if row.is_near:
                    self._segments[number][result_id] = row._replace(is_sample=False)
                else:
                    self._drop(result_id)
                    removed.append(row)
        return Change(
            added=[self._segments[self._segment_of[name]][name] for name in fresh if name in self._segment_of],
            removed=[row for row in removed if row.result_id not in fresh],
            segments=self._written(dirty),
        )

    def remove(self, result_ids: Iterable[str]) -> Change:
        """Give up pictures, such as those that are too old; the sample stays without them."""
        rows = [self._segments[self._segment_of[name]][name] for name in result_ids if name in self._segment_of]
        dirty = {self._segment_of[row.result_id] for row in rows}
        for row in rows:
            self._drop(row.result_id)
            sample = self._samples[row.status == "inspected"]
            if row.is_sample:
                sample.remove(row.result_id)
        return Change(removed=rows, segments=self._written(dirty))

    def _append(self, row: ArchiveRow) -> int:
        number = max(self._segments, default=0)
        if len(self._segments.get(number, ())) >= SEGMENT_ROWS:
            number += 1
        self._segments.setdefault(number, {})[row.result_id] = row
        self._segment_of[row.result_id] = number
        return number

    def _drop(self, result_id: str) -> None:
        del self._segments[self._segment_of.pop(result_id)][result_id]

    def _written(self, dirty: Iterable[int]) -> dict[int, list[ArchiveRow]]:
        written = {number: list(self._segments[number].values()) for number in sorted(dirty)}
        for number, rows in written.items():
            if not rows:
                del self._segments[number]
        return written
