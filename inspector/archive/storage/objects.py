"""A store of objects (S3) as storage, by obstore. An object is written completely or not at all, so nothing has to be renamed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from inspector.archive.storage.port import Listed, StorageError
from inspector.errors import MissingExtraError
from inspector.settings.places.archive import ArchiveSettings
from schemas.archive.layout import MARKER_FILE

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Store

_CONNECT: Final = timedelta(seconds=5)
_REQUEST: Final = timedelta(seconds=60)
_MARKER: Final = b"An archive of line-inspector; `inspector archive` writes here as long as this object is here.\n"


class ObjectStorage:
    """`Storage` below a prefix of a bucket. obstore tries a failed request again for a minute before it gives up."""

    def __init__(self, archive: ArchiveSettings) -> None:
        """Prepare; nothing connects.

        Raises:
            ConfigError: The file of the key cannot be read.
            MissingExtraError: obstore is not installed.
        """
        self._url = archive.url or ""
        self._store = _opened(archive)

    def check(self) -> None:
        """Find out whether the marker is there."""
        if self.read(MARKER_FILE) is None:
            raise StorageError(
                f"{self._url} contains no archive ({MARKER_FILE} is missing); create one with `inspector archive "
                "--create`"
            )

    def create(self) -> None:
        """Write the marker; the bucket is its operator's to make."""
        if self.read(MARKER_FILE) is None:
            self.write({MARKER_FILE: _MARKER})

    def read(self, name: str) -> bytes | None:
        """Return an object's content."""
        import obstore  # noqa: PLC0415 an extra

        with self._told(name):
            try:
                return bytes(obstore.get(self._store, name).bytes())
            except FileNotFoundError:
                return None

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write objects, one after the other."""
        import obstore  # noqa: PLC0415

        for name, content in files.items():
            with self._told(name):
                obstore.put(self._store, name, content)

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects."""
        import obstore  # noqa: PLC0415

        if doomed := list(names):
            with self._told(doomed[0]), contextlib.suppress(FileNotFoundError):
                obstore.delete(self._store, doomed)

    def entries(self, folder: str) -> list[Listed]:
        """Return what is below a prefix, down to the next `/`."""
        import obstore  # noqa: PLC0415

        with self._told(folder):
            found = obstore.list_with_delimiter(self._store, folder or None)
        below = [Listed(prefix.rpartition("/")[2], True, 0) for prefix in found["common_prefixes"]]
        objects = [Listed(str(one["path"]).rpartition("/")[2], False, int(one["size"])) for one in found["objects"]]
        return sorted(below + objects)

    def tidy(self, folders: Iterable[str]) -> None:
        """Nothing is ever half-written."""

    @contextlib.contextmanager
    def _told(self, name: str) -> Iterator[None]:
        from obstore.exceptions import BaseError  # noqa: PLC0415

        try:
            yield
        except (BaseError, OSError, ValueError) as exc:
            said = " ".join(str(exc).split())[:300]
            raise StorageError(f"{self._url}/{name}: {type(exc).__name__}: {said}") from exc


def _opened(archive: ArchiveSettings) -> S3Store:
    try:
        from obstore.store import S3Store  # noqa: PLC0415
    except ModuleNotFoundError as exc:
        raise MissingExtraError("obstore", "archive") from exc
    place = urlsplit(archive.url or "")
    config: S3Config = {}  # what is not named here is the machine's: its environment, its role
    if archive.endpoint is not None:
        config["endpoint"] = archive.endpoint
    if archive.access_key_id is not None:
        config |= {"access_key_id": archive.access_key_id, "secret_access_key": archive.read_secret_key() or ""}
    return S3Store(
        place.netloc,
        prefix=place.path.strip("/") or None,
        config=config,
        region=archive.region,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True, "connect_timeout": _CONNECT, "timeout": _REQUEST},
        retry_config={"max_retries": 3, "retry_timeout": _REQUEST},
    )
