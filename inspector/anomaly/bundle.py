"""A model on disk: a folder of a JSON manifest and safetensors files, every byte named by its digest. No pickle.

    bundle.json          the manifest
    backbone.safetensors the frozen network's weights
    detector.safetensors the embedding's projection and what the detector learnt
    golden.safetensors   pictures (uint8) that the model must score as it did when it was made

Written to a temporary folder beside the target, synced, renamed: a bundle is there as a whole or not at all. Each
file is read once into memory, and those very bytes are verified and used.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

from inspector.anomaly.backbone import BackboneName, EfficientNetLite
from inspector.anomaly.detectors.base import Detector, DetectorName, Embedding, checked
from inspector.anomaly.detectors.padim import PaDiM
from inspector.anomaly.detectors.patchcore import PatchCore
from inspector.anomaly.errors import AnomalyError, BundleError, StepError
from inspector.anomaly.model import AnomalyModel, FeatureNetwork, ModelIdentity, ScoreRule
from inspector.anomaly.preprocess_steps import check_preprocess_steps
from inspector.anomaly.runtime import TorchRuntime
from inspector.anomaly.types import DLPreprocessParam, ImageGeometry, Parameters, ScoreScale, Thresholds

FORMAT_VERSION: Literal[1] = 1
MANIFEST_NAME = "bundle.json"
BACKBONE_FILE = "backbone.safetensors"
DETECTOR_FILE = "detector.safetensors"
GOLDEN_FILE = "golden.safetensors"

GOLDEN_TOLERANCE = 1e-3
"""Largest relative difference of a golden sample's raw distance: other kernels round otherwise, other weights do not."""

_MAX_MANIFEST_BYTES = 4 * 2**20
_NAME_PATTERN = r"^[A-Za-z0-9_.-]{1,64}$"

DETECTORS: dict[DetectorName, type[PatchCore | PaDiM]] = {"patchcore": PatchCore, "padim": PaDiM}


class BackboneEntry(Parameters):
    """Which network, cut where."""

    name: BackboneName
    levels: tuple[int, ...]


class DetectorEntry(Parameters):
    """Which detector, on which grid, how a map becomes a score."""

    kind: DetectorName
    grid_level: int = Field(ge=0)
    rule: ScoreRule
    scale: ScoreScale


class GoldenSample(Parameters):
    """A picture in `golden.safetensors` and the score that it must have."""

    tensor: str
    anomaly_score: float = Field(ge=0.0, lt=1.0)


class Manifest(Parameters):
    """Everything that `bundle.json` says. `files` maps each file's name to the SHA-256 of its bytes.

    `thresholds_runtime` names the runtime and precision that the thresholds were estimated on. `training`,
    `calibration` and `metrics` are the trainer's record for people: read, kept, not interpreted.
    """

    format_version: Literal[1] = 1
    name: str = Field(pattern=_NAME_PATTERN)
    version: str = Field(pattern=_NAME_PATTERN)
    created_at: str
    preprocess_param: DLPreprocessParam
    geometry: ImageGeometry
    backbone: BackboneEntry
    detector: DetectorEntry
    thresholds: Thresholds | None
    thresholds_runtime: Literal["torch-float32"] = "torch-float32"
    golden_samples: tuple[GoldenSample, ...]
    files: dict[str, str]
    calibration: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] = Field(default_factory=dict)


class Records(NamedTuple):
    """What the trainer has to say about a model, for people."""

    calibration: dict[str, Any]
    training: dict[str, Any]
    metrics: dict[str, Any]


