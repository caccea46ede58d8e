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
_SENTENCES: Final = {
    "NoSuchBucket": "the bucket does not exist; create it, or correct the URL",
    "/latest/": "there are no credentials: neither archive.access_key_id, nor AWS_ACCESS_KEY_ID, nor a role of this machine",
    "InvalidAccessKeyId": "the store does not know the access key; correct archive.access_key_id",
    "SignatureDoesNotMatch": "the secret key does not belong to the access key; correct archive.secret_access_key",
    "AccessDenied": "the store refuses this; grant the owner of the access key s3:ListBucket on the bucket, s3:GetObject on the objects, and "
    "to who keeps the archive s3:PutObject and s3:DeleteObject",
}
"""Of what S3 answers, by the code of the error; `/latest/` is where obstore looks for a role of the machine."""


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

    def below(self, folder: str) -> dict[str, int]:
        """Return all objects below a prefix, however deep, with their sizes in bytes; one request for each thousand.

        Raises:
            StorageError: They cannot be listed.
        """
        import obstore  # noqa: PLC0415

        with self._told(folder):
            pages = obstore.list(self._store, folder or None)
            return {str(one["path"]): int(one["size"]) for page in pages for one in page}

    def tidy(self, folders: Iterable[str]) -> None:
        """Nothing is ever half-written."""

    @contextlib.contextmanager
    def _told(self, name: str) -> Iterator[None]:
        from obstore.exceptions import BaseError  # noqa: PLC0415

        try:
            yield
        except (BaseError, OSError, ValueError) as exc:
            raise StorageError(f"{self._url}/{name}: {_words(exc)}") from exc


def _words(exc: Exception) -> str:
    """Say what is wrong, and the mend, of the answers that an operator can do something about; of all others what obstore says."""
    said = " ".join(str(exc).split())
    for sign, sentence in _SENTENCES.items():
        if sign in said:
            return sentence
    return f"{type(exc).__name__}: {said[:300]}"


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
