"""Notes on disk which trials a process has: if a trial ends the process, the next start knows it.

CACHE/trials/*.trial   one for each trial of each process, locked as long as that process lives

A process that is killed, or loses its power, cannot say whether its trial was the cause: that trial is begun once more, and no more when
that process ends in its midst too. A process that a fault ends says so, and its trial is not begun again.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
from pathlib import Path
from typing import Final, NamedTuple

from inspector.bundles.errors import BundleStoreError
from inspector.errors import ConfigError
from schemas import ModelRelease

log = logging.getLogger(__name__)

MOST_BYTES: Final = 4096
MOST_TRIES: Final = 2
"""A trial is begun so often, if each time a process ends in its midst: one loss of power does not end it, but a loop of crashes does."""


class Mark(NamedTuple):
    """A trial, by the release that has it."""

    camera: str
    number: int
    digest: str
    tries: int = 1
    """How often it was begun, the time that the mark is of included."""

    def is_same(self, other: Mark) -> bool:
        """Whether both are of the same trial."""
        return self[:3] == other[:3]


class _Held(NamedTuple):
    """A mark of this process: its file, open for the lock."""

    path: Path
    file: int
    mark: Mark


class TrialMarks:
    """The marks of one process, and those that processes left which ended without an end of their trials. Blocking; one thread at a time."""

    def __init__(self, cache: Path) -> None:
        """Look for what was left behind, in the folder `trials` of `cache`; it is made.

        Raises:
            ConfigError: It cannot be made or read.
        """
        self._folder = cache / "trials"
        self._held: dict[str, _Held] = {}
        self._left: dict[Path, Mark] = {}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(self._folder.glob("*.trial")):
                self._find(path)
        except OSError as exc:
            raise ConfigError(f"releases.cache: {self._folder} cannot be used: {exc.strerror or exc}") from exc

    def _find(self, path: Path) -> None:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # of a process that lives
            content = file.read(MOST_BYTES)
        try:
            camera, number, digest, *tries = json.loads(content)  # earlier versions did not count
            self._left[path] = Mark(str(camera), int(number), str(digest), *map(int, tries[:1]))
        except (ValueError, TypeError):
            log.warning("%s says nothing of a trial; it is removed", path)
            path.unlink(missing_ok=True)

    @property
    def held(self) -> list[str]:
        """The cameras of this process's own marks."""
        return list(self._held)

    def tries(self, release: ModelRelease) -> int:
        """Return how often what this release has on trial was begun by processes that ended in its midst; after a fault `MOST_TRIES`."""
        return max((mark.tries for mark in self._left.values() if mark.is_same(_mark_of(release))), default=0)

    def begin(self, release: ModelRelease) -> None:
        """Mark a trial before anything of it is loaded, in place of an earlier one of its camera.

        Raises:
            BundleStoreError: `no_room`: it cannot be written.
        """
        path = self._folder / f"{secrets.token_hex(8)}.trial"
        unlocked = path.with_suffix(".tmp")
        mark = _mark_of(release)
        held = self._held.get(release.camera)
        if held is not None and held.mark.is_same(mark):  # it could not begin yet: that is no other try
            mark = held.mark
        else:
            mark = mark._replace(tries=self.tries(release) + 1)
        try:
            for left in [left for left, mark in self._left.items() if mark.camera == release.camera]:
                left.unlink(missing_ok=True)
                del self._left[left]
            file = os.open(unlocked, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                os.write(file, json.dumps(mark).encode())
                unlocked.rename(path)  # nobody finds it before it is locked
            except OSError:
                os.close(file)
                raise
        except OSError as exc:
            raise BundleStoreError("no_room", f"{path} cannot be written: {exc.strerror or exc}") from exc
        self.end(release.camera)
        self._held[release.camera] = _Held(path, file, mark)

    def end(self, camera: str) -> None:
        """Remove the mark of a camera's trial, if there is one."""
        if camera in self._held:
            path, file, _ = self._held.pop(camera)
            try:
                path.unlink(missing_ok=True)
            except OSError as exc:
                log.warning("%s cannot be removed; after a restart that trial does not begin: %s", path, exc)
            os.close(file)

    def leave(self, *, is_fault: bool) -> None:
        """Remove all marks of this process, which ends; after a fault they stay, and the next start does not begin these trials."""
        while self._held:
            camera, (path, file, mark) = next(iter(self._held.items()))
            if not is_fault:
                self.end(camera)
                continue
            del self._held[camera]
            try:
                os.pwrite(file, json.dumps(mark._replace(tries=MOST_TRIES)).encode(), 0)
            except OSError as exc:
                log.warning("%s cannot be written; after a restart that trial may begin once more: %s", path, exc)
            os.close(file)


def _mark_of(release: ModelRelease) -> Mark:
    candidate = release.models.candidate
    return Mark(release.camera, release.number, "" if candidate is None else candidate.bundle.model.digest)
