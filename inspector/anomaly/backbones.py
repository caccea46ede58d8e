"""What is known of each backbone before its weights are loaded: how its inputs are normalised. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from inspector.anomaly.choices import BackboneName

_LARGEST_GRAY_VALUE: Final = 255.0


@dataclass(frozen=True, slots=True)
class Normalization:
    """How a backbone's inputs were normalised while it was trained: (x - mean) / deviation.

    Attributes:
        mean: Of each channel, RGB, in gray values from 0 to 255.
        deviation: The same; above 0.
    """

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]

    @property
    def image_range(self) -> tuple[float, float]:
        """The smallest and the largest input: what gray values of 0 and 255 become, over all channels."""
        pairs = list(zip(self.mean, self.deviation, strict=True))
        return (
            min((0.0 - mean) / deviation for mean, deviation in pairs),
            max((_LARGEST_GRAY_VALUE - mean) / deviation for mean, deviation in pairs),
        )


EFFICIENTNET_LITE: Final = Normalization(mean=(127.0, 127.0, 127.0), deviation=(128.0, 128.0, 128.0))
"""Of all EfficientNet-Lite networks: MEAN_RGB and STDDEV_RGB in `lite/efficientnet_lite_builder.py` of the TensorFlow TPU
repository, where they were trained."""

NORMALIZATIONS: Final[Mapping[BackboneName, Normalization]] = MappingProxyType(
    {
        "efficientnet_lite0": EFFICIENTNET_LITE,
        "efficientnet_lite1": EFFICIENTNET_LITE,
        "efficientnet_lite2": EFFICIENTNET_LITE,
    }
)
"""How the inputs of each backbone are normalised."""
