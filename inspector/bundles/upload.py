"""Uploads a bundle: every file that its manifest names, and the manifest last, so that a bundle in the store is complete."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from inspector.bundles.errors import BundleStoreError
from inspector.bundles.place import BundlePlace
from schemas import BundleReference, ModelReference

log = logging.getLogger(__name__)


def upload_bundle(bundle: Path, place: BundlePlace) -> BundleReference:
    """Bring a bundle into the store under its manifest's digest; return where it lies.

    Files that are there in their size are not brought again, so what was cut short is gone on with; the signature always is,
    which may be given later. Loads torch, for the manifest.

    Raises:
        BundleError: It is not a bundle, or was changed.
        BundleStoreError: A file is not the one of the manifest, or the store does not take it.
    """
    from inspector.anomaly.model.backbone_file import BACKBONE_FILE, shared_file  # noqa: PLC0415 loads torch
    from inspector.anomaly.model.manifest import MANIFEST_NAME, read_manifest  # noqa: PLC0415
    from inspector.anomaly.model.signature import SIGNATURE_NAME  # noqa: PLC0415

    manifest, digest = read_manifest(bundle)
    url = f"{place.url}{digest}/"
    folder = place.name(url)
    sources = {name: bundle / name for name in manifest.files}
    if BACKBONE_FILE in sources and not sources[BACKBONE_FILE].exists():
        sources[BACKBONE_FILE] = shared_file(bundle, manifest.files[BACKBONE_FILE])
    for name, source in sources.items():
        _check(source, manifest.files[name])
    place.make()
    for name, source in sources.items():
        if place.size(f"{folder}/{name}") != source.stat().st_size:
            place.put(source, f"{folder}/{name}")
    if (bundle / SIGNATURE_NAME).exists():
        place.put(bundle / SIGNATURE_NAME, f"{folder}/{SIGNATURE_NAME}")
    place.put(bundle / MANIFEST_NAME, f"{folder}/{MANIFEST_NAME}")
    reference = ModelReference(name=manifest.name, version=manifest.version, digest=digest)
    return BundleReference(model=reference, url=url)


def _check(source: Path, expected: str) -> None:
    try:
        with source.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise BundleStoreError(
            "missing", f"{source} cannot be read: {exc.strerror or exc}; the manifest names it"
        ) from exc
    if found != expected:
        raise BundleStoreError(
            "digest", f"{source} was changed: its SHA-256 is {found}, but the manifest says {expected}"
        )
