"""Where the tiles of a picture lie: TileParam, and the grid that it gives for a picture of any size. Loads no numpy."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

from pydantic import Field, model_validator

from inspector.anomaly.parameters import Parameters

LEAST_TILE: Final = 32

MAX_MAP_PIXELS: Final = 1024**2
"""Of a map, whatever the picture, as of the largest input. One of 64 million pixels still has one for each position of a student."""


def _quarter(fields: dict[str, Any]) -> int:
    return int(min(fields.get("width", 0), fields.get("height", 0)) // 4)


class TileParam(Parameters):
    """The tiles that a picture is cut into, each of which is an input of the network.

    A defect that is no larger than the overlap lies entirely within one tile.

    Attributes:
        width: Of a tile, in pixels of the picture; the network's input may be smaller.
        height: The same.
        overlap: By how many pixels neighbours overlap at least; at most half a tile, a quarter of the shorter side unless
            given. A quarter means 1.8 times as many inputs as without overlap, a half 4 times.
    """

    width: int = Field(ge=LEAST_TILE)
    height: int = Field(ge=LEAST_TILE)
    overlap: int = Field(default_factory=_quarter, ge=0)

    @model_validator(mode="after")
    def _overlaps_by_half_at_most(self) -> TileParam:
        most = min(self.width, self.height) // 2
        if self.overlap > most:
            raise ValueError(f"overlap must be at most half a tile, here {most} pixels, got {self.overlap}")
        return self


class TileAxis(NamedTuple):
    """The tiles along one side of a picture, in steps: a whole number of them makes a tile, and each tile begins on one.

    A step is the network's `size_step`, so that the detector's positions of all tiles lie on one grid.

    Attributes:
        size: Of the picture along this side, pixels.
        tile: Length of a tile, pixels.
        steps: Of a tile.
        starts: The first step of each tile, rising.
    """

    size: int
    tile: int
    steps: int
    starts: tuple[int, ...]

    @property
    def total(self) -> int:
        """Steps that the tiles cover together: the whole picture, and up to a step, or a tile, beyond its end."""
        return self.starts[-1] + self.steps

    def pixel(self, start: int) -> int:
        """The first pixel of the tile that begins with this step."""
        return (2 * start * self.tile + self.steps) // (2 * self.steps)


class TileGrid(NamedTuple):
    """The tiles of one picture: all pairs of its rows and columns, row by row."""

    columns: TileAxis
    rows: TileAxis

    def __len__(self) -> int:
        return len(self.columns.starts) * len(self.rows.starts)


def tile_axis(size: int, *, tile: int, steps: int, overlap: int) -> TileAxis:
    """Lay as few tiles as cover a side with this overlap, evenly; see `TileAxis`."""
    total = max(steps, -(-size * steps // tile))
    # A tile of a single step cannot overlap at all.
    furthest = max(1, steps - -(-overlap * steps // tile))
    gaps = -(-(total - steps) // furthest)
    return TileAxis(size, tile, steps, tuple(i * (total - steps) // max(gaps, 1) for i in range(gaps + 1)))


def map_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) of the map of a picture of this size that is cut into tiles: its own, within `MAX_MAP_PIXELS`."""
    shrink = max(1.0, math.sqrt(width * height / MAX_MAP_PIXELS))
    return max(1, int(width / shrink)), max(1, int(height / shrink))


def tile_grid(width: int, height: int, tile: TileParam, steps: tuple[int, int]) -> TileGrid:
    """Return where the tiles of a picture lie.

    Args:
        width: Of the picture, or of what the model sees of it, pixels.
        height: The same.
        tile: What is asked for.
        steps: Of a tile, across and down: the network's input by its `size_step`.
    """
    across, down = steps
    return TileGrid(
        tile_axis(width, tile=tile.width, steps=across, overlap=tile.overlap),
        tile_axis(height, tile=tile.height, steps=down, overlap=tile.overlap),
    )
