"""Which model each quality stands for, as `make bench-accuracy` chose it; the choice was checked on sets left out of it.

The table with its figures is tests/benchmarks/results/accuracy.md; `tests/unit/trainer/settings/test_quality.py` compares. Loads no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from inspector.anomaly.choices import BackboneName, DetectorName

Quality = Literal["fast", "balanced", "best"]
"""The fixed choices."""

QualityChoice = Literal["fast", "balanced", "best", "auto"]
"""What may be asked for: a fixed choice, or one for the images at hand (`trainer.selection`)."""


class ModelChoice(NamedTuple):
    """A detector and a backbone, with the defaults of both."""

    detector: DetectorName
    backbone: BackboneName


QUALITIES: Final[Mapping[Quality, ModelChoice]] = MappingProxyType(
    {
        "fast": ModelChoice("padim", "efficientnet_lite0"),
        "balanced": ModelChoice("fused", "efficientnet_lite0"),
        "best": ModelChoice("fused", "efficientnet_lite2"),
    }
)

DEFAULT_QUALITY: Final[QualityChoice] = "balanced"
WITHOUT_CHOICE: Final[Quality] = "balanced"
"""What stands for `auto` where it is the default and another option says what it would choose."""
