"""Features to measure distances between, and what the distances are in plain numpy."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def normal(*shape: int, seed: int = 0, offset: float = 0.0, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale + offset


def as_float64(tensor: Tensor) -> NDArray[np.float64]:
    return tensor.numpy().astype(np.float64)


def nearest_distances(patches: Tensor, bank: Tensor) -> NDArray[np.float64]:
    """Brute force, in float64."""
    differences = as_float64(patches)[:, None] - as_float64(bank)[None]
    return np.asarray(np.sqrt((differences**2).sum(-1)).min(1), dtype=np.float64)
