"""Removes pictures that are too old or too many, one camera after the other. On the archive's thread."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final

from inspector.archive.holdings.index import read_segments
from inspector.archive.holdings.keeper import Keeper
from inspector.archive.holdings.retention import Bounds, DaySize, removals, size_of
from inspector.archive.storage.port import Storage
from schemas.archive.row import ArchiveRow

SWEEP_OWNER: Final = "sweep"
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Sweep:
    """Knows how much each day comes to, and has what goes removed. Every method may raise `StorageError`."""

    def __init__(self, storage: Storage, keeper: Keeper, bounds: Bounds) -> None:
        """Look after what `keeper` keeps in `storage`."""
        self._storage = storage
        self._keeper = keeper
        self._bounds = bounds
        self._sizes: dict[str, dict[str, DaySize]] = {}

    def forget(self) -> None:
        """Hold nothing in memory: others may have written since."""
        self._sizes.clear()

    def cameras(self) -> list[str]:
        """Return `line_id/camera_id` of each camera that the archive has pictures of."""
        return [
            f"{line.name}/{camera.name}"
            for line in self._storage.entries("")
            if line.is_folder and not line.name.startswith(".")
            for camera in self._storage.entries(line.name)
            if camera.is_folder
        ]

    def sweep(self, camera: str, *, now_us: int, open_days: Collection[str] = (), before: str | None = None) -> int:
        """Remove what goes of one camera; return how many pictures.

        Args:
            camera: `line_id/camera_id`.
            now_us: µs since 1970-01-01 UTC.
            open_days: days that may have changed since the sweep before.
            before: a day, `YYYY-MM-DD`; it and later ones are another process's and stay as they are.
        """
        sizes = self._sizes.setdefault(camera, {})
        days = [entry.name for entry in self._storage.entries(camera) if entry.is_folder and _DAY.fullmatch(entry.name)]
        for gone in sizes.keys() - set(days):
            del sizes[gone]
        for day in days:
            if day not in sizes or day in open_days:
                sizes[day] = size_of(self._rows(camera, day))
        removed = 0
        plan = removals(sizes, lambda day: self._rows(camera, day), self._bounds, now_us=now_us)
        for day, result_ids in list(plan):
            if before is None or day < before:
                removed += self._keeper.remove(SWEEP_OWNER, f"{camera}/{day}", result_ids).removed
                sizes[day] = size_of(self._rows(camera, day))
        return removed

    def _rows(self, camera: str, day: str) -> list[ArchiveRow]:
        if self._keeper.has_open(f"{camera}/{day}"):
            return self._keeper.rows(f"{camera}/{day}")
        return list(_read(self._storage, f"{camera}/{day}"))


def _read(storage: Storage, day: str) -> Iterator[ArchiveRow]:
    for rows in read_segments(storage, day).values():
        yield from rows
