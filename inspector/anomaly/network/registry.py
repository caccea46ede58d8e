"""Every backbone by its name: what is known about it, and the network without its weights."""

from __future__ import annotations

from inspector.anomaly.backbones import LITE_NORMALIZATIONS, LITE_STRIDES, SIZE_STEP, BackboneTraits
from inspector.anomaly.choices import LITE_NAMES, BackboneName
from inspector.anomaly.network.backbone import EfficientNetLite
from inspector.anomaly.network.base import Backbone
from inspector.anomaly.network.timm_backbone import TimmBackbone, create_network, timm_traits


def traits_of(name: BackboneName) -> BackboneTraits:
    """Return what is known of a backbone without its weights.

    Raises:
        WeightsError: It is a network of timm, which is not installed.
        ParameterError: timm has no such network.
    """
    if name in LITE_NAMES:
        return BackboneTraits(LITE_NORMALIZATIONS[name], LITE_STRIDES, SIZE_STEP)
    return timm_traits(name)


def build_backbone(name: BackboneName, levels: tuple[int, ...]) -> Backbone:
    """Return the network with random weights, to be given those of a bundle. Nothing is fetched.

    Raises:
        WeightsError: As `traits_of`.
        ParameterError: As `traits_of`.
        ValueError: It has no such levels.
    """
    if name in LITE_NAMES:
        return EfficientNetLite(name, levels)
    return TimmBackbone(name, levels, create_network(name))
