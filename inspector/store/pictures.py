"""The common interface of all stores: a place that is allowed, and its picture."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import Iterable

from inspector.loop.workers import Post, Workers
from inspector.settings.places.store import StoreSettings
from inspector.store.allowed import AllowedPlace, AllowList
from inspector.store.errors import ClaimError, shown
from inspector.store.folder import absent_folders, read_file
from inspector.store.objects import ObjectStore

log = logging.getLogger(__name__)

JOIN_S = 0.5
"""A thread that hangs in a network file system is left to its fate; it is a daemon."""


class PictureStore:
    """All that `image_uri` may lead to. Event loop only."""

    def __init__(self, settings: StoreSettings, *, post: Post) -> None:
        """Prepare; nothing connects and no thread runs before `start`.

        Args:
            settings: what is allowed.
            post: how a thread reaches the event loop.
        """
        self._settings = settings
        self._allowed = AllowList(settings.allowed_prefixes)
        self._objects: ObjectStore | None = None
        self._post = post
        self._threads: Workers | None = None
        self._free = asyncio.Semaphore(settings.concurrency)
        """Threads that are at no file. A read that was given up holds its own until the file system lets it go, and none waits behind it."""

    def start(self) -> None:
        """Make ready what the prefixes need.

        Raises:
            MissingExtraError: Requests to S3 are to be signed, and obstore is not installed.
        """
        if self._settings.uses_s3:
            self._objects = ObjectStore(self._settings)
        if any(prefix.startswith("file:") for prefix in self._settings.allowed_prefixes):
            self._threads = Workers(self._settings.concurrency, self._post, lambda _exc: None)
            self._threads.start()
            # On a thread of its own: a network's file system that hangs may keep it.
            threading.Thread(target=_tell_absent, args=(self._settings.allowed_prefixes,), daemon=True).start()

    def stop(self) -> bool:
        """Let the threads end; return whether they have. On any thread."""
        return self._threads is None or self._threads.stop(JOIN_S)

    def find(self, uri: str) -> AllowedPlace:
        """Return the place that `uri` names; nothing is sent.

        Raises:
            ClaimError: `image_refused`.
        """
        return self._allowed.find(uri)

    async def read(self, allowed: AllowedPlace, size_bytes: int) -> bytes:
        """Return the `size_bytes` bytes of a picture; never more are read. May take any time, and be cancelled at any.

        Raises:
            ClaimError: It is not there, not as long, or not to be had.
        """
        if allowed.place.scheme == "file":
            return await self._read_file(allowed, size_bytes)
        if self._objects is None:
            raise ClaimError("image_refused", f"no S3 store is set for {shown(allowed.uri)}")
        return await self._objects.read(allowed, size_bytes)

    async def _read_file(self, allowed: AllowedPlace, size_bytes: int) -> bytes:
        threads = self._threads
        if threads is None:
            raise ClaimError("image_refused", f"no folder is set for {shown(allowed.uri)}")
        await self._free.acquire()
        done: asyncio.Future[bytes | ClaimError] = asyncio.get_running_loop().create_future()

        def tell(outcome: bytes | ClaimError) -> None:
            self._free.release()
            if not done.done():
                done.set_result(outcome)

        threads.submit(functools.partial(_outcome, allowed, size_bytes), tell)
        outcome = await done
        if isinstance(outcome, ClaimError):
            raise outcome
        return outcome


def _tell_absent(prefixes: Iterable[str]) -> None:
    for prefix in absent_folders(prefixes):
        log.warning(
            "store.allowed_prefixes: %s is not a folder on this machine; until it is mounted or created, its pictures "
            "are unreachable",
            prefix,
        )


def _outcome(allowed: AllowedPlace, size_bytes: int) -> bytes | ClaimError:
    """Read a file on a thread, which nothing may end."""
    try:
        return read_file(allowed, size_bytes)
    except ClaimError as exc:
        return exc
    except Exception as exc:  # noqa: BLE001 as said
        return ClaimError("image_unreachable", f"{shown(allowed.uri)} cannot be read: {type(exc).__name__}: {exc}")
