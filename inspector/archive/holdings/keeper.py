"""The transaction: pictures, index and removals of one flush. A kill at any moment leaves nothing that the next start cannot repair.

1. The journal names the files that will be written and removed, and is synced.
2. The pictures are written under hidden names, synced and renamed.
3. The files of the index that changed are written in the same way.
4. Pictures that fell out of the sample are removed.
5. The caller commits the offsets of the results.

The index decides. After a crash the next process reads the journal. It removes a file that was to be written and is in no row of the index
(its result was not committed, so it comes again), and a file that was to be removed and is in no row any more. A picture's name follows from
its identity, and the sample from the ids alone (`day`): so a picture that comes again gets the same name and the same decision.

One process at a time writes a camera's files: the one that has the partition with the camera's results.
"""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final, Literal, NamedTuple

from inspector.archive.candidate import Candidate
from inspector.archive.holdings.day import Change, Day, Limits
from inspector.archive.holdings.index import encode_rows, read_segments, segment_name
from inspector.archive.storage.port import Storage, StorageError
from schemas.archive.layout import INDEX_DIR, UNINSPECTED_DIR, day_folder, day_of, mask_name
from schemas.archive.row import ArchiveRow

log = logging.getLogger(__name__)

JOURNAL_DIR: Final = ".journal"
MOST_DAYS: Final = 256
"""Days that are held in memory; those that were not touched for longest are read again when they are."""


Fate = Literal["wanted", "held", "unsampled"]


class Arrival(NamedTuple):
    """A picture that may be kept."""

    row: ArchiveRow
    content: bytes


class Kept(NamedTuple):
    """The outcome of a flush."""

    added: list[ArchiveRow]
    removed: int


class Keeper:
    """Knows the days that are in use, and changes them. On the archive's thread; every method may raise `StorageError`."""

    def __init__(self, storage: Storage, limits: Limits) -> None:
        """Keep pictures in `storage`."""
        self._storage = storage
        self._limits = limits
        self._days: OrderedDict[str, Day] = OrderedDict()

    def forget(self) -> None:
        """Hold nothing in memory: others may have written since, or a write failed half-way."""
        self._days.clear()

    def recover(self, owner: str) -> None:
        """Mend what a killed process left behind of a partition of results.

        Args:
            owner: name of the partition, fit for a file.
        """
        self._storage.check()
        content = self._storage.read(_journal(owner))
        if content is None:
            return
        journal = _parsed(content)
        mended = 0
        for day, names in journal.items():
            self._storage.tidy(f"{day}/{folder}" for folder in ("ok", "nok", UNINSPECTED_DIR, INDEX_DIR))
            known = set(_files_of(row for rows in read_segments(self._storage, day).values() for row in rows))
            left = [name for name in names if name not in known and self._storage.read(name) is not None]
            self._storage.remove(left)
            mended += len(left)
        if mended:
            log.info(
                "removed %d files without a row that a killed process left behind; they will be written again", mended
            )
        self._storage.tidy((JOURNAL_DIR,))
        self._storage.remove((_journal(owner),))

    def fate(self, candidate: Candidate) -> Fate:
        """Return what would become of a picture as its day is now."""
        day = self._day(candidate.day)
        if candidate.message.result_id in day:
            return "held"
        if candidate.worth in {"nok", "near"}:
            return "wanted"
        is_sampled = day.may_sample(
            candidate.message.result_id, is_inspected=candidate.worth == "ok", limits=self._limits
        )
        return "wanted" if is_sampled else "unsampled"

    def keep(self, owner: str, arrivals: Sequence[Arrival]) -> Kept:
        """Store pictures and what follows from that, as this module's docstring says; steps 1 to 4.

        After an error nothing of it counts until `recover` has run.
        """
        self._storage.check()
        by_day: dict[str, list[ArchiveRow]] = {}
        for arrival in arrivals:
            by_day.setdefault(day_folder_of(arrival.row), []).append(arrival.row)
        changes = {day: self._day(day).add(rows, self._limits) for day, rows in by_day.items()}
        contents = {arrival.row.file: arrival.content for arrival in arrivals}
        return self._carry_out(owner, changes, contents)

    def remove(self, owner: str, day: str, result_ids: Iterable[str]) -> Kept:
        """Remove pictures of a day, such as those that are too old."""
        self._storage.check()
        return self._carry_out(owner, {day: self._day(day).remove(result_ids)}, {})

    def has_open(self, day: str) -> bool:
        """Whether a day is held in memory."""
        return day in self._days

    def open_days(self) -> list[str]:
        """Return the folders of the days that are held in memory."""
        return list(self._days)

    def rows(self, day: str) -> list[ArchiveRow]:
        """Return the rows of a day."""
        return list(self._day(day).rows())

    def _carry_out(self, owner: str, changes: Mapping[str, Change], contents: Mapping[str, bytes]) -> Kept:
        added = [row for change in changes.values() for row in change.added]
        removed = [row for change in changes.values() for row in change.removed]
        if not any(change.segments for change in changes.values()):
            return Kept([], 0)
        journal = {
            day: [row.file for row in change.added] + _files_of(change.removed) for day, change in changes.items()
        }
        self._storage.write({_journal(owner): json.dumps(journal).encode()})
        if added:
            self._storage.write({row.file: contents[row.file] for row in added})
        written = {
            segment_name(day, number): rows
            for day, change in changes.items()
            for number, rows in change.segments.items()
        }
        if full := {name: encode_rows(rows) for name, rows in written.items() if rows}:
            self._storage.write(full)
        self._storage.remove(name for name, rows in written.items() if not rows)
        self._storage.remove(_files_of(removed))
        return Kept(added, len(removed))

    def _day(self, folder: str) -> Day:
        day = self._days.get(folder)
        if day is None:
            day = self._days[folder] = Day(read_segments(self._storage, folder))
        self._days.move_to_end(folder)
        while len(self._days) > MOST_DAYS:
            self._days.popitem(last=False)
        return day


def day_folder_of(row: ArchiveRow) -> str:
    """Return the folder of a row's day."""
    return str(day_folder(row.line_id, row.camera_id, day_of(row.captured_at)))


def _files_of(rows: Iterable[ArchiveRow]) -> list[str]:
    """Return the files of rows, with their masks. A file that somebody relabelled is elsewhere, and the archive no longer removes it."""
    return [name for row in rows for name in (row.file, str(mask_name(PurePosixPath(row.file))))]


def _journal(owner: str) -> str:
    return f"{JOURNAL_DIR}/{owner}.json"


def _parsed(content: bytes) -> dict[str, list[str]]:
    try:
        journal = json.loads(content)
        return {str(day): [str(name) for name in names] for day, names in journal.items()}
    except (ValueError, AttributeError, TypeError) as exc:
        raise StorageError("the journal was not written by this program; move the folder .journal away") from exc
