"""Fetches a bundle from the store. Every byte is checked against a digest that was checked before; nothing is trusted."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from inspector.bundles.errors import BundleStoreError
from inspector.bundles.place import BundlePlace

if TYPE_CHECKING:
    from inspector.anomaly.model.manifest import Manifest
    from inspector.anomaly.model.signature import Signers

MOST_SMALL_BYTES: Final = 4 << 20
"""Of manifest and signature."""
_NAME = re.compile(r"[a-z_]{1,64}\.safetensors")

ReadSigners = Callable[[], "Signers"]


def download_bundle(
    url: str, digest: str, place: BundlePlace, into: Path, *, read_signers: ReadSigners, max_bytes: int
) -> None:
    """Fetch a bundle into an empty folder. Loads torch, for the manifest.

    In this order: the manifest, whose SHA-256 must be `digest`; the signature, where one is wanted; each file that the manifest
    names, whose SHA-256 it says.

    Args:
        url: the bundle's folder in the store.
        digest: of its manifest.
        place: the store.
        into: where the files go; what is there after an error is to be thrown away.
        read_signers: whose bundles are wanted.
        max_bytes: of all files together.

    Raises:
        BundleStoreError: The reason says what is wrong.
    """
    from inspector.anomaly.errors import BundleError  # noqa: PLC0415
    from inspector.anomaly.model.manifest import MANIFEST_NAME, read_manifest  # noqa: PLC0415 loads torch
    from inspector.anomaly.model.signature import SIGNATURE_NAME, check_signature  # noqa: PLC0415

    folder = place.name(url)
    content = _small(place, f"{folder}/{MANIFEST_NAME}", url)
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise BundleStoreError("digest", f"{url}{MANIFEST_NAME} has SHA-256 {found}, but the release says {digest}")
    _write(into / MANIFEST_NAME, content)
    signers = read_signers()
    if signers.keys or signers.is_required:
        signature = _signature(place, f"{folder}/{SIGNATURE_NAME}", url)
        if signature is not None:
            _write(into / SIGNATURE_NAME, signature)
        try:
            check_signature(into, MANIFEST_NAME, content, signers)
        except BundleError as exc:
            raise BundleStoreError("signature", f"{url}: {exc}") from exc
    try:
        manifest, _ = read_manifest(into, digest=digest)
    except BundleError as exc:
        raise BundleStoreError("manifest", f"{url}: {exc}") from exc
    _files(place, url, manifest, into, max_bytes)


def _files(place: BundlePlace, url: str, manifest: Manifest, into: Path, max_bytes: int) -> None:
    folder = place.name(url)
    for name in manifest.files:
        if not _NAME.fullmatch(name):
            raise BundleStoreError(
                "manifest", f"{url}: the manifest names a file {ascii(name)[:80]}, which does not belong to a bundle"
            )
    sizes = {name: _size(place, f"{folder}/{name}", url) for name in manifest.files}
    total = sum(sizes.values())
    if total > max_bytes:
        raise BundleStoreError(
            "too_large", f"{url} has {total} bytes, more than releases.max_bundle_bytes ({max_bytes})"
        )
    free = _free_bytes(into)
    if total > free:
        raise BundleStoreError(
            "no_room", f"{url} has {total} bytes, but {into.parent} has only {free} bytes free; free some space"
        )
    for name, expected in manifest.files.items():
        found = _fetch(place, f"{folder}/{name}", into / name, sizes[name], url)
        if found != expected:
            raise BundleStoreError("digest", f"{url}{name} has SHA-256 {found}, but the manifest says {expected}")


def _fetch(place: BundlePlace, remote: str, local: Path, size: int, url: str) -> str:
    """Copy a file and return its SHA-256; not one byte more than `size` is taken."""
    hashed = hashlib.sha256()
    taken = 0
    with local.open("xb") as target:
        for chunk in place.read(remote):
            taken += len(chunk)
            if taken > size:
                raise BundleStoreError("digest", f"{url}{local.name} has more than the expected {size} bytes")
            hashed.update(chunk)
            target.write(chunk)
        target.flush()
        os.fsync(target.fileno())
    return hashed.hexdigest()


def _small(place: BundlePlace, remote: str, url: str) -> bytes:
    size = _size(place, remote, url)
    content = b"".join(place.read(remote)) if size <= MOST_SMALL_BYTES else b""
    if max(size, len(content)) > MOST_SMALL_BYTES:
        raise BundleStoreError("too_large", f"{url}{remote.rpartition('/')[2]} has more than {MOST_SMALL_BYTES} bytes")
    return content


def _size(place: BundlePlace, remote: str, url: str) -> int:
    found = place.size(remote)
    if found is None:
        raise BundleStoreError("missing", f"{url} has no {remote.rpartition('/')[2]}; upload the bundle again")
    return found


def _signature(place: BundlePlace, remote: str, url: str) -> bytes | None:
    try:
        return _small(place, remote, url)
    except BundleStoreError as exc:
        if exc.reason == "missing":
            return None
        raise


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
