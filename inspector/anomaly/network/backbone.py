"""The frozen feature network: EfficientNet-Lite 0, 1 or 2 without batch normalisation, cut after the deepest level used.

Architecture: Tan & Le, "EfficientNet" (ICML 2019), in the Lite variant of the TensorFlow TPU repository (no
squeeze-and-excitation, ReLU6; in the larger ones stem and head keep their width, first and last stage their depth).
Batch normalisation is folded into the convolutions when the published weights are converted (`weights.py`), so a layer
here is one convolution with a bias.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.nn import functional

from inspector.anomaly.backbones import LITE_STRIDES
from inspector.anomaly.choices import LiteName
from inspector.anomaly.network.base import Backbone, check_levels


@dataclass(frozen=True, slots=True)
class Stage:
    """One row of the published architecture table."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


_STEM_CHANNELS = 32
_STAGES = (
    Stage(1, 3, 1, 1, 16),  # level 1, stride 2
    Stage(2, 3, 2, 6, 24),  # level 2, stride 4
    Stage(2, 5, 2, 6, 40),  # level 3, stride 8
    Stage(3, 3, 2, 6, 80),  # level 4, stride 16
    Stage(3, 5, 1, 6, 112),  # level 5, stride 16
    Stage(4, 5, 2, 6, 192),  # level 6, stride 32
    Stage(1, 3, 1, 6, 320),  # level 7, stride 32
)

_SCALING: dict[LiteName, tuple[float, float]] = {
    "efficientnet_lite0": (1.0, 1.0),
    "efficientnet_lite1": (1.0, 1.1),
    "efficientnet_lite2": (1.1, 1.2),
}
"""Published factors of (width, depth): of the channels and of the repeats."""

_CHANNEL_STEP = 8

BATCH_NORM_EPSILON = 1e-3
"""Epsilon of the batch normalisation that the published weights were trained with."""


def scaled_stages(name: LiteName) -> tuple[Stage, ...]:
    """Return the seven stages of a network, scaled as published.

    Channels are rounded to the nearest multiple of 8 (up, where that would lose more than a tenth); repeats are
    rounded up, but for those of the first and the last stage, which stay.
    """
    width, depth = _SCALING[name]
    ends = (_STAGES[0], _STAGES[-1])
    return tuple(
        replace(
            stage,
            repeats=stage.repeats if stage in ends else math.ceil(depth * stage.repeats),
            channels=_round_channels(width * stage.channels),
        )
        for stage in _STAGES
    )


def _round_channels(channels: float) -> int:
    rounded = max(_CHANNEL_STEP, int(channels + _CHANNEL_STEP / 2) // _CHANNEL_STEP * _CHANNEL_STEP)
    return rounded if rounded >= 0.9 * channels else rounded + _CHANNEL_STEP


class SameConv(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding: the larger half of the padding goes right and below."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        symmetric = kernel // 2 if stride == 1 else 0
        super().__init__(in_channels, out_channels, kernel, stride, padding=symmetric, groups=groups, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of `x` (B, C, H, W); height and width are divided by the stride, rounded up."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride > 1:
            pads = [max((math.ceil(n / stride) - 1) * stride + kernel - n, 0) for n in (x.shape[-1], x.shape[-2])]
            x = functional.pad(x, [side for p in pads for side in (p // 2, p - p // 2)])
        convolved: Tensor = super().forward(x)
        return convolved


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; with a skip connection where the shape allows it."""

    def __init__(self, in_channels: int, stage: Stage, stride: int) -> None:
        super().__init__()
        hidden = in_channels * stage.expansion
        self.expand = SameConv(in_channels, hidden, 1) if stage.expansion > 1 else None
        self.depthwise = SameConv(hidden, hidden, stage.kernel, stride, groups=hidden)
        self.project = SameConv(hidden, stage.channels, 1)
        self.has_skip = stride == 1 and in_channels == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        y: Tensor = x if self.expand is None else functional.relu6(self.expand(x), inplace=True)
        y = self.project(functional.relu6(self.depthwise(y), inplace=True))
        return y + x if self.has_skip else y


class EfficientNetLite(Backbone):
    """See `Backbone`; its levels are its stages, 1 to 7.

    Args:
        name: Which network.
        levels: Levels to return, in rising order.
    """

    def __init__(self, name: LiteName, levels: Sequence[int]) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.level_strides: Mapping[int, int] = dict(LITE_STRIDES)  # a view could not be copied
        check_levels(self.levels, LITE_STRIDES)
        self.name = name
        scaled = scaled_stages(name)
        self.level_channels: Mapping[int, int] = {level: stage.channels for level, stage in enumerate(scaled, start=1)}
        self.stem = SameConv(3, _STEM_CHANNELS, 3, stride=2)
        stages: list[nn.Module] = []
        channels = _STEM_CHANNELS
        for stage in scaled[: max(levels)]:
            blocks: list[nn.Module] = []
            for index in range(stage.repeats):
                blocks.append(InvertedResidual(channels, stage, stage.stride if index == 0 else 1))
                channels = stage.channels
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.requires_grad_(requires_grad=False)
        self.eval()

    def forward(self, x: Tensor) -> list[Tensor]:
        """See `Backbone.forward`; H and W are multiples of 32."""
        features = []
        x = functional.relu6(self.stem(x), inplace=True)
        for level, stage in enumerate(self.stages, start=1):
            x = stage(x)
            if level in self.levels:
                features.append(x)
        return features
