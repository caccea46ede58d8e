"""The protocol of a detector, and the embedding of backbone features that all of them see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from inspector.anomaly.errors import ParameterError

DetectorName = Literal["patchcore", "padim", "student"]


class Detector(Protocol):
    """Fitted on the embeddings of ok images; gives a raw distance for every position. Device threads only."""

    kind: ClassVar[DetectorName]
    keeps_fine: ClassVar[bool]
    """Whether it needs the levels finer than the grid unprojected; see `Embedding`."""

    def distances(self, embedded: Tensor) -> Tensor:
        """(B, h, w, D) float32 -> (B, h, w) float32 or finer, at least 0; larger is less like the ok images."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """What a bundle stores, on the CPU; `from_tensors` of the same class takes it back."""
        ...

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], device: torch.device) -> Detector:
        """Build from what a bundle stores; raises ParameterError where a tensor is missing or not what it should be."""
        ...


_FINER = 2
"""Levels are kept at this many times the grid's resolution."""


class Embedding:
    """Brings the chosen levels to one grid and projects them: position by position, never across a batch.

    Every level is resampled bilinearly to the grid of its coarsest stride but one (`grid_level`), then multiplied by
    one matrix that holds both the levels' scales (so that each level weighs alike) and an orthonormal projection.

    With `keep_fine` the levels finer than the grid are there a second time, without loss: brought to twice the grid's
    resolution, each fold of pixels becoming channels, and folded into the grid behind the projection. Levels of more than
    that resolution are not projected then.

    Args:
        grid_level: Which of the levels (an index into the features) gives the grid.
        projection: (C, D) float32, C the sum of the channels of the levels that are projected.
        keep_fine: Whether finer levels are kept as they are.
    """

    def __init__(self, grid_level: int, projection: Tensor, *, keep_fine: bool = False) -> None:
        if projection.ndim != 2:  # noqa: PLR2004 - a matrix
            raise ParameterError(f"the projection is a (C, D) matrix, got {tuple(projection.shape)}")
        self.grid_level = grid_level
        self.projection = projection
        self.keep_fine = keep_fine

    def moved(self, device: torch.device) -> Embedding:
        """Return the same on another device."""
        return Embedding(self.grid_level, self.projection.to(device), keep_fine=self.keep_fine)

    def __call__(self, features: Sequence[Tensor]) -> Tensor:
        """Each (B, C', H', W') float32 -> (B, h, w, D) float32; with `keep_fine` (B, h, w, D + fine)."""
        stacked = self.stacked(features)
        if stacked.shape[-1] != self.projection.shape[0]:
            raise ParameterError(
                f"{stacked.shape[-1]} channels do not fit the projection of {self.projection.shape[0]}"
            )
        projected = stacked @ self.projection
        if not self.keep_fine or not self.grid_level:
            return projected
        return torch.cat((projected, fold_levels(features, self.grid_level)), dim=-1)

    def stacked(self, features: Sequence[Tensor]) -> Tensor:
        """What is projected: (B, h, w, C) float32."""
        if not self.keep_fine:
            return stack_levels(features, self.grid_level)
        grid = features[self.grid_level].shape[-1]
        first = next(index for index, level in enumerate(features) if level.shape[-1] <= _FINER * grid)
        return stack_levels(features[first:], self.grid_level - first)


def projected_levels(strides: Sequence[int], grid_level: int, *, keep_fine: bool) -> slice:
    """Which of the levels of these strides, finest first, an `Embedding` projects."""
    if not keep_fine:
        return slice(None)
    return slice(next(i for i, stride in enumerate(strides) if _FINER * stride >= strides[grid_level]), None)


def fold_levels(features: Sequence[Tensor], grid_level: int) -> Tensor:
    """Fold the levels finer than the grid into it without loss: (B, h, w, 4 x their channels at twice its resolution).

    Raises:
        ParameterError: A level's size is not the grid's times an even number.
    """
    grid = features[grid_level].shape[-2:]
    doubled = []
    for level in features[:grid_level]:
        ratio = level.shape[-1] // grid[1]
        if ratio % 2 or (level.shape[-2], level.shape[-1]) != (ratio * grid[0], ratio * grid[1]):
            raise ParameterError(f"a level of {tuple(level.shape[-2:])} does not fold into a grid of {tuple(grid)}")
        doubled.append(functional.pixel_unshuffle(level, ratio // 2))
    return functional.pixel_unshuffle(torch.cat(doubled, dim=1), 2).permute(0, 2, 3, 1)


def stack_levels(features: Sequence[Tensor], grid_level: int) -> Tensor:
    """Resample each (B, C', H', W') to the grid of `features[grid_level]` and stack: (B, h, w, C) float32."""
    grid = features[grid_level].shape[-2:]
    resampled = [
        level
        if level.shape[-2:] == grid
        else functional.interpolate(
            level, size=grid, mode="bilinear", align_corners=False, antialias=level.shape[-1] > grid[1]
        )
        for level in features
    ]
    return torch.cat(resampled, dim=1).permute(0, 2, 3, 1)


def checked(tensors: Mapping[str, Tensor], name: str, ndim: int) -> Tensor:
    """Return a stored tensor after checking what every detector asks of one.

    Raises:
        ParameterError: It is missing, not float32, of another rank, or not finite.
    """
    tensor = tensors.get(name)
    if tensor is None:
        raise ParameterError(f"the detector's tensor {name!r} is missing")
    if tensor.dtype != torch.float32 or tensor.ndim != ndim or not bool(torch.isfinite(tensor).all()):
        raise ParameterError(
            f"the detector's tensor {name!r} must be finite float32 of {ndim} dimensions, "
            f"is {tensor.dtype} {tuple(tensor.shape)}"
        )
    return tensor
