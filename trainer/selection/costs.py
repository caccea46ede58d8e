"""The cost of a model for each picture, as a number that is the same on every machine, so that a choice can be repeated."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from inspector.anomaly.choices import BackboneName, DetectorName
from inspector.anomaly.model.param import OWN_PARAMETERS, DLModelParam
from inspector.anomaly.network.registry import traits_of

_PIXELS: Final = 256 * 256
_POSITIONS: Final = 16 * 16

_BACKBONE_MS: Final[Mapping[BackboneName, float]] = MappingProxyType(
    {"efficientnet_lite0": 13.0, "efficientnet_lite1": 19.3, "efficientnet_lite2": 21.2}
)
"""Decoded picture to features at 256 x 256 pixels: one core, batches of eight, tests/benchmarks/results/accuracy.md."""

_DETECTOR_MS: Final[Mapping[DetectorName, float]] = MappingProxyType(
    {"padim": 0.9, "patchcore": 0.9, "student": 1.3, "fused": 6.6}
)
"""What follows the backbone, for 16 x 16 positions, from the same table (mvtec_toothbrush); without a memory bank's patches."""

_MS_OF_1000_PATCHES: Final = 1.4
"""Of a memory bank, for 16 x 16 positions: 5.6 ms of patchcore's 6.5 for 4,000 there."""


def nominal_cost_ms(param: DLModelParam) -> float:
    """Milliseconds that a picture takes on one core of the machine that the project's table was measured on.

    Not to be read as the speed of any other machine; the ratio of two models holds there too, roughly.

    Raises:
        ValueError: Nothing is known of the backbone's speed.
    """
    backbone = _BACKBONE_MS.get(param.backbone)
    if backbone is None:
        raise ValueError(f"nothing is known of the speed of {param.backbone}")
    pixels = param.image_width * param.image_height
    stride = traits_of(param.backbone).strides[param.levels[param.grid_level]]
    per_position = _DETECTOR_MS[param.detector]
    if "coreset" in OWN_PARAMETERS[param.detector]:
        per_position += _MS_OF_1000_PATCHES * param.coreset / 1000
    return backbone * pixels / _PIXELS + per_position * (pixels / stride**2) / _POSITIONS