def write_dl_model(  # noqa: PLR0913 - a bundle holds that much; all but two are named
    path: Path,
    model: AnomalyModel,
    *,
    created_at: str,
    detector: DetectorName,
    golden_images: Sequence[NDArray[np.uint8]],
    overwrite: bool = False,
    records: Records | None = None,
    extra_files: Mapping[str, bytes] | None = None,
) -> Manifest:
    """Write a bundle as a whole.

    Args:
        path: The folder to be; its parent is made where it is missing.
        model: A fitted model on a `TorchRuntime`; its identity's name and version are written.
        created_at: When it was made, ISO 8601.
        detector: Which kind `model.detector` is.
        golden_images: A few pictures as the decoder gives them; their scores are computed and stored.
        overwrite: Replace a bundle that is there; it is kept until the new one is complete.
        records: The manifest's `calibration`, `training` and `metrics`.
        extra_files: Further files to lay beside, such as a report; not part of the model and not verified.

    Raises:
        BundleError: There is something at `path` already, it cannot be written, or an extra file has the name of a part.
    """
    if path.exists() and not overwrite:
        raise BundleError(f"{path} exists already; choose another name or say that it may be overwritten")
    taken = {MANIFEST_NAME, BACKBONE_FILE, DETECTOR_FILE, GOLDEN_FILE} & set(extra_files or {})
    if taken:
        raise BundleError(f"{', '.join(sorted(taken))} is part of the bundle; give the extra file another name")
    runtime = model.network.runtime
    if not isinstance(runtime, TorchRuntime):
        raise BundleError("a bundle is written from the torch runtime, whose scores its thresholds were estimated on")
    golden = {f"image_{index}": torch.from_numpy(image.copy()) for index, image in enumerate(golden_images)}
    results = model.launch(list(golden_images)).finish() if golden_images else []
    files = {
        BACKBONE_FILE: safetensors.save(_contiguous(runtime.backbone.state_dict())),
        DETECTOR_FILE: safetensors.save(
            _contiguous({"projection": model.network.embedding.projection.cpu(), **model.detector.tensors()})
        ),
        GOLDEN_FILE: safetensors.save(golden),
    }
    manifest = Manifest(
        name=model.name,
        version=model.version,
        created_at=created_at,
        preprocess_param=model.preprocess_param,
        geometry=model.geometry,
        backbone=BackboneEntry(name="efficientnet_lite0", levels=runtime.backbone.levels),
        detector=DetectorEntry(
            kind=detector, grid_level=model.network.embedding.grid_level, rule=model.rule, scale=model.scale
        ),
        thresholds=model.thresholds,
        golden_samples=tuple(
            GoldenSample(tensor=name, anomaly_score=result.anomaly_score)
            for name, result in zip(golden, results, strict=True)
        ),
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        **(records._asdict() if records else {}),
    )
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, allow_nan=False).encode()
    try:
        _write_folder(path, {**files, **(extra_files or {}), MANIFEST_NAME: text})
    except OSError as exc:
        raise BundleError(f"bundle {path} cannot be written: {exc.strerror or exc}") from exc
    return manifest


def read_manifest(path: Path) -> tuple[Manifest, str]:
    """Read the manifest alone: (manifest, SHA-256 of its bytes). Loads no weights.

    Raises:
        BundleError: It is missing, malformed or of another format version.
    """
    content = _read_file(path, MANIFEST_NAME)
    if len(content) > _MAX_MANIFEST_BYTES:
        raise BundleError(
            f"{path / MANIFEST_NAME} has {len(content)} bytes; a manifest has at most {_MAX_MANIFEST_BYTES}"
        )
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise BundleError(f"{path / MANIFEST_NAME} is not JSON: {exc}") from exc
    version = document.get("format_version") if isinstance(document, dict) else None
    if version != FORMAT_VERSION:
        raise BundleError(
            f"{path / MANIFEST_NAME} has format version {version!r}, this program reads {FORMAT_VERSION}; "
            "train the model anew or use the program that wrote it"
        )
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{path / MANIFEST_NAME}: {where}: {first['msg']}") from exc
    return manifest, hashlib.sha256(content).hexdigest()


def read_dl_model(path: Path | str, *, device: str = "cpu") -> AnomalyModel:
    """Load a bundle, verify every file and score its golden samples.

    Args:
        path: The bundle's folder.
        device: `cpu`, `cuda` or `cuda:N`.

    Raises:
        BundleError: A file is missing or altered, the manifest is of another version, the tensors do not fit it, the
            device is not there, an own preprocessing step is not installed in its version, or a golden sample does not
            score as recorded.
    """
    path = Path(path)
    manifest, digest = read_manifest(path)
    try:
        check_preprocess_steps(manifest.preprocess_param)
    except StepError as exc:
        raise BundleError(f"bundle {path}: {exc}") from exc
    target = _device(device)
    files = {name: _read_file(path, name) for name in (BACKBONE_FILE, DETECTOR_FILE, GOLDEN_FILE)}
    for name, content in files.items():
        found = hashlib.sha256(content).hexdigest()
        if found != manifest.files.get(name):
            raise BundleError(
                f"{path / name} was altered: SHA-256 {found}, the manifest says {manifest.files.get(name)}"
            )
    try:
        model = _assemble(
            manifest, digest, {name: safetensors.load(content) for name, content in files.items()}, target
        )
        golden = safetensors.load(files[GOLDEN_FILE])
    except (SafetensorError, AnomalyError, ValueError, RuntimeError, KeyError) as exc:
        reason = " ".join(str(exc).split())  # torch's messages span lines
        raise BundleError(f"bundle {path} does not fit together: {reason}") from exc
    _check_golden(path, model, manifest, golden)
    return model


