"""Runs the tiles of a picture through network and detector in shared batches, and joins their distances to one field.

A tile contains nothing beyond its borders, so its distances are least reliable near them. Where tiles overlap, a tile counts
less the nearer its border is; so the joined field has no seams.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.anomaly.detectors.base import Detector
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.model.feature_network import FeatureNetwork
from inspector.anomaly.preprocess.cut import cut_image
from inspector.anomaly.preprocess.tiling import TileAxis, TileGrid, map_size
from inspector.anomaly.verdict.score import ScoreRule

Tile = TypeVar("Tile")

TILES_AT_ONCE: Final = 8
"""Tiles that a batch holds at most, of however many pictures: so memory does not grow with them."""


class TiledDistances(NamedTuple):
    """What a detector says of the tiles of one picture: (T, h, w) float32, row by row, on the device."""

    grid: TileGrid
    distances: Tensor


def tiled_distances(
    network: FeatureNetwork, detector: Detector, images: Sequence[NDArray[np.uint8]]
) -> list[TiledDistances]:
    """Score the tiles of pictures, `TILES_AT_ONCE` at a time; a batch may hold tiles of several pictures.

    Raises:
        ParameterError: As `cut_image`.
        StepError: As `cut_image`.
        GeometryError: As `cut_image`.
    """
    grids: list[TileGrid] = []

    def tiles() -> Iterator[NDArray[np.uint8]]:
        for image in images:
            picture = cut_image(image, network.preprocess_param)
            grids.append(picture.grid)
            yield from picture.tiles()

    found = [detector.distances(network.embed(batch)) for batch in batches_of_tiles(tiles())]
    if not found:
        return []
    parts = torch.split(torch.cat(found), [len(grid) for grid in grids])
    return [TiledDistances(*pair) for pair in zip(grids, parts, strict=True)]


def batches_of_tiles(tiles: Iterable[Tile]) -> Iterator[list[Tile]]:
    """Yield them `TILES_AT_ONCE` at a time; the last batch may be smaller."""
    remaining = iter(tiles)
    while batch := list(itertools.islice(remaining, TILES_AT_ONCE)):
        yield batch


def joined(tiled: TiledDistances) -> Tensor:
    """(T, h, w) -> (H, W): the mean of what the tiles say of each position, weighted by how far it is from their borders.

    Raises:
        ParameterError: The detector's positions do not go into the steps of the grid.
    """
    down, across = _layouts(tiled)
    distances = tiled.distances
    weight = down.weight[:, None] * across.weight
    total = distances.new_zeros((len(down.sum), len(across.sum)))
    for tile, window in zip(distances, _windows(down, across), strict=True):
        total[window].addcmul_(tile, weight)
    return total.div_(down.sum[:, None] * across.sum)


def highest_score(tiled: TiledDistances, rule: ScoreRule) -> Tensor:
    """() float64: the score of the tile that has the highest.

    So a defect counts for as much as in a picture of a tile's size: the highest hundredth of all positions of a large picture
    are far more than a small defect has. And it counts as the tile sees it that sees it best, where the field has a mean of tiles.
    """
    return rule.apply(tiled.distances).amax()


def mapped(field: Tensor, tiled: TiledDistances) -> Tensor:
    """(H, W) -> `map_size`: the part of the field that is the picture, bilinear, pixels aligned by their centres."""
    columns, rows = tiled.grid
    width, height = map_size(columns.size, rows.size)
    down = _between(rows, field.shape[0], height, field.device)
    across = _between(columns, field.shape[1], width, field.device)
    tall = torch.lerp(field[down.low], field[down.high], down.share[:, None])
    return torch.lerp(tall[:, across.low], tall[:, across.high], across.share)


class _Layout(NamedTuple):
    """The tiles' positions along one side.

    Attributes:
        first: The first position of each tile in the field.
        weight: (n,) of a tile's positions: 1, falling towards its borders over as far as neighbours overlap.
        sum: Of the weights of all tiles, for each position of the field.
    """

    first: tuple[int, ...]
    weight: Tensor
    sum: Tensor


def _layouts(tiled: TiledDistances) -> tuple[_Layout, _Layout]:
    _, height, width = tiled.distances.shape
    device = tiled.distances.device
    return _layout(tiled.grid.rows, height, device), _layout(tiled.grid.columns, width, device)


@functools.lru_cache(maxsize=64)
def _layout(axis: TileAxis, positions: int, device: torch.device) -> _Layout:
    if positions % axis.steps:
        raise ParameterError(
            f"{positions} positions along a tile are not a multiple of its {axis.steps} steps, so the tiles have no "
            "common grid; use another backbone, or no tiles"
        )
    cells = positions // axis.steps
    furthest = max((after - before for before, after in itertools.pairwise(axis.starts)), default=axis.steps)
    ramp = max(1, (axis.steps - furthest) * cells)
    from_border = np.minimum(np.arange(positions), np.arange(positions)[::-1]) + 0.5
    weight = np.minimum(from_border / ramp, 1.0)
    total = np.zeros(axis.total * cells)
    first = tuple(start * cells for start in axis.starts)
    for start in first:
        total[start : start + positions] += weight
    return _Layout(first, *(torch.from_numpy(values.astype(np.float32)).to(device) for values in (weight, total)))


def _windows(down: _Layout, across: _Layout) -> Iterator[tuple[slice, slice]]:
    """Where each tile lies in the field, row by row."""
    for top in down.first:
        for left in across.first:
            yield slice(top, top + len(down.weight)), slice(left, left + len(across.weight))


class _Between(NamedTuple):
    """For each pixel of a map along one side: the field's positions on either side of it, and the second's share."""

    low: Tensor
    high: Tensor
    share: Tensor


@functools.lru_cache(maxsize=64)
def _between(axis: TileAxis, positions: int, size: int, device: torch.device) -> _Between:
    covered = axis.size * axis.steps / (axis.tile * axis.total)  # of the field, by the picture
    place = ((np.arange(size) + 0.5) * (positions * covered / size) - 0.5).clip(0, positions - 1)
    low = np.floor(place).astype(np.int64)
    high, share = np.minimum(low + 1, positions - 1), (place - low).astype(np.float32)
    return _Between(*(torch.from_numpy(values).to(device) for values in (low, high, share)))
