"""Pictures as objects of an S3 store: one GET for each, to the one address in the settings.

obstore only signs the requests, and this module sends them: obstore's own client follows redirects to other
hosts, and this cannot be switched off.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import ssl
from collections.abc import Callable
from datetime import timedelta
from typing import Final
from urllib.parse import quote, urlsplit

from inspector.errors import MissingExtraError
from inspector.settings.places.store import StoreSettings
from inspector.store.allowed import AllowedPlace
from inspector.store.errors import ClaimError, shown

MAX_HEAD_BYTES: Final = 64 * 1024
ATTEMPTS: Final = 3
PAUSE_S: Final = 0.05
VALID_FOR: Final = timedelta(seconds=60)

Sign = Callable[[str, str], str]
"""From bucket and key to the URL of a GET."""


class ObjectStore:
    """Reads objects. Event loop only."""

    def __init__(self, settings: StoreSettings) -> None:
        """Prepare; nothing connects.

        Raises:
            MissingExtraError: Requests are to be signed, and obstore is not installed.
        """
        endpoint = urlsplit(settings.endpoint or "")
        self._netloc = endpoint.netloc
        self._host = endpoint.hostname or ""
        self._tls = ssl.create_default_context() if endpoint.scheme == "https" else None
        self._port = endpoint.port or (80 if self._tls is None else 443)
        self._sign = _unsigned(settings) if settings.access_key_id is None else _signed(settings)

    async def read(self, allowed: AllowedPlace, size_bytes: int) -> bytes:
        """Return the bytes of an object that has exactly `size_bytes`; of any other none is read. May be cancelled at any time.

        Raises:
            ClaimError: No such object, another size, a redirect, or no answer after some attempts.
        """
        url = urlsplit(self._sign(allowed.place.bucket, allowed.place.path))
        if url.netloc != self._netloc:
            raise ClaimError(
                "image_refused", f"{shown(allowed.uri)} would be fetched from {url.netloc}, not store.endpoint"
            )
        target = f"{url.path}?{url.query}" if url.query else url.path
        for attempt in range(1, ATTEMPTS):
            try:
                return await self._get(target, allowed.uri, size_bytes)
            except ClaimError as exc:
                if exc.reason != "image_unreachable":
                    raise
            await asyncio.sleep(PAUSE_S * 2**attempt)
        return await self._get(target, allowed.uri, size_bytes)

    async def _get(self, target: str, uri: str, size_bytes: int) -> bytes:
        request = (
            f"GET {target} HTTP/1.1\r\nHost: {self._netloc}\r\nRange: bytes=0-{size_bytes - 1}\r\n"
            "Accept-Encoding: identity\r\nConnection: close\r\n\r\n"
        )
        writer: asyncio.StreamWriter | None = None
        try:
            reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls, limit=MAX_HEAD_BYTES)
            writer.write(request.encode("ascii"))
            _check(await reader.readuntil(b"\r\n\r\n"), uri, size_bytes)
            return await reader.readexactly(size_bytes)
        except (OSError, EOFError, asyncio.LimitOverrunError, http.client.HTTPException, UnicodeError) as exc:
            raise ClaimError(
                "image_unreachable", f"{shown(uri)}: {self._netloc} gave no complete answer: {type(exc).__name__} {exc}"
            ) from exc
        finally:
            if writer is not None:
                with contextlib.suppress(OSError, RuntimeError):
                    writer.transport.abort()  # what may follow is not waited for


def _check(head: bytes, uri: str, size_bytes: int) -> None:
    """Look at an answer's status and headers before any of its body is taken."""
    status_line, _, rest = head.partition(b"\r\n")
    protocol, _, status = status_line.partition(b" ")
    code = status[:3].decode("ascii")
    if not protocol.startswith(b"HTTP/1.") or not code.isdigit():
        raise ClaimError("image_unreachable", f"{shown(uri)}: the store's answer is not HTTP")
    if code == "404":
        raise ClaimError("image_missing", f"the store has no object {shown(uri)}")
    if code.startswith("3"):
        raise ClaimError(
            "image_refused", f"{shown(uri)}: the store redirects (status {code}); redirects are not followed"
        )
    if code in {"401", "403"}:
        raise ClaimError(
            "image_missing",
            f"the store does not allow reading {shown(uri)} (status {code}), or the object does not exist",
        )
    headers = http.client.parse_headers(io.BytesIO(rest))
    length = headers.get("Content-Length", "")
    if code == "416":
        raise ClaimError("image_mismatch", f"the object {shown(uri)} is empty, but the frame says {size_bytes} bytes")
    if code not in {"200", "206"}:
        raise ClaimError("image_unreachable", f"{shown(uri)}: the store answers with status {code}")
    total = headers.get("Content-Range", "").rpartition("/")[2] if code == "206" else length
    if total != str(size_bytes) or length != str(size_bytes):
        raise ClaimError(
            "image_mismatch",
            f"the object {shown(uri)} has {ascii(total or 'no stated number of')[:40]} bytes, but the frame says {size_bytes}",
        )


def _unsigned(settings: StoreSettings) -> Sign:
    return lambda bucket, key: f"{settings.endpoint}/{bucket}/{quote(key)}"


def _signed(settings: StoreSettings) -> Sign:
    try:
        import obstore  # noqa: PLC0415 an extra
        from obstore.store import S3Store  # noqa: PLC0415
    except ModuleNotFoundError as exc:
        raise MissingExtraError("obstore", "store") from exc
    secret = settings.read_secret_key() or ""
    stores: dict[str, S3Store] = {}

    def sign(bucket: str, key: str) -> str:
        if bucket not in stores:  # as many as the prefixes name
            stores[bucket] = S3Store(
                bucket,
                endpoint=settings.endpoint,
                region=settings.region,
                access_key_id=settings.access_key_id,
                secret_access_key=secret,
                virtual_hosted_style_request=False,
                client_options={"allow_http": True},
            )
        return obstore.sign(stores[bucket], "GET", key, VALID_FOR)

    return sign
