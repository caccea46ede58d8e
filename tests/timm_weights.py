"""Networks of timm with seeded random weights, for tests: nothing is fetched."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import torch as safetensors

from inspector.anomaly.errors import WeightsError
from inspector.anomaly.network.timm_backbone import create_network
from inspector.anomaly.network.timm_import import import_timm

RESNET, WIDE_RESNET, VIT = "timm:resnet18", "timm:wide_resnet50_2", "timm:vit_small_patch14_reg4_dinov2"


def require_timm() -> Any:
    """Return timm, or skip and say why."""
    try:
        return import_timm()
    except WeightsError as error:
        pytest.skip(f"networks of timm cannot be tried: {error}", allow_module_level=True)


def write_weights(path: Path, name: str, *, seed: int = 0) -> Path:
    """Write the weights of a whole network, drawn by a seed, under timm's own names."""
    path.write_bytes(_weights(name, seed))
    return path


@lru_cache(maxsize=1)  # tests of one network stand together; it may have 90 MB
def _weights(name: str, seed: int) -> bytes:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = create_network(name)
        for parameter in network.parameters():
            if parameter.ndim == 1:  # scales and biases, which start as 1 and 0: else nothing shows that they were read
                parameter.data += 0.05 * torch.randn_like(parameter)
    state = {key: value.contiguous() for key, value in network.state_dict().items()}
    return safetensors.save(state)
