"""The interface of every backbone: a frozen network that gives the features of chosen levels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from inspector.anomaly.choices import BackboneName


class Backbone(nn.Module, ABC):
    """Returns the outputs of the chosen levels; what lies beyond the deepest of them is not there.

    Attributes:
        name: Which network.
        levels: Those that it returns, in rising order, counted from 1.
        level_strides: Pixels of the input for each position of a level, of every level.
        level_channels: Channels of each level, of every level.
    """

    name: BackboneName
    levels: tuple[int, ...]
    level_strides: Mapping[int, int]
    level_channels: Mapping[int, int]

    @abstractmethod
    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features of each chosen level.

        Args:
            x: (B, 3, H, W) float32, normalised RGB; H and W multiples of the network's `size_step`.

        Returns:
            One tensor a level, (B, level_channels, H / level_strides, W / level_strides) float32.
        """


def check_levels(levels: tuple[int, ...], strides: Mapping[int, int]) -> None:
    """Refuse anything that is not a list of levels of the network.

    Raises:
        ValueError: There is none, they do not rise, or the network has no such level.
    """
    if not levels or list(levels) != sorted(set(levels)) or not set(levels) <= set(strides):
        raise ValueError(f"levels must be increasing numbers from 1 to {max(strides)}, got {list(levels)}")
