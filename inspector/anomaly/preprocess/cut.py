"""Cuts a picture into tiles, after the user's own steps and the domain's box; from then on each tile is a picture of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.errors import GeometryError, ParameterError
from inspector.anomaly.preprocess.images import check_image
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.preprocess.steps import run_preprocess_steps
from inspector.anomaly.preprocess.tiling import TileAxis, TileGrid, tile_grid
from inspector.anomaly.types import DLSample

Picture = NDArray[np.uint8]


class CutPicture(NamedTuple):
    """What the model sees of a picture, and where its tiles lie in it."""

    seen: Picture
    grid: TileGrid

    def tiles(self) -> Iterator[Picture]:
        """Yield the tiles, row by row: views of the picture, those that reach beyond its end mirrored copies."""
        columns, rows = self.grid
        for top in map(rows.pixel, rows.starts):
            for left in map(columns.pixel, columns.starts):
                part = self.seen[top : top + rows.tile, left : left + columns.tile]
                beyond = [(0, rows.tile - part.shape[0]), (0, columns.tile - part.shape[1])]
                missing = [*beyond, *[(0, 0)] * (part.ndim - len(beyond))]
                yield np.pad(part, missing, mode="symmetric") if np.any(beyond) else part


def cut_image(image: Picture, preprocess_param: DLPreprocessParam) -> CutPicture:
    """Run the own steps on a picture, take what the model sees of it, and lay its tiles. Thread safe.

    Args:
        image: (H, W) gray or (H, W, 3) RGB uint8, in the size as taken.
        preprocess_param: With tiles.

    Raises:
        ParameterError: It is not a picture, or the parameters have no tiles.
        StepError: As `run_preprocess_steps`.
        GeometryError: The picture has not the aspect that the domain was drawn on.
    """
    picture = check_image(image)
    if preprocess_param.preprocess_steps:
        picture = run_preprocess_steps(picture, preprocess_param.preprocess_steps)
    height, width = picture.shape[:2]
    view = preprocess_param.view
    if view is not None:
        view.domain.check_size(width, height)
        x, y, across, down = view.box(width, height)
        picture = picture[y : y + down, x : x + across]
    return CutPicture(picture, grid_of(preprocess_param, width, height))


def grid_of(preprocess_param: DLPreprocessParam, width: int, height: int) -> TileGrid:
    """Return where the tiles of a picture of this size lie, in what the model sees of it.

    Raises:
        ParameterError: There are no tiles.
    """
    param, view = preprocess_param, preprocess_param.view
    if param.tile is None:
        raise ParameterError("these preprocessing parameters have no tiles; set `tile`")
    seen = (width, height) if view is None else view.box(width, height)[2:]
    return tile_grid(*seen, param.tile, (param.image_width // param.size_step, param.image_height // param.size_step))


def check_whole(sample: DLSample, name: str) -> None:
    """Refuse a picture that was reduced: tiles would show it at another scale than that of the training.

    Raises:
        GeometryError: It was; names it.
    """
    height, width = sample.image.shape[:2]
    if sample.image.size and (width, height) != (sample.original_width, sample.original_height):
        raise GeometryError(
            f"{name} was reduced to {width}x{height} pixels from {sample.original_width}x{sample.original_height}; "
            "tiles must be cut from whole pictures: decode it with the decode_target of the model's preprocess_param"
        )


def centre_of_tiles(image: Picture, columns: TileAxis, rows: TileAxis) -> Picture:
    """The middle of a picture, two tiles wide where there are two: as small a picture as shows all that becomes of tiles."""
    height, width = image.shape[:2]
    across = columns.pixel(columns.starts[min(1, len(columns.starts) - 1)]) + columns.tile
    left, top = max(0, (width - across) // 2), max(0, (height - rows.tile) // 2)
    return image[top : top + rows.tile, left : left + across].copy()
