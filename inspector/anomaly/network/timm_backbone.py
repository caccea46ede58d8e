"""Networks of the library timm as backbones: convolutional ones by their stages, vision transformers by their blocks.

Nothing is downloaded here: a network is built with random weights, and then gets its own from a bundle or a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from inspector.anomaly.backbones import SIZE_STEP, BackboneTraits, Normalization
from inspector.anomaly.choices import TIMM_PREFIX, BackboneName
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.network.base import Backbone, check_levels
from inspector.anomaly.network.timm_import import import_timm

_GRAY_VALUES = 255.0


class TimmBackbone(Backbone):
    """See `Backbone`.

    A convolutional network's levels are its stages (`feature_info`). A vision transformer's are its blocks: the patch tokens of each,
    normalised as after the last one, as a grid; class and register tokens are dropped.

    Args:
        name: With its prefix.
        levels: Levels to return, in rising order.
        network: As `create_network` gives it; it is cut after the deepest level.
    """

    def __init__(self, name: BackboneName, levels: Sequence[int], network: Any) -> None:  # noqa: ANN401 - timm's own
        super().__init__()
        self.name = name
        self.levels = tuple(levels)
        self.level_strides = {level: info["reduction"] for level, info in _infos(network)}
        self.level_channels = {level: info["num_chs"] for level, info in _infos(network)}
        check_levels(self.levels, self.level_strides)
        self._is_transformer = _patch_size(network) is not None
        self._indices = [level - 1 for level in self.levels]
        network.prune_intermediate_layers(self._indices, prune_norm=not self._is_transformer, prune_head=True)
        self.network = network
        self.requires_grad_(requires_grad=False)
        self.eval()

    def forward(self, x: Tensor) -> list[Tensor]:
        """See `Backbone.forward`."""
        features = self.network.forward_intermediates(
            x,
            indices=self._indices,
            norm=self._is_transformer,
            stop_early=True,
            output_fmt="NCHW",
            intermediates_only=True,
        )
        return list(features)


def create_network(name: BackboneName, *, is_pretrained: bool = False) -> Any:  # noqa: ANN401 - timm's own
    """Return timm's network without its classifier, for pictures of any size.

    Args:
        name: With its prefix.
        is_pretrained: Fetch timm's weights, or take them from its cache. For trainers alone.

    Raises:
        WeightsError: timm is not installed.
        ParameterError: timm has no such network, or it does not give the features of its levels.
        Exception: Whatever fetching ends with.
    """
    timm = import_timm()
    own = name.removeprefix(TIMM_PREFIX)
    if not timm.is_model(own):
        raise ParameterError(f"timm {timm.__version__} has no network {own}; timm.list_models() lists the networks")
    try:  # a vision transformer is built for one size unless it is told so; others do not know the word
        network = timm.create_model(own, pretrained=is_pretrained, num_classes=0, dynamic_img_size=True)
    except TypeError:
        network = timm.create_model(own, pretrained=is_pretrained, num_classes=0)
    if not hasattr(network, "forward_intermediates") or not hasattr(network, "prune_intermediate_layers"):
        raise ParameterError(f"timm's network {own} does not provide the features of its levels; use another one")
    return network


@lru_cache(maxsize=16)
def timm_traits(name: BackboneName) -> BackboneTraits:
    """Return what is known of a network of timm without its weights.

    Raises:
        WeightsError: timm is not installed.
        ParameterError: As `create_network`, or its inputs have no three channels.
    """
    with torch.device("meta"):
        network = create_network(name)
    config = network.pretrained_cfg
    mean, deviation = ([_GRAY_VALUES * value for value in config[key]] for key in ("mean", "std"))
    if len(mean) != 3 or len(deviation) != 3:  # noqa: PLR2004 - red, green and blue
        raise ParameterError(
            f"{name} does not accept pictures with three channels, but means {mean}; use another network"
        )
    return BackboneTraits(
        normalization=Normalization((mean[0], mean[1], mean[2]), (deviation[0], deviation[1], deviation[2])),
        strides={level: info["reduction"] for level, info in _infos(network)},
        size_step=_patch_size(network) or SIZE_STEP,
    )


def _infos(network: Any) -> list[tuple[int, dict[str, Any]]]:  # noqa: ANN401 - timm's own
    """What timm says of each level, counted from 1."""
    described = network.feature_info
    return list(enumerate(described if isinstance(described, list) else described.info, start=1))


def _patch_size(network: Any) -> int | None:  # noqa: ANN401 - timm's own
    """Side of a vision transformer's patches; None of another network."""
    if not hasattr(network, "num_prefix_tokens"):
        return None
    sides: tuple[int, int] = network.patch_embed.patch_size
    return max(sides)
