"""Notes on disk which trials a process has: if a trial ends the process, the next start knows it.

CACHE/trials/*.trial   one for each trial of each process, locked as long as that process lives
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


class Mark(NamedTuple):
    """A trial, by the release that has it."""

    camera: str
    number: int
    digest: str


class TrialMarks:
    """The marks of one process, and those that processes left which ended without an end of their trials. Blocking; one thread at a time."""

    def __init__(self, cache: Path) -> None:
        """Look for what was left behind, in the folder `trials` of `cache`; it is made.

        Raises:
            ConfigError: It cannot be made or read.
        """
        self._folder = cache / "trials"
        self._held: dict[str, tuple[Path, int]] = {}  # and the file that has the lock
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
            camera, number, digest = json.loads(content)
            self._left[path] = Mark(str(camera), int(number), str(digest))
        except (ValueError, TypeError):
            log.warning("%s says nothing of a trial; it is removed", path)
            path.unlink(missing_ok=True)

    @property
    def held(self) -> list[str]:
        """The cameras of this process's own marks."""
        return list(self._held)

    def was_left(self, release: ModelRelease) -> bool:
        """Whether a process ended in the midst of what this release has on trial."""
        return _mark_of(release) in self._left.values()

    def begin(self, release: ModelRelease) -> None:
        """Mark a trial before anything of it is loaded, in place of an earlier one of its camera.

        Raises:
            BundleStoreError: `no_room`: it cannot be written.
        """
        path = self._folder / f"{secrets.token_hex(8)}.trial"
        unlocked = path.with_suffix(".tmp")
        try:
            for left in [left for left, mark in self._left.items() if mark.camera == release.camera]:
                left.unlink(missing_ok=True)
                del self._left[left]
            file = os.open(unlocked, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                os.write(file, json.dumps(_mark_of(release)).encode())
                unlocked.rename(path)  # nobody finds it before it is locked
            except OSError:
                os.close(file)
                raise
        except OSError as exc:
            raise BundleStoreError("no_room", f"{path} cannot be written: {exc.strerror or exc}") from exc
        self.end(release.camera)
        self._held[release.camera] = (path, file)

    def end(self, camera: str) -> None:
        """Remove the mark of a camera's trial, if there is one."""
        if camera in self._held:
            path, file = self._held.pop(camera)
            try:
                path.unlink(missing_ok=True)
            except OSError as exc:
                log.warning("%s cannot be removed; after a restart that trial does not begin: %s", path, exc)
            os.close(file)

    def leave(self, *, is_fault: bool) -> None:
        """Remove all marks of this process, which ends; after a fault they stay, for the next start."""
        while self._held:
            camera, (_, file) = next(iter(self._held.items()))
            if is_fault:
                del self._held[camera]
                os.close(file)
            else:
                self.end(camera)


def _mark_of(release: ModelRelease) -> Mark:
    candidate = release.models.candidate
    return Mark(release.camera, release.number, "" if candidate is None else candidate.bundle.model.digest)
