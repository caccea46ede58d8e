"""A model on disk: a folder with a JSON manifest and safetensors files, with a digest for every file. No pickle.

    bundle.json          the manifest
    backbone.safetensors the frozen network's weights; large ones lie beside the bundle (`backbone_file`)
    detector.safetensors the embedding's projection and what the detector learnt
    bundle.sig           the signature of bundle.json, if somebody has signed it (`signature`)
    golden.safetensors   pictures (uint8) that the model must score as it did when it was made

A bundle is written completely or not at all (`files`). Each file is read once into memory, and exactly these bytes are
verified and used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

from inspector.anomaly.choices import DetectorName
from inspector.anomaly.detectors.base import FINE_PROJECTION, Detector, Embedding, checked
from inspector.anomaly.detectors.fused import Fused
from inspector.anomaly.detectors.padim import PaDiM
from inspector.anomaly.detectors.patchcore import PatchCore
from inspector.anomaly.detectors.refine import DETAIL_COUNTED
from inspector.anomaly.detectors.student import Student
from inspector.anomaly.errors import AnomalyError, BundleError, ParameterError, StepError, WeightsError
from inspector.anomaly.files import is_empty_folder, resolved, set_aside, write_folder
from inspector.anomaly.model import backbone_file
from inspector.anomaly.model.backbone_file import BACKBONE_FILE, read_backbone_file, write_shared_backbone
from inspector.anomaly.model.feature_network import FeatureNetwork
from inspector.anomaly.model.golden import check_golden_samples, golden_samples
from inspector.anomaly.model.manifest import (
    MANIFEST_NAME,
    BackboneEntry,
    DetectorEntry,
    GoldenSample,
    Manifest,
    Records,
    manifest_bytes,
    read_bundle_file,
    read_manifest,
)
from inspector.anomaly.model.model import AnomalyModel, ModelIdentity, trained_model
from inspector.anomaly.model.param import INITIAL_MODELS, InitialModel, InitialModelName, create_initial_model
from inspector.anomaly.model.signature import NOBODY, SIGNATURE_NAME, Signers
from inspector.anomaly.network.base import Backbone
from inspector.anomaly.network.device import available_device
from inspector.anomaly.network.registry import build_backbone
from inspector.anomaly.network.runtime import TorchRuntime
from inspector.anomaly.preprocess.steps import check_preprocess_steps
from schemas.refusal import refusals

DETECTOR_FILE = "detector.safetensors"
GOLDEN_FILE = "golden.safetensors"

DETECTORS: dict[DetectorName, type[Detector]] = {
    "patchcore": PatchCore,
    "padim": PaDiM,
    "student": Student,
    "fused": Fused,
}


def write_dl_model(
    path: Path | str,
    model: AnomalyModel,
    *,
    created_at: datetime | str | None = None,
    golden_images: Sequence[NDArray[np.uint8]] | None = None,
    overwrite: bool = False,
    records: Records | None = None,
    extra_files: Mapping[str, bytes] | None = None,
) -> Manifest:
    """Write a bundle as a whole.

    Args:
        path: The folder to create; missing parent folders are created.
        model: A fitted model on a `TorchRuntime`; its identity's name and version are written.
        created_at: Creation time, as text in ISO 8601; by default now.
        golden_images: At least one picture as the decoder returns it, with which the model is tested whenever it
            is loaded. By default the training pictures that the model keeps.
        overwrite: Replace an existing bundle; it is kept until the new one is complete.
        records: The manifest's `calibration`, `training` and `metrics`.
        extra_files: More files to add to the folder, such as a report; they are not part of the model and not verified.

    Raises:
        ParameterError: The model is not trained.
        BundleError: `path` exists and is neither an empty folder nor, with `overwrite`, a bundle; it cannot be written; there is
            no golden image; `created_at` is not a time; an extra file has the name of a file of the bundle; a manifest must
            not contain the model's name or another value; or meta_data and records are too large.
    """
    path, model = Path(path), trained_model(model)
    made = _time(created_at)
    if path.exists() and not is_empty_folder(path):
        if not overwrite:
            raise BundleError(f"{path} already exists; choose another name, or allow it to be overwritten")
        check_replaceable(path)
    taken = {MANIFEST_NAME, SIGNATURE_NAME, BACKBONE_FILE, DETECTOR_FILE, GOLDEN_FILE} & set(extra_files or {})
    if taken:
        raise BundleError(f"{', '.join(sorted(taken))} is part of the bundle; give the extra file another name")
    runtime = model.network.runtime
    if not isinstance(runtime, TorchRuntime):
        raise BundleError(
            "a bundle can only be written from a model that runs in torch, because its thresholds were set with torch"
        )
    golden, samples = golden_samples(model, golden_images)
    files = {
        BACKBONE_FILE: safetensors.save(_contiguous(runtime.backbone.state_dict())),
        DETECTOR_FILE: safetensors.save(_contiguous({**model.network.embedding.tensors(), **model.detector.tensors()})),
        GOLDEN_FILE: safetensors.save(golden),
    }
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    try:
        manifest = _manifest(model, runtime.backbone, made, samples, digests, records)
    except ValidationError as exc:
        raise BundleError(
            f"bundle {path} cannot be written, because its manifest would be refused when read: {refusals(exc)[0]}"
        ) from exc
    content = manifest_bytes(manifest)
    try:
        if len(files[BACKBONE_FILE]) > backbone_file.LARGEST_INSIDE_BYTES:
            write_shared_backbone(path, files.pop(BACKBONE_FILE), digests[BACKBONE_FILE])
        write_folder(path, {**files, **(extra_files or {}), MANIFEST_NAME: content})
    except OSError as exc:
        raise BundleError(f"bundle {path} cannot be written: {exc.strerror or exc}") from exc
    return manifest


def _manifest(
    model: AnomalyModel,
    backbone: Backbone,
    created_at: str,
    samples: tuple[GoldenSample, ...],
    digests: dict[str, str],
    records: Records | None,
) -> Manifest:
    return Manifest(
        name=model.name,
        version=model.version,
        created_at=created_at,
        preprocess_param=model.preprocess_param,
        geometry=model.geometry,
        backbone=BackboneEntry(name=backbone.name, levels=backbone.levels),
        detector=DetectorEntry(
            kind=model.detector.kind,
            grid_level=model.network.embedding.grid_level,
            feature_normalization=model.network.embedding.normalization,
            rule=model.rule,
            scale=model.scale,
            fitted_with=model.fitted_with,
        ),
        thresholds=model.thresholds,
        golden_samples=samples,
        meta_data=model.meta_data,
        files=digests,
        **(records._asdict() if records else {}),
    )


def check_replaceable(path: Path) -> None:
    """Refuse to replace what is no bundle: a file, or a folder of somebody else's files.

    Raises:
        BundleError: It is none.
    """
    if not (path / MANIFEST_NAME).is_file():
        raise BundleError(f"{path} is not a model bundle (it has no {MANIFEST_NAME}), so it is not overwritten")


@overload
def read_dl_model(
    source: Path, *, device: str = "cpu", digest: str | None = None, signers: Signers = ...
) -> AnomalyModel: ...
@overload
def read_dl_model(source: InitialModelName, *, device: str = "cpu") -> InitialModel: ...
@overload
def read_dl_model(
    source: str, *, device: str = "cpu", digest: str | None = None, signers: Signers = ...
) -> AnomalyModel | InitialModel: ...
def read_dl_model(
    source: Path | str, *, device: str = "cpu", digest: str | None = None, signers: Signers = NOBODY
) -> AnomalyModel | InitialModel:
    """Load a bundle, verify every file and score its golden samples; or create an initial model for training.

    Args:
        source: A bundle's folder; or the name of an initial model, as a string (`INITIAL_MODELS`), which a folder of
            that name does not hide: give that as a `Path`.
        device: `cpu`, `cuda` or `cuda:N`.
        digest: SHA-256 that a bundle's `bundle.json`, which contains the digests of all other files, must have; any
            other bundle is refused. Needed for a bundle of an older program, whose manifest does not contain its own
            digest.
        signers: Who must have signed a bundle; this is checked before anything else in it.

    Raises:
        BundleError: It is neither a folder nor the name of an initial model; a file is missing or was changed,
            the manifest has another version, was changed or does not have `digest`, the tensors do not fit it, the
            device does not exist, a user's preprocessing step is not installed in this version, there is no golden
            sample, or one does not score as recorded.
    """
    try:
        target = available_device(device)
    except ParameterError as exc:
        raise BundleError(str(exc)) from exc
    if isinstance(source, str) and source in INITIAL_MODELS:
        return create_initial_model(source, device=device)
    path = Path(source)
    if isinstance(source, str) and not path.exists():
        raise BundleError(
            f"{source!r} is neither a model bundle nor an initial model; give a bundle's folder, or one of "
            f"{', '.join(INITIAL_MODELS)}"
        )
    return _read_bundle(path, target, digest, signers)


def _read_bundle(path: Path, device: torch.device, pinned: str | None, signers: Signers) -> AnomalyModel:
    try:
        manifest, digest = read_manifest(path, digest=pinned, signers=signers)
    except BundleError as exc:
        left = set_aside(path)
        if left is not None and isinstance(exc.__cause__, FileNotFoundError):
            raise BundleError(
                f"bundle {path} is missing, but {left} exists: writing a new one was interrupted; rename it to "
                f"{resolved(path).name}"
            ) from exc
        raise
    if not manifest.golden_samples:
        raise BundleError(
            f"bundle {path} has no golden sample, so its scores cannot be checked; write it again with golden_images"
        )
    try:
        check_preprocess_steps(manifest.preprocess_param)
    except StepError as exc:
        raise BundleError(f"bundle {path}: {exc}") from exc
    files = {
        BACKBONE_FILE: read_backbone_file(path, manifest.files.get(BACKBONE_FILE, "")),
        **{name: read_bundle_file(path, name) for name in (DETECTOR_FILE, GOLDEN_FILE)},
    }
    for name, content in files.items():
        found = hashlib.sha256(content).hexdigest()
        if found != manifest.files.get(name):
            raise BundleError(
                f"{path / name} was changed: its SHA-256 is {found}, but the manifest says {manifest.files.get(name)}"
            )
    try:
        tensors = {name: safetensors.load(content) for name, content in files.items()}
        model = _assemble(manifest, digest, tensors, device)
    except WeightsError as exc:
        raise BundleError(f"bundle {path} has backbone {manifest.backbone.name}: {exc}") from exc
    except (SafetensorError, AnomalyError, ValueError, RuntimeError, KeyError) as exc:
        reason = " ".join(str(exc).split())  # torch's messages span lines
        raise BundleError(f"bundle {path} does not fit together: {reason}") from exc
    check_golden_samples(path, model, manifest.golden_samples, tensors[GOLDEN_FILE])
    return model


def _assemble(
    manifest: Manifest, digest: str, tensors: Mapping[str, dict[str, Tensor]], device: torch.device
) -> AnomalyModel:
    kind = manifest.detector.kind
    if kind not in DETECTORS:
        raise BundleError(f"this program cannot load detector {kind}, only {', '.join(DETECTORS)}")
    backbone = build_backbone(manifest.backbone.name, manifest.backbone.levels)
    backbone.load_state_dict(tensors[BACKBONE_FILE])
    broken = [name for name, weight in backbone.state_dict().items() if not bool(weight.isfinite().all())]
    if broken:  # a clipped activation would hide it
        raise BundleError(f"{BACKBONE_FILE} holds values that are not finite: {', '.join(broken)}")
    stored = tensors[DETECTOR_FILE]
    grid_level = manifest.detector.grid_level
    if grid_level >= len(manifest.backbone.levels):
        raise BundleError(f"grid level {grid_level} is not one of the levels {manifest.backbone.levels}")
    projection = checked(stored, "projection", 2).to(device)
    embedding = Embedding(
        grid_level,
        projection,
        keep_fine=DETECTORS[kind].keeps_fine,
        normalization=manifest.detector.feature_normalization,
        fine_projection=checked(stored, FINE_PROJECTION, 2).to(device) if FINE_PROJECTION in stored else None,
        has_detail=DETAIL_COUNTED in stored,
    )
    network = FeatureNetwork(manifest.preprocess_param, TorchRuntime(backbone, device), embedding)
    detector = DETECTORS[kind].from_tensors(stored, device)
    return AnomalyModel(
        identity=ModelIdentity(manifest.name, manifest.version, digest),
        network=network,
        detector=detector,
        scale=manifest.detector.scale,
        rule=manifest.detector.rule,
        geometry=manifest.geometry,
        thresholds=manifest.thresholds,
        fitted_with=manifest.detector.fitted_with,
        meta_data=manifest.meta_data,
    )


def _time(given: datetime | str | None) -> str:
    if given is None:
        given = datetime.now(UTC)
    if isinstance(given, datetime):
        return given.isoformat(timespec="seconds")
    try:
        datetime.fromisoformat(given)
    except (TypeError, ValueError) as exc:
        raise BundleError(
            f"created_at is {given!r}, which is not a time in ISO 8601 such as 2026-01-31T12:00:00+00:00"
        ) from exc
    return given


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
