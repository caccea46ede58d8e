"""Bundles to be written, spoilt and read: what the tests of a bundle share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import torch as safetensors

from inspector.anomaly.model.backbone_file import BACKBONE_FILE
from inspector.anomaly.model.bundle import (
    DETECTOR_FILE,
    GOLDEN_FILE,
    write_dl_model,
)
from inspector.anomaly.model.manifest import DIGEST_KEY, MANIFEST_NAME, document_digest
from inspector.anomaly.model.model import AnomalyModel
from inspector.anomaly.preprocess.samples import gen_dl_samples_from_images
from inspector.anomaly.types import DLSample
from tests.models import nok_picture, ok_picture

TENSOR_FILES = (BACKBONE_FILE, DETECTOR_FILE, GOLDEN_FILE)


def samples(*, height: int = 64, channels: Literal[1, 3] = 3) -> list[DLSample]:
    rng = np.random.default_rng(77)
    pictures = (ok_picture, nok_picture, ok_picture)
    return gen_dl_samples_from_images([picture(rng, height=height, channels=channels) for picture in pictures])


def write(path: Path, model: AnomalyModel, **options: Any) -> None:
    golden = [ok_picture(np.random.default_rng(1))]
    write_dl_model(path, model, created_at="2026-01-01", golden_images=golden, **options)


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what a manifest says, and its own digest with it: what is left is that it must make sense."""
    document = json.loads((folder / MANIFEST_NAME).read_bytes())
    change(document)
    (folder / MANIFEST_NAME).write_text(json.dumps({**document, DIGEST_KEY: document_digest(document)}))


def change_tensors(folder: Path, name: str, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change a tensors file and the manifest's digest with it: what is left is that the contents must fit."""
    tensors = safetensors.load((folder / name).read_bytes())
    change(tensors)
    content = safetensors.save(tensors)
    (folder / name).write_bytes(content)
    change_manifest(folder, lambda document: document["files"].update({name: hashlib.sha256(content).hexdigest()}))


def listing(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