def _assemble(
    manifest: Manifest, digest: str, tensors: Mapping[str, dict[str, Tensor]], device: torch.device
) -> AnomalyModel:
    backbone = EfficientNetLite(manifest.backbone.levels)
    backbone.load_state_dict(tensors[BACKBONE_FILE])
    broken = [name for name, weight in backbone.state_dict().items() if not bool(weight.isfinite().all())]
    if broken:  # a clipped activation would hide it
        raise BundleError(f"{BACKBONE_FILE} holds values that are not finite: {', '.join(broken)}")
    stored = tensors[DETECTOR_FILE]
    if manifest.detector.grid_level >= len(manifest.backbone.levels):
        raise BundleError(f"grid level {manifest.detector.grid_level} is none of levels {manifest.backbone.levels}")
    embedding = Embedding(manifest.detector.grid_level, checked(stored, "projection", 2).to(device))
    network = FeatureNetwork(manifest.preprocess_param, TorchRuntime(backbone, device), embedding)
    detector: Detector = DETECTORS[manifest.detector.kind].from_tensors(stored, device)
    return AnomalyModel(
        identity=ModelIdentity(manifest.name, manifest.version, digest),
        network=network,
        detector=detector,
        scale=manifest.detector.scale,
        rule=manifest.detector.rule,
        geometry=manifest.geometry,
        thresholds=manifest.thresholds,
    )


def _check_golden(path: Path, model: AnomalyModel, manifest: Manifest, golden: Mapping[str, Tensor]) -> None:
    for sample in manifest.golden_samples:
        if sample.tensor not in golden:
            raise BundleError(f"{path / GOLDEN_FILE} has no {sample.tensor!r}, which the manifest names")
        try:
            score = model.launch([golden[sample.tensor].numpy()]).finish()[0].anomaly_score
        except (AnomalyError, RuntimeError) as exc:
            raise BundleError(f"bundle {path}: golden sample {sample.tensor} cannot be scored: {exc}") from exc
        # Compared as raw distances: near 1 a score hides how far apart two distances are.
        expected, found = (model.scale.to_distance(value) for value in (sample.anomaly_score, score))
        if not math.isclose(found, expected, rel_tol=GOLDEN_TOLERANCE, abs_tol=GOLDEN_TOLERANCE * model.scale.s):
            raise BundleError(
                f"bundle {path}: golden sample {sample.tensor} scores {score:.6g}, recorded was "
                f"{sample.anomaly_score:.6g}; its thresholds do not hold on this machine, calibrate the model here"
            )


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as exc:
        raise BundleError(f"device {name!r} is unknown; use cpu, cuda or cuda:N") from exc
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BundleError(f"device {name!r} was asked for, but torch finds no CUDA device; use device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BundleError(f"device {name!r} was asked for, but torch finds {torch.cuda.device_count()} CUDA device(s)")
    if device.type not in ("cpu", "cuda"):
        raise BundleError(f"device {name!r} is not supported; use cpu, cuda or cuda:N")
    return device


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _read_file(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as exc:
        raise BundleError(
            f"{folder / name} cannot be read: {exc.strerror or exc}; is {folder} a model bundle?"
        ) from exc


def _write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    temporary.mkdir()
    try:
        for name, content in files.items():
            with (temporary / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        _sync_folder(temporary)
        _replace_folder(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync_folder(path.parent)


def _replace_folder(temporary: Path, path: Path) -> None:
    """Rename into place; a folder cannot be renamed onto another, so the old one steps aside first."""
    if not path.exists():
        temporary.rename(path)
        return
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.old")
    path.rename(aside)
    try:
        temporary.rename(path)
    except BaseException:
        aside.rename(path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
