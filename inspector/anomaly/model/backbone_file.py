"""Where a bundle keeps its backbone's weights: inside, or beside it if they are large, so that several bundles share them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from inspector.anomaly.errors import BundleError
from inspector.anomaly.files import resolved, write_file
from inspector.anomaly.model.manifest import read_bundle_file

BACKBONE_FILE: Final = "backbone.safetensors"

LARGEST_INSIDE_BYTES = 256 * 2**20
"""Weights of more than this lie beside the bundle."""

SHARED_FOLDER: Final = "backbones"
"""Beside the bundles; each file there is named by the SHA-256 of its bytes, and is never altered."""


def shared_file(bundle: Path, digest: str) -> Path:
    """Return where the weights of this SHA-256 lie where they are not inside the bundle."""
    return resolved(bundle).parent / SHARED_FOLDER / f"{digest}.safetensors"


def write_shared_backbone(bundle: Path, content: bytes, digest: str) -> None:
    """Write the weights beside the bundle, unless they are there already.

    Raises:
        OSError: They cannot be written.
    """
    path = shared_file(bundle, digest)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, content)


def read_backbone_file(bundle: Path, digest: str) -> bytes:
    """Return the bytes of a bundle's weights, not yet verified.

    Args:
        bundle: Its folder.
        digest: SHA-256 that its manifest names.

    Raises:
        BundleError: They are neither inside nor beside it, or cannot be read.
    """
    path = shared_file(bundle, digest)
    if (bundle / BACKBONE_FILE).exists() or not path.exists():
        try:
            return read_bundle_file(bundle, BACKBONE_FILE)
        except BundleError as exc:
            raise BundleError(f"{exc} (Large weights are stored beside a bundle: these should be in {path})") from exc
    try:
        return path.read_bytes()
    except OSError as exc:
        raise BundleError(f"{path} cannot be read: {exc.strerror or exc}") from exc
