"""Which models `--quality auto` chooses from, and which settings cannot be given with it. Loads no torch."""

from __future__ import annotations

from typing import Final, NamedTuple

from inspector.anomaly.choices import BackboneName, DetectorName, FeatureNormalization


class CandidateChoice(NamedTuple):
    """A complete model but for the pictures' aspect.

    Attributes:
        detector: What is trained.
        backbone: The frozen network.
        feature_normalization: Of its features.
        short_side: Of the network's input, pixels.
    """

    detector: DetectorName
    backbone: BackboneName
    feature_normalization: FeatureNormalization
    short_side: int = 256


CANDIDATES: Final[tuple[CandidateChoice, ...]] = (
    CandidateChoice("fused", "efficientnet_lite0", "both"),
    CandidateChoice("fused", "efficientnet_lite0", "level"),
    CandidateChoice("fused", "efficientnet_lite0", "vector"),
    CandidateChoice("padim", "efficientnet_lite0", "level"),
)
"""The first one is the default: another replaces it only where it is surely better.

All are on one backbone at one size: of these synthetic defects tell the better one, of backbones and sizes they do not (docs/decisions/detectors.md).
"""

CHOSEN_BY_AUTO: Final = (
    "detector",
    "backbone",
    "weights",
    "feature_normalization",
    "width",
    "height",
    "tile",
    "tile_overlap",
    "preprocess_param",
)
"""Settings of a fit that say what `--quality auto` chooses."""
