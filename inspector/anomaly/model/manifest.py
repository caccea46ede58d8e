"""The manifest of a model bundle, `bundle.json`: its contents and how it is read. Loads no weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, ValidationError

from inspector.anomaly.choices import BackboneName, DetectorName, FeatureNormalization
from inspector.anomaly.errors import BundleError
from inspector.anomaly.model.signature import NOBODY, Signers, check_signature
from inspector.anomaly.parameters import NAME_PATTERN, Parameters
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.types import ImageGeometry, ScoreScale, Thresholds
from inspector.anomaly.verdict.score import ScoreRule
from schemas.refusal import refusals

FORMAT_VERSION: Literal[2] = 2
MANIFEST_NAME = "bundle.json"

DIGEST_KEY = "manifest_sha256"
"""Under this key `bundle.json` names its own digest: SHA-256 of all else that it says, as canonical JSON."""

_MAX_MANIFEST_BYTES = 4 * 2**20


class BackboneEntry(Parameters):
    """Which network is used, and which of its levels."""

    name: BackboneName
    levels: tuple[int, ...]


class DetectorEntry(Parameters):
    """Which detector, fitted with which parameters of its own (if recorded), on which grid, how a map becomes a score.

    The normalisation is stored where it is not the default alone, so that older programs read every bundle that they can use.
    """

    kind: DetectorName
    grid_level: int = Field(ge=0)
    feature_normalization: FeatureNormalization = Field(default="level", exclude_if=lambda kind: kind == "level")
    rule: ScoreRule
    scale: ScoreScale
    fitted_with: dict[str, int | float] = Field(default_factory=dict)


class GoldenSample(Parameters):
    """A picture in `golden.safetensors` and the score that it must have."""

    tensor: str
    anomaly_score: float = Field(ge=0.0, lt=1.0)


class Manifest(Parameters):
    """The contents of `bundle.json`. `files` maps each file's name to the SHA-256 of its bytes.

    `thresholds_runtime` names the runtime and precision that the thresholds were estimated on. `training`,
    `calibration` and `metrics` are the trainer's record for people; they are kept but not interpreted. `meta_data`
    belongs to the user.
    """

    format_version: Literal[2] = FORMAT_VERSION
    name: str = Field(pattern=NAME_PATTERN)
    version: str = Field(pattern=NAME_PATTERN)
    created_at: str
    preprocess_param: DLPreprocessParam
    geometry: ImageGeometry
    backbone: BackboneEntry
    detector: DetectorEntry
    thresholds: Thresholds | None
    thresholds_runtime: Literal["torch-float32"] = "torch-float32"
    golden_samples: tuple[GoldenSample, ...]
    files: dict[str, str]
    meta_data: dict[str, str] = Field(default_factory=dict)
    calibration: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] = Field(default_factory=dict)


class Records(NamedTuple):
    """What the trainer records about a model, for people."""

    calibration: dict[str, Any]
    training: dict[str, Any]
    metrics: dict[str, Any]


def manifest_bytes(manifest: Manifest) -> bytes:
    """Return what `bundle.json` holds.

    Raises:
        BundleError: It would be too large to be read.
    """
    document = manifest.model_dump(mode="json")
    content = json.dumps({**document, DIGEST_KEY: document_digest(document)}, indent=2, allow_nan=False).encode()
    if len(content) > _MAX_MANIFEST_BYTES:
        raise BundleError(
            f"the manifest of model {manifest.name} would have {len(content)} bytes, but at most "
            f"{_MAX_MANIFEST_BYTES} are read; put less into meta_data or the records"
        )
    return content


def document_digest(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest's JSON without its `DIGEST_KEY`: keys sorted, no space between, ASCII alone."""
    content = {key: value for key, value in document.items() if key != DIGEST_KEY}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def read_manifest(path: Path | str, *, digest: str | None = None, signers: Signers = NOBODY) -> tuple[Manifest, str]:
    """Read the manifest alone: (manifest, SHA-256 of its bytes). Loads no weights.

    Args:
        path: The bundle's folder.
        digest: SHA-256 that the bytes of `bundle.json` must have, so that nobody can replace the model. With it, a
            manifest of an older program, which does not contain its own digest, can be read too.
        signers: Who must have signed those bytes.

    Raises:
        BundleError: It is missing, malformed, altered, of another format version, not the one of `digest`, or not signed as
            `signers` want it.
    """
    path = Path(path)
    content = read_bundle_file(path, MANIFEST_NAME)
    if len(content) > _MAX_MANIFEST_BYTES:
        raise BundleError(
            f"{path / MANIFEST_NAME} has {len(content)} bytes, but a manifest may have at most {_MAX_MANIFEST_BYTES}"
        )
    check_signature(path, MANIFEST_NAME, content, signers)
    found = hashlib.sha256(content).hexdigest()
    try:
        document = json.loads(content)
        contents = document_digest(document) if isinstance(document, dict) else ""
    except (ValueError, RecursionError) as exc:
        raise BundleError(f"{path / MANIFEST_NAME} is not JSON: {exc}") from exc
    version = document.get("format_version") if isinstance(document, dict) else None
    if isinstance(document, dict) and version == FORMAT_VERSION:
        _check_digests(path / MANIFEST_NAME, document.pop(DIGEST_KEY, None), contents, found, digest)
    else:
        raise BundleError(
            f"{path / MANIFEST_NAME} has format version {version!r}, but this program reads {FORMAT_VERSION}; "
            "train the model again, or use the program that wrote it"
        )
    try:
        manifest = Manifest.model_validate_json(json.dumps(document))
    except ValidationError as exc:
        raise BundleError(f"{path / MANIFEST_NAME}: {refusals(exc)[0]}") from exc
    return manifest, found


def _check_digests(path: Path, named: object, contents: str, found: str, pinned: str | None) -> None:
    """Compare the digest that was asked for with that of the bytes, and the one that the manifest names with its contents'."""
    if pinned is not None and pinned != found:
        raise BundleError(f"{path} is not the requested one: its SHA-256 is {found}, not {pinned}")
    if named is None and pinned is None:
        raise BundleError(
            f"{path} has no {DIGEST_KEY}, so it was written by an older program, or changed; train the model again, or, if "
            f'you trust it, give its digest: [model_digests] NAME = "{found}" in the inspector\'s settings, '
            "read_dl_model(digest=...) in Python; trainer apply and trainer show cannot read it"
        )
    if named is not None and named != contents:
        raise BundleError(
            f"{path} was changed: the SHA-256 of its contents is {contents}, but it says {named}; copy the bundle "
            "again, or train the model again"
        )


def read_bundle_file(folder: Path, name: str) -> bytes:
    """Return the bytes of one of a bundle's files.

    Raises:
        BundleError: It cannot be read.
    """
    try:
        return (folder / name).read_bytes()
    except OSError as exc:
        raise BundleError(
            f"{folder / name} cannot be read: {exc.strerror or exc}; is {folder} a model bundle?"
        ) from exc
