"""Where the backbone's forward pass runs. torch is the reference; another runtime would stand behind the same protocol."""

from __future__ import annotations

import ctypes
import sys
from typing import Protocol

import torch
from torch import Tensor

from inspector.anomaly.backbone import EfficientNetLite

_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3
_MAX_MMAP_THRESHOLD_BYTES = 32 * 2**20
_KEEP_BYTES = 256 * 2**20


class Runtime(Protocol):
    """Runs the frozen network on one device."""

    device: torch.device

    def features(self, batch: Tensor) -> list[Tensor]:
        """(B, 3, H, W) float32 -> one (B, C, H', W') float32 for each level of the backbone."""
        ...


class TorchRuntime:
    """The network in torch, float32, TF32 off, channels-last.

    Args:
        backbone: Takes ownership; it is moved to the device.
        device: `cpu`, `cuda` or `cuda:N`.
    """

    def __init__(self, backbone: EfficientNetLite, device: torch.device) -> None:
        self.device = device
        self.backbone = backbone.to(device)
        # The weights' layout is what selects the channels-last kernels; torch's types do not know this overload.
        self.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if device.type == "cuda":
            # Thresholds are calibrated in float32; TF32 keeps only ten bits of mantissa.
            torch.backends.cuda.matmul.allow_tf32 = False
            torch.backends.cudnn.allow_tf32 = False

    @torch.inference_mode()
    def features(self, batch: Tensor) -> list[Tensor]:
        """See `Runtime.features`."""
        features: list[Tensor] = self.backbone(batch)
        return features


def tune_malloc() -> bool:
    """Let glibc keep freed memory instead of giving it back after every layer; call it before torch allocates.

    Without it each activation above 128 KiB is mapped anew and faulted in page by page: on two AVX-512 cores a batch of
    16 took 2.2 times as long (`make bench` shows it as `malloc_gain`). At most 256 MiB are kept at the top of the heap.

    Returns:
        Whether the settings took effect; False on a C library without mallopt (macOS, musl).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(
        mallopt(_M_MMAP_THRESHOLD, _MAX_MMAP_THRESHOLD_BYTES)
        and mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
        and mallopt(_M_TOP_PAD, _KEEP_BYTES // 4)
    )
