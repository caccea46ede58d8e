"""An archive in an S3 store: listed once, and fetched file by file, only what is read, by the layer that `inspector archive` writes with."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Final

from inspector.archive.storage.objects import ObjectStorage
from inspector.archive.storage.port import StorageError
from inspector.errors import InspectorError
from inspector.settings.file import load_settings
from inspector.settings.places.archive import ArchiveSettings
from schemas.archive.layout import INDEX_DIR, MASK_SUFFIX
from trainer.archives.copies import Copies
from trainer.errors import DatasetError
from trainer.listing.search import Found
from trainer.progress import StageProgress

AT_ONCE: Final = 8
"""So many files are asked for at the same time: a store far away answers slowly, but answers many."""
_STAGE: Final = "fetch pictures"


class StoredArchive:
    """`ArchivePlace` in a store, with copies of what was read in a folder."""

    def __init__(self, url: str, cache: Path, config: Path | None) -> None:
        """Prepare; nothing connects.

        Args:
            url: `s3://bucket/prefix`.
            cache: folder of the copies.
            config: the inspector's settings file, whose `[archive]` has address, region and keys of the store; None: the
                environment (`INSPECTOR_ARCHIVE__...`), and the machine's own credentials.

        Raises:
            DatasetError: The settings are wrong, or obstore is not installed; or as `Copies`.
            OutputError: The copies cannot be written.
        """
        self._url = url
        try:
            access = load_settings(config, overrides={"archive": {"url": url}}).archive
            self._storage = ObjectStorage(access)
        except InspectorError as error:
            raise DatasetError(f"the archive {url} cannot be read: {error}") from error
        self._copies = Copies(cache / url.removeprefix("s3://"), _origin(access))
        self._listed: dict[PurePosixPath, dict[PurePosixPath, int]] = {}

    @property
    def where(self) -> str:
        """The URL."""
        return self._url

    @property
    def root(self) -> Path:
        """The folder of the copies."""
        return self._copies.root

    def cameras(self) -> list[str]:
        """Return the cameras that the archive has, sorted."""
        try:
            lines = [entry.name for entry in self._storage.entries("") if entry.is_folder and entry.name[0] != "."]
            found = [(line, entry) for line in lines for entry in self._storage.entries(line)]
        except StorageError as error:
            raise self._unreadable(error) from error
        return sorted(f"{line}/{entry.name}" for line, entry in found if entry.is_folder)

    def has(self, camera: PurePosixPath) -> bool:
        """Return whether anything lies below the camera's name."""
        return bool(self._files(camera))

    def search(self, camera: PurePosixPath) -> Found:
        """Return what lies below the camera's name; copies of what does not any more are removed."""
        found = Found()
        for name in sorted(self._files(camera)):
            below = name.relative_to(camera)
            if any(part.startswith(".") for part in below.parts):
                found.left_out[below] = "hidden"
            else:
                found.taken.append(below)
        return found

    def holds(self, name: PurePosixPath) -> bool:
        """Return whether there is such a file."""
        return name in self._files(PurePosixPath(*name.parts[:2]))

    def bring_index(self, camera: PurePosixPath, first_day: str, last_day: str) -> None:
        """Fetch the index of these days anew: its files change."""
        depth = len(camera.parts)
        index = [
            name
            for name in self._files(camera)
            if name.match(f"{INDEX_DIR}/*.parquet") and first_day <= name.parts[depth] <= last_day
        ]
        self._fetch(index, None)

    def bring(self, names: Iterable[PurePosixPath], progress: StageProgress | None = None) -> None:
        """Fetch files that are not here yet, and masks in any case: somebody may have drawn them again."""
        sizes = {name: self._files(PurePosixPath(*name.parts[:2])).get(name, -1) for name in names}
        missing = [
            name for name, size in sizes.items() if name.name.endswith(MASK_SUFFIX) or not self._copies.has(name, size)
        ]
        self._fetch(missing, progress)

    def _files(self, camera: PurePosixPath) -> dict[PurePosixPath, int]:
        """All files of a camera with their sizes in bytes, listed once."""
        if camera not in self._listed:
            try:
                below = self._storage.below(str(camera))
            except StorageError as error:
                raise self._unreadable(error) from error
            files = {PurePosixPath(name): size for name, size in below.items()}
            self._copies.drop_others(camera, files.keys())
            self._listed[camera] = files
        return self._listed[camera]

    def _fetch(self, names: list[PurePosixPath], progress: StageProgress | None) -> None:
        done = 0
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="archive") as threads:
            for first in range(0, len(names), AT_ONCE):  # so many contents are in memory at most
                few = names[first : first + AT_ONCE]
                for name, content in zip(few, threads.map(self._read, few), strict=True):
                    self._copies.keep(name, content)
                    done += 1
                    if progress is not None:
                        progress(_STAGE, done, len(names))

    def _read(self, name: PurePosixPath) -> bytes:
        try:
            content = self._storage.read(str(name))
        except StorageError as error:
            raise self._unreadable(error) from error
        if content is None:
            raise DatasetError(
                f"{self._url}/{name} was removed or moved while the archive was read; run the command again"
            )
        return content

    def _unreadable(self, error: StorageError) -> DatasetError:
        return DatasetError(f"the archive cannot be read: {error}")


def _origin(access: ArchiveSettings) -> str:
    return str(access.url) if access.endpoint is None else f"{access.url} at {access.endpoint}"
