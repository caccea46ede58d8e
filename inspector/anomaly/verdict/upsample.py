"""Enlarges a map to the size of the picture, bilinearly; a part of it gets the same values as in the whole."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.domain.domain import DomainView, PixelBox
from inspector.anomaly.domain.mask import pixels_inside

_BLOCK_ROWS: Final = 32


class Axis(NamedTuple):
    """For each pixel of the picture along one side: the map's pixels on either side of it, and the second's weight."""

    low: NDArray[np.intp]
    high: NDArray[np.intp]
    weight: NDArray[np.float32]

    def reach(self, candidates: NDArray[np.bool_]) -> slice:
        """Return the pixels of the picture that any of the `candidates`, pixels of the map, has a part in."""
        found = np.flatnonzero(candidates)
        start = np.searchsorted(self.low, found[0] - 1, side="left")
        return slice(int(start), int(np.searchsorted(self.low, found[-1], side="right")))

    def part(self, where: slice) -> Axis:
        """Return the same for some of the pixels."""
        return Axis(self.low[where], self.high[where], self.weight[where])


def resize_anomaly_image(
    anomaly_image: NDArray[np.float32], *, width: int, height: int, view: DomainView | None = None
) -> NDArray[np.float32]:
    """Return the whole map in the picture's size, (height, width) float32; bilinear, pixels aligned by their centres.

    These are, to the bit, the values that `find_anomaly_region` compares. With a `view` (`DLResult.view`) the map lies
    where the view does, and the picture is 0 wherever nothing counts.
    """
    scores = np.ascontiguousarray(anomaly_image.T)
    box = PixelBox(0, 0, width, height) if view is None else view.box(width, height)
    values = interpolate(scores, axis_of(box.width, scores.shape[0]), axis_of(box.height, scores.shape[1]))
    if view is None:
        return np.ascontiguousarray(values.T)
    part = slice(box.y, box.y + box.height), slice(box.x, box.x + box.width)
    whole = np.zeros((height, width), np.float32)
    whole[part] = values.T if view.is_all else np.where(pixels_inside(view.domain, width, height)[part], values.T, 0)
    return whole


@lru_cache(maxsize=64)
def axis_of(size: int, map_size: int) -> Axis:
    """Pixel x of `size` lies at (x + 1/2) * map_size / size - 1/2 of the map; in whole numbers, hence exact."""
    position = (2 * np.arange(size, dtype=np.int64) + 1) * map_size - size
    low, rest = np.divmod(position, 2 * size)
    rest[low < 0] = 0  # before the first centre and behind the last the map goes on unchanged
    low = np.maximum(low, 0)
    axis = Axis(low, np.minimum(low + 1, map_size - 1), (rest / (2 * size)).astype(np.float32))
    for array in axis:
        array.flags.writeable = False
    return axis


def interpolate(values: NDArray[np.float32], first: Axis, second: Axis) -> NDArray[np.float32]:
    """Return values at all pairs of two axes, (len(first), len(second)) float32.

    a + (b - a) * weight, twice, never exceeds the largest value in float32 either: the weights are well below 1.
    """
    start = int(first.low[0])
    band = values[start : int(first.high[-1]) + 1]
    low = np.take(band, second.low, axis=1)
    wide = np.take(band, second.high, axis=1)
    wide -= low
    wide *= second.weight
    wide += low
    full = np.empty((len(first.low), len(second.low)), np.float32)
    # In blocks that stay in the processor's cache, which is several times as fast as at once.
    for at in range(0, len(full), _BLOCK_ROWS):
        block = full[at : at + _BLOCK_ROWS]
        low = wide[first.low[at : at + _BLOCK_ROWS] - start]
        np.take(wide, first.high[at : at + _BLOCK_ROWS] - start, axis=0, out=block, mode="clip")
        block -= low
        block *= first.weight[at : at + _BLOCK_ROWS, None]
        block += low
    return full
