"""The levels that are finer than a grid, folded into it: unchanged, or projected at the resolution of the finest of them.

A detector on a grid of stride 16 tells how unlike a position is, but hardly where in its 16 x 16 pixels. Levels of stride 4 and 8 tell
that, and a few of their dimensions are enough.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from inspector.anomaly.errors import ParameterError

FINER = 2
"""Levels are kept, and predicted by the student, at this many times the grid's resolution."""

FINE_DIMS = 16
"""Dimensions of a fine position after the projection. 24 and 32 measure alike (AUPRO 0.896 with 16, 0.895 with 24; four sets)."""


def finer_levels(strides: Sequence[int], grid_level: int) -> slice:
    """Which of the levels of these strides, finest first, are finer than the grid's."""
    return slice(0, next(i for i, stride in enumerate(strides) if stride >= strides[grid_level]))


def fine_ratio(levels: Sequence[Tensor], grid: Sequence[int]) -> int:
    """How many times the grid's resolution the first and finest of the levels has.

    Raises:
        ParameterError: A level is no whole number of times as fine as the grid, or the finest no whole number of times as fine as it.
    """
    finest = levels[0].shape[-1] // grid[1]
    for level in levels:
        ratio = level.shape[-1] // grid[1]
        if not ratio or finest % ratio or level.shape[-2:] != (ratio * grid[0], ratio * grid[1]):
            raise ParameterError(f"a level of {tuple(level.shape[-2:])} does not fold into a grid of {tuple(grid)}")
    return finest


def fold_fine(levels: Sequence[Tensor], projection: Tensor, out: Tensor) -> None:
    """Write the sum over the levels of features times their rows of the projection into `out`.

    A coarser one of them counts the same for all pixels of the finest that it covers.

    Args:
        levels: Each (B, C', r' h, r' w) float32, finest first.
        projection: (C, F) float32, C the sum of their channels.
        out: (B, h, w, r r F), r that of the finest: row and column in the grid's position, then F values.
    """
    batch, height, width, _ = out.shape
    finest = fine_ratio(levels, (height, width))
    rows = torch.split(projection, [level.shape[1] for level in levels])
    for index, (level, own) in enumerate(zip(levels, rows, strict=True)):
        ratio = level.shape[-1] // width
        product = (level.permute(0, 2, 3, 1) @ own).view(batch, height, ratio, width, ratio, 1, 1, -1)
        covered = finest // ratio
        # (B, h, w, r', r / r', r', r / r', F): what of the finest each pixel of this level covers.
        target = torch.unflatten(out, -1, (ratio, covered, ratio, covered, -1))
        part = product.permute(0, 1, 3, 2, 5, 4, 6, 7)
        if index:
            target.add_(part)
        else:
            target.copy_(part)


def unfold_fine(folded: Tensor, ratio: int) -> Tensor:
    """(B, h, w, r r F) -> (B, r h, r w, F)."""
    parts = torch.unflatten(folded, -1, (ratio, ratio, -1))
    return parts.permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2)


def fold_kept(levels: Sequence[Tensor], out: Tensor) -> None:
    """Write levels finer than a grid (B, C', r h, r w) into `out`, (B, h, w, 4 T): row and column of 2, then T values.

    Those T are, level by level, row and column of r / 2, then C'.
    """
    batch, height, width, _ = out.shape
    positions = torch.unflatten(out, -1, (FINER, FINER, -1))
    start = 0
    for level in levels:
        channels, inner = level.shape[1], level.shape[-1] // width // FINER
        target = torch.unflatten(positions[..., start : start + inner**2 * channels], -1, (inner, inner, channels))
        pixels = level.permute(0, 2, 3, 1).reshape(batch, height, FINER, inner, width, FINER, inner, channels)
        target.copy_(pixels.permute(0, 1, 4, 2, 5, 3, 6, 7))
        start += inner**2 * channels


def kept_ratio(level: Tensor, grid: Sequence[int]) -> int:
    """How many times the grid's resolution a kept level has.

    Raises:
        ParameterError: Not an even number.
    """
    ratio = level.shape[-1] // grid[1]
    if not ratio or ratio % FINER or level.shape[-2:] != (ratio * grid[0], ratio * grid[1]):
        raise ParameterError(f"a level of {tuple(level.shape[-2:])} does not fold into a grid of {tuple(grid)}")
    return ratio
