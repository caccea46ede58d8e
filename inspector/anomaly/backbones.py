"""What is known about a backbone before its weights are loaded: its inputs and its levels. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from inspector.anomaly.choices import DetectorName, LiteName

SIZE_STEP: Final = 32
"""Width and height of most networks' inputs are multiples of this: their deepest stride."""

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


class LevelChoice(NamedTuple):
    """Levels of a backbone that a detector takes, rising, and the index of the one that gives the grid of positions."""

    levels: tuple[int, ...]
    grid_level: int


@dataclass(frozen=True, slots=True)
class BackboneTraits:
    """What decides how a backbone is used.

    Attributes:
        normalization: Of its inputs.
        strides: Of each of its levels, by number from 1; they never fall.
        size_step: Width and height of its inputs are multiples of this.
    """

    normalization: Normalization
    strides: Mapping[int, int]
    size_step: int


EFFICIENTNET_LITE: Final = Normalization(mean=(127.0, 127.0, 127.0), deviation=(128.0, 128.0, 128.0))
"""Of all EfficientNet-Lite networks: MEAN_RGB and STDDEV_RGB in `lite/efficientnet_lite_builder.py` of the TensorFlow TPU
repository, where they were trained."""

LITE_STRIDES: Final[Mapping[int, int]] = MappingProxyType({1: 2, 2: 4, 3: 8, 4: 16, 5: 16, 6: 32, 7: 32})
"""Of the seven stages of every EfficientNet-Lite."""

LITE_NORMALIZATIONS: Final[Mapping[LiteName, Normalization]] = MappingProxyType(
    {
        "efficientnet_lite0": EFFICIENTNET_LITE,
        "efficientnet_lite1": EFFICIENTNET_LITE,
        "efficientnet_lite2": EFFICIENTNET_LITE,
    }
)
"""How the inputs of each of them are normalised."""


def usual_level_choices(strides: Mapping[int, int]) -> Mapping[DetectorName, LevelChoice]:
    """Return which levels the detectors take of a network that nobody measured here.

    Where the strides grow, as in a convolutional network: the deepest level of each stride of 8, 16 and 32, on the grid of stride 16;
    for patchcore those of 8 and 16 on the grid of 8, as its authors chose. Where all are alike, as in a vision transformer: the
    middle one, the deepest, and the one between them. A student predicts finer levels than the grid's, so it has none there.
    """
    deepest = {stride: level for level, stride in strides.items()}
    if len(deepest) == 1:
        depth = max(strides)
        spread = tuple(sorted({-(-depth * share // 4) for share in (2, 3, 4)}))
        return dict.fromkeys(("padim", "patchcore", "fused"), LevelChoice(spread, 0))
    usual = tuple(deepest[stride] for stride in (8, 16, 32) if stride in deepest)
    levels = usual if len(usual) > 1 else tuple(deepest.values())
    whole = LevelChoice(levels, 1)
    return {"padim": whole, "student": whole, "patchcore": LevelChoice(levels[:2], 0), "fused": whole}
