"""A store of bundles by URL: `file:///folder/` or `s3://bucket/prefix/`, both as obstore opens them. Blocking; any thread."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from inspector.bundles.errors import BundleStoreError
from inspector.errors import MissingExtraError
from inspector.settings.places.store import StoreSettings
from schemas.image_uri import store_place

if TYPE_CHECKING:
    from obstore.store import LocalStore, S3Store

CHUNK_BYTES: Final = 1 << 20
CONNECT: Final = timedelta(seconds=5)
REQUEST: Final = timedelta(seconds=60)
RETRIES: Final = 3


class BundlePlace:
    """The store of the settings: the only place that bundles are taken from and brought to.

    Whoever reads a file sees all of it or nothing: a PUT of S3 is whole, and in a folder a file gets its name last.
    """

    def __init__(self, url: str, access: StoreSettings) -> None:
        """Prepare; nothing connects.

        Args:
            url: a folder, in the one spelling of `schemas.image_uri.store_place`.
            access: address, region and keys of S3; not looked at for a folder.

        Raises:
            ValueError: `url` is not such a folder.
            MissingExtraError: obstore is not installed.
        """
        self.url = url
        place = store_place(url, folder=True)
        self._is_folder = place.scheme == "file"
        self._path = place.path
        self._store: LocalStore | S3Store | None = None if self._is_folder else _s3(place.bucket, place.path, access)
        _import_obstore()

    def name(self, url: str) -> str:
        """Return a bundle's folder relative to the store, without / at its end.

        Raises:
            BundleStoreError: `not_allowed`: it lies outside this store, or is spelt in another way than a place is.
        """
        try:
            store_place(url, folder=True)
        except ValueError as exc:
            raise BundleStoreError("not_allowed", f"bundle {ascii(url)[:200]} {exc}") from exc
        if not url.startswith(self.url) or url == self.url:
            raise BundleStoreError("not_allowed", f"bundle {url} is not inside releases.store, {self.url}")
        return url.removeprefix(self.url).removesuffix("/")

    def make(self) -> None:
        """Make the folder, for who brings bundles; a bucket is its operator's to make.

        Raises:
            BundleStoreError: `unreachable`.
        """
        if self._is_folder:
            with store_errors(f"make {self.url}"):
                Path("/", self._path).mkdir(parents=True, exist_ok=True)

    def size(self, name: str) -> int | None:
        """Return the bytes of a file; None where there is none.

        Raises:
            BundleStoreError: `unreachable`.
        """
        import obstore  # noqa: PLC0415 an extra

        try:
            with store_errors(f"look at {self.url}{name}"):
                return obstore.head(self._opened(), name)["size"]
        except BundleStoreError as exc:
            if exc.reason == "missing":
                return None
            raise

    def read(self, name: str) -> Iterator[bytes]:
        """Yield a file piece by piece.

        Raises:
            BundleStoreError: `missing` or `unreachable`.
        """
        import obstore  # noqa: PLC0415

        with store_errors(f"read {self.url}{name}"):
            for chunk in obstore.get(self._opened(), name).stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)

    def put(self, local: Path, name: str) -> None:
        """Bring a file.

        Raises:
            BundleStoreError: `unreachable`.
        """
        import obstore  # noqa: PLC0415

        with store_errors(f"write {self.url}{name}"):
            obstore.put(self._opened(), name, local)

    def _opened(self) -> LocalStore | S3Store:
        """Open a folder when it is asked of: one that is not mounted yet may come."""
        if self._store is not None:
            return self._store
        from obstore.store import LocalStore  # noqa: PLC0415

        folder = Path("/", self._path)
        if not folder.is_dir():
            raise BundleStoreError("unreachable", f"the folder {folder} does not exist; is it mounted?")
        return LocalStore(folder)


@contextlib.contextmanager
def store_errors(what: str) -> Iterator[None]:
    """Turn obstore's errors into ours; `what` completes "could not …".

    Raises:
        BundleStoreError: `missing` for what is not there, `unreachable` for all else.
    """
    from obstore.exceptions import BaseError, NotFoundError  # noqa: PLC0415

    try:
        yield
    except (NotFoundError, FileNotFoundError) as exc:
        raise BundleStoreError("missing", f"could not {what}: the file does not exist") from exc
    except (BaseError, OSError) as exc:
        said = " ".join(str(exc).split())
        raise BundleStoreError("unreachable", f"could not {what}: {type(exc).__name__}: {said[:300]}") from exc


def _import_obstore() -> None:
    try:
        import obstore  # noqa: F401, PLC0415
    except ModuleNotFoundError as exc:
        raise MissingExtraError("obstore", "store") from exc


def _s3(bucket: str, prefix: str, access: StoreSettings) -> S3Store:
    _import_obstore()
    from obstore.store import S3Store  # noqa: PLC0415

    return S3Store(
        bucket,
        prefix=prefix or None,
        endpoint=access.endpoint,
        region=access.region,
        access_key_id=access.access_key_id,
        secret_access_key=access.read_secret_key(),
        skip_signature=access.access_key_id is None,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True, "connect_timeout": CONNECT, "timeout": REQUEST},
        retry_config={"max_retries": RETRIES, "retry_timeout": REQUEST},
    )
