"""Bundles on this machine: fetched once, within a limit of bytes; those in use are never removed.

    FOLDER/bundles/DIGEST/            a bundle whose every byte was verified
    FOLDER/serving/LINE/CAMERA.release  the last release that worked for a camera

Several processes of one deployment may share a cache. Blocking; any thread, one call of a kind at a time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from inspector.anomaly.files import sync_folder
from inspector.bundles.errors import BundleStoreError
from inspector.errors import ConfigError
from schemas import ModelRelease, SchemaError, decode, encode

log = logging.getLogger(__name__)

MOST_RELEASE_BYTES: Final = 1 << 20
LEFT_BEHIND_S: Final = 3600.0
"""No process still fetches into an unfinished folder that is this old."""


class BundleCache:
    """The folder `releases.cache`."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        """Make the folder.

        Raises:
            ConfigError: It cannot be made or written to.
        """
        self._bundles, self._serving = folder / "bundles", folder / "serving"
        self._limit_bytes = limit_bytes
        try:
            for made in (self._bundles, self._serving):
                made.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as exc:
            raise ConfigError(f"releases.cache: {folder} cannot be written to: {exc.strerror or exc}") from exc

    def find(self, digest: str) -> Path | None:
        """Return the bundle of this digest, or None; it counts as used now."""
        path = self._bundles / digest
        try:
            os.utime(path)
        except OSError:
            return None
        return path

    def fetch(self, digest: str, download: Callable[[Path], None]) -> Path:
        """Return the bundle of this digest; where it is not here it is downloaded into a hidden folder, which gets its name when it is whole.

        Raises:
            BundleStoreError: What `download` raises, or there is no room.
        """
        found = self.find(digest)
        if found is not None:
            return found
        path = self._bundles / digest
        unfinished: Path | None = None
        try:
            unfinished = Path(tempfile.mkdtemp(prefix=f".{digest}.", dir=self._bundles))
            download(unfinished)
            sync_folder(unfinished)
            with contextlib.suppress(OSError):  # another process was quicker
                unfinished.rename(path)
            sync_folder(self._bundles)
        except OSError as exc:
            raise BundleStoreError("no_room", f"{self._bundles} cannot be written to: {exc.strerror or exc}") from exc
        finally:
            if unfinished is not None:
                shutil.rmtree(unfinished, ignore_errors=True)
        return path

    def discard(self, digest: str) -> None:
        """Throw a bundle away that turned out to be of no use."""
        shutil.rmtree(self._bundles / digest, ignore_errors=True)

    def keep(self, release: ModelRelease) -> None:
        """Note that a camera is judged by this release now: it is its last known good.

        Raises:
            BundleStoreError: `no_room`: it cannot be written.
        """
        from inspector.anomaly.files import write_file  # noqa: PLC0415 the domain's one writer of whole files

        path = self._serving / release.line_id / f"{release.camera_id}.release"
        try:
            path.parent.mkdir(exist_ok=True)
            write_file(path, encode(release))
        except OSError as exc:
            raise BundleStoreError("no_room", f"{path} cannot be written: {exc.strerror or exc}") from exc

    def kept(self) -> dict[str, ModelRelease]:
        """Return the last known good release of each camera; what is spoilt is told and left out."""
        found = {}
        for path in sorted(self._serving.glob("*/*.release")):
            try:
                release = decode(ModelRelease, path.read_bytes(), max_bytes=MOST_RELEASE_BYTES)
            except (OSError, SchemaError) as exc:
                log.warning("%s cannot be used: %s", path, exc)
                continue
            if path == self._serving / release.line_id / f"{release.camera_id}.release":
                found[release.camera] = release
        return found

    def evict(self, in_use: Collection[str]) -> list[str]:
        """Remove bundles that were used longest ago until the rest is within the limit; return the digests of those.

        Never one of `in_use`, nor one that a last known good release names, whatever the limit says.
        """
        now = time.time()
        for unfinished in self._bundles.glob(".*"):
            with contextlib.suppress(OSError):
                if now - unfinished.stat().st_mtime > LEFT_BEHIND_S:
                    shutil.rmtree(unfinished, ignore_errors=True)
        pinned = {*in_use, *(digest for release in self.kept().values() for digest in digests_of(release))}
        bundles = [path for path in self._bundles.iterdir() if not path.name.startswith(".")]
        sizes = {path: sum(file.stat().st_size for file in path.iterdir()) for path in bundles}
        total, removed = sum(sizes.values()), []
        for path in sorted(bundles, key=lambda path: path.stat().st_mtime):
            if total <= self._limit_bytes:
                break
            if path.name not in pinned:
                self.discard(path.name)
                total -= sizes[path]
                removed.append(path.name)
        if total > self._limit_bytes:
            log.warning(
                "the bundles in use have %d bytes, more than releases.cache_bytes (%d)", total, self._limit_bytes
            )
        return removed


def digests_of(release: ModelRelease) -> set[str]:
    """Return the bundles that a release names, that which a rollback goes back to included."""
    models = release.models
    named = [models.active, models.previous, None if models.candidate is None else models.candidate.bundle]
    return {bundle.model.digest for bundle in named if bundle is not None}
