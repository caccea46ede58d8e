"""dev_display_dl_data_tiled: many samples at a glance, in a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from inspector.anomaly.types import DLResult, DLSample
from inspector.anomaly.verdict.draw import NOK_COLOUR, OK_COLOUR
from trainer.display.lettering import INK, PAPER, SOFT, draw_text, font, shorten
from trainer.display.sample import WINDOW, DisplayKey, DisplayParam, dev_display_dl_data, is_correct
from trainer.errors import SettingsError

_WIDEST = 1.6
"""Width over height that a grid of unknown number of columns aims at."""


class TiledParam(DisplayParam):
    """How a grid is drawn; legends are left out, a caption below each tile says name and score.

    Attributes:
        columns: Tiles in a row; None suits their number.
        tile_side: Longest side of a tile, pixels.
        gap: Between tiles, pixels.
    """

    columns: int | None = Field(default=None, ge=1, le=100)
    tile_side: int = Field(default=240, ge=32, le=2000)
    gap: int = Field(default=12, ge=0, le=200)
    font_size: int = Field(default=12, ge=6, le=72)


@dataclass(frozen=True, slots=True)
class ShownSample:
    """A sample with what is known of it; fields as `dev_display_dl_data` takes them."""

    sample: DLSample
    result: DLResult | None = None
    ground_truth: NDArray[np.bool_] | None = None


def dev_display_dl_data_tiled(
    samples: Sequence[ShownSample], key: DisplayKey = "anomaly_both", *, param: TiledParam | None = None
) -> NDArray[np.uint8]:
    """Draw the samples in rows, in their order.

    Returns:
        (H, W, 3) RGB uint8.

    Raises:
        SettingsError: There is no sample, or one lacks what `key` shows.
    """
    param = TiledParam() if param is None else param
    if not samples:
        raise SettingsError("there is no sample to show; give one or more")
    plain = param.model_copy(
        update={"display_legend": False, "display_bottom_desc": False, "scale_windows": param.tile_side / WINDOW}
    )
    tiles = []
    for shown in samples:
        drawn = dev_display_dl_data(shown.sample, shown.result, shown.ground_truth, keys=[key], param=plain)
        tiles.append(drawn[key])
    width, height = max(t.shape[1] for t in tiles), max(t.shape[0] for t in tiles)
    caption = round(3.2 * param.font_size)
    columns = param.columns or _columns(len(tiles), width, height + caption)
    rows = math.ceil(len(tiles) / columns)
    gap = param.gap
    shape = (gap + rows * (height + caption + gap), gap + min(columns, len(tiles)) * (width + gap), 3)
    grid = np.full(shape, PAPER, np.uint8)
    for index, (tile, shown) in enumerate(zip(tiles, samples, strict=True)):
        top = gap + index // columns * (height + caption + gap)
        left = gap + index % columns * (width + gap)
        # On the base line, in the middle: rows stay even where sizes differ.
        y, x = top + height - tile.shape[0], left + (width - tile.shape[1]) // 2
        grid[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
        _write_caption(grid[top + height : top + height + caption, left : left + width], shown, plain)
    return grid


def _columns(count: int, width: int, height: int) -> int:
    return max(1, min(count, round(math.sqrt(count * height / width * _WIDEST))))


def _write_caption(strip: NDArray[np.uint8], shown: ShownSample, param: DisplayParam) -> None:
    size = param.font_size
    name = shown.sample.image_file_name or ("" if shown.sample.image_id is None else f"image {shown.sample.image_id}")
    draw_text(strip, shorten(name, strip.shape[1], size=size), (0, round(1.3 * size)), size=size, colour=SOFT)
    base = round(2.7 * size)
    if shown.sample.image_label is not None:
        draw_text(strip, shown.sample.image_label, (0, base), size=size)
    if shown.result is not None:
        score = f"{shown.result.anomaly_score:.4f}"
        correct = is_correct(shown.sample, shown.result)
        colour = INK if correct is None else OK_COLOUR if correct else NOK_COLOUR
        at = max(0, strip.shape[1] - round(font(size, bold=True).getlength(score)))
        draw_text(strip, score, (at, base), size=size, colour=colour, bold=True)
