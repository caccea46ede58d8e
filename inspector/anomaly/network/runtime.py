"""Where the backbone's forward pass runs. torch is the reference; another runtime would implement the same protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from inspector.anomaly.network.backbone import EfficientNetLite
from inspector.anomaly.network.base import Backbone
from inspector.anomaly.network.fused import FusedNetwork, has_fused_operations


class Runtime(Protocol):
    """Runs the frozen network on one device."""

    device: torch.device

    def features(self, batch: Tensor) -> list[Tensor]:
        """(B, 3, H, W) float32 -> one (B, C, H', W') float32 for each level of the backbone."""
        ...


class TorchRuntime:
    """The network in torch, float32, TF32 off, channels-last; EfficientNet-Lite on a CPU with fused operations where there are any.

    Safe for several threads at once on a CPU.

    Args:
        backbone: Takes ownership; it is moved to the device.
        device: `cpu`, `cuda` or `cuda:N`.
    """

    def __init__(self, backbone: Backbone, device: torch.device) -> None:
        self.device = device
        self.backbone = backbone.to(device)
        # The weights' layout is what selects the channels-last kernels; torch's types do not know this overload.
        self.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if device.type == "cuda":
            # Thresholds are calibrated in float32; TF32 keeps only ten bits of mantissa.
            torch.backends.cuda.matmul.allow_tf32 = False
            torch.backends.cudnn.allow_tf32 = False
        self._network: Callable[[Tensor], list[Tensor]] = self.backbone
        if device.type == "cpu" and isinstance(self.backbone, EfficientNetLite) and has_fused_operations():
            self._network = FusedNetwork(self.backbone)

    @torch.inference_mode()
    def features(self, batch: Tensor) -> list[Tensor]:
        """See `Runtime.features`."""
        return self._network(batch)
