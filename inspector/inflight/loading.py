"""What loads torch: models from their bundles, and how many threads it computes with. Device threads only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from inspector.inflight.route import Model


def set_torch_threads(threads: int) -> None:
    """Let one forward pass use so many threads; a setting of the calling thread."""
    import torch  # noqa: PLC0415 only where a model runs

    torch.set_num_threads(threads)


def read_bundle(path: Path, *, device: str, digests: Mapping[Path, str]) -> Model:
    """Load and verify the model of a bundle; `digests` names those that a bundle at a path must have."""
    from inspector.anomaly.model.bundle import read_dl_model  # noqa: PLC0415 loads torch

    return read_dl_model(path, device=device, digest=digests.get(path))
