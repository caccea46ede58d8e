"""A runtime that computes each picture once: models on one backbone and input size differ only in what comes after it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch import Tensor

from inspector.anomaly.choices import BackboneName
from inspector.anomaly.network.base import Backbone
from inspector.anomaly.network.runtime import TorchRuntime
from inspector.anomaly.network.weights import load_backbone
from trainer.training import network as features

_LEVELS = (2, 3, 4, 5, 6)


class _Memory:
    """All levels of every picture that was seen, on the CPU."""

    def __init__(self) -> None:
        self._runtimes: dict[BackboneName, TorchRuntime] = {}
        self._seen: dict[tuple[BackboneName, bytes], dict[int, Tensor]] = {}

    @torch.inference_mode()
    def features(self, name: BackboneName, batch: Tensor) -> list[dict[int, Tensor]]:
        """(B, 3, H, W) float32 -> for each picture its levels, each (C, H', W') float32."""
        if name not in self._runtimes:
            self._runtimes[name] = TorchRuntime(load_backbone(name, _LEVELS), torch.device("cpu"))
        keys = [(name, hashlib.blake2b(image.contiguous().numpy().data, digest_size=16).digest()) for image in batch]
        new = [index for index, key in enumerate(keys) if key not in self._seen]
        if new:
            for index, *levels in zip(new, *self._runtimes[name].features(batch[new]), strict=True):
                self._seen[keys[index]] = dict(zip(_LEVELS, (level.clone() for level in levels), strict=True))
        return [self._seen[key] for key in keys]


class _RememberingRuntime(TorchRuntime):
    memory: _Memory

    def __init__(self, backbone: Backbone, device: torch.device) -> None:
        super().__init__(backbone, device)

    def features(self, batch: Tensor) -> list[Tensor]:
        """See `Runtime.features`."""
        found = self.memory.features(self.backbone.name, batch)
        return [torch.stack([levels[level] for levels in found]) for level in self.backbone.levels]


@contextmanager
def remembered_features() -> Iterator[None]:
    """Let all models that are trained meanwhile share one pass of the backbone; their figures stay what they were."""

    class Runtime(_RememberingRuntime):
        memory = _Memory()

    with patch.object(features, "TorchRuntime", Runtime):
        yield
