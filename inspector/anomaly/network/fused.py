"""Networks on a CPU with oneDNN's fused operations: convolution, bias, activation and skip in one pass over memory.

These are the operations that torch's own compiler (inductor) emits for a CPU; called directly, they need no compiler where
the model runs. They save memory traffic, which limits the speed of these thin layers. The numbers are those of
`EfficientNetLite.forward`, bit for bit where that takes oneDNN's path too.

The kernel is also the same for every batch. torch's own convolution is not: for one small picture, or for fewer than 16 on one
thread, it multiplies matrices, otherwise it calls oneDNN, and the two add numbers in different orders.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from inspector.anomaly.network.backbone import EfficientNetLite, InvertedResidual

Activation = Literal["none", "relu6", "gelu"]

_ACTIVATIONS: Final[dict[Activation, tuple[Any, ...]]] = {
    "none": ("none", [], ""),
    "relu6": ("hardtanh", [0.0, 6.0], ""),
    "gelu": ("gelu", [], "none"),
}


def has_fused_operations() -> bool:
    """Whether this build of torch has them (those for x86 and for ARM under Linux do)."""
    is_there = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    return is_there and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


class FusedConv:
    """A convolution of odd kernel with its activation; TensorFlow's SAME padding at stride 2 is folded into the kernel.

    That padding is one larger right and below. Instead of a padded copy of the picture, the kernel gets a first row and
    column of zeros, and the padding is symmetric: the same products are summed.

    Args:
        conv: On a CPU, with a bias; padded so that only its stride makes the picture smaller. Its weights must not change any more.
        activation: What follows it.
    """

    def __init__(self, conv: nn.Conv2d, activation: Activation = "none") -> None:
        kernel, stride = conv.kernel_size[0], conv.stride[0]
        weight = conv.weight
        if stride > 1:
            # Inputs are even (multiples of 32 halved), so SAME pads (kernel - 2) // 2 before and the rest behind.
            missing = kernel // 2 - (kernel - 2) // 2
            weight = functional.pad(weight, (missing, 0, missing, 0))
        weight = weight.contiguous(memory_format=torch.channels_last)
        padding, dilation = [kernel // 2] * 2, [1, 1]
        self._convolution: tuple[Any, ...] = (weight, conv.bias, padding, [stride] * 2, dilation, conv.groups)
        self._activation = _ACTIVATIONS[activation]

    def __call__(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        convolved: Tensor = torch.ops.mkldnn._convolution_pointwise(x, *self._convolution, *self._activation)  # noqa: SLF001
        return convolved

    def plus(self, skip: Tensor, x: Tensor) -> Tensor:
        """Return the sum of `skip` and the convolution of `x`, without activation."""
        operation = torch.ops.mkldnn._convolution_pointwise.binary  # noqa: SLF001
        added: Tensor = operation(x, skip, *self._convolution, "add", 1.0, None, [], None)
        return added


class _Block:
    """An `InvertedResidual`."""

    def __init__(self, block: InvertedResidual) -> None:
        self._expand = None if block.expand is None else FusedConv(block.expand, "relu6")
        self._depthwise = FusedConv(block.depthwise, "relu6")
        self._project = FusedConv(block.project)
        self._has_skip = block.has_skip

    def __call__(self, x: Tensor) -> Tensor:
        hidden = self._depthwise(x if self._expand is None else self._expand(x))
        return self._project.plus(x, hidden) if self._has_skip else self._project(hidden)


class FusedNetwork:
    """Computes what the network that it is made of computes. Safe for several threads at once.

    Args:
        network: On a CPU; weights are shared with it but for those that are padded.
    """

    def __init__(self, network: EfficientNetLite) -> None:
        self._levels = network.levels
        self._stem = FusedConv(network.stem, "relu6")
        self._stages = [[_Block(block) for block in stage.children()] for stage in network.stages]  # type: ignore[arg-type]

    def __call__(self, x: Tensor) -> list[Tensor]:
        """See `EfficientNetLite.forward`; `x` channels-last, or it is copied."""
        features = []
        x = self._stem(x.contiguous(memory_format=torch.channels_last))
        for level, blocks in enumerate(self._stages, start=1):
            for block in blocks:
                x = block(x)
            if level in self._levels:
                features.append(x)
        return features
