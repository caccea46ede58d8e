"""From the model's map to the defective pixels of the picture: upsample, threshold, connect, code.

The definition is that of the full computation: bring the whole map to the picture's size, compare every pixel. What is
computed is only the box that can hold such pixels, with the same result to the bit.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from inspector.anomaly.domain.domain import DomainView, PixelBox
from inspector.anomaly.domain.mask import pixels_inside
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.types import AnomalyRegion, RegionComponent

MAX_COMPONENTS: Final = 256
"""Components listed in a region: the largest ones."""

_CONNECTIVITY: Final = 8
_BLOCK_ROWS: Final = 32


class _Axis(NamedTuple):
    """For each pixel of the picture along one side: the map's pixels on either side of it, and the second's weight."""

    low: NDArray[np.intp]
    high: NDArray[np.intp]
    weight: NDArray[np.float32]

    def reach(self, candidates: NDArray[np.bool_]) -> slice:
        """Return the pixels of the picture that any of the `candidates`, pixels of the map, has a part in."""
        found = np.flatnonzero(candidates)
        start = np.searchsorted(self.low, found[0] - 1, side="left")
        return slice(int(start), int(np.searchsorted(self.low, found[-1], side="right")))

    def part(self, where: slice) -> _Axis:
        return _Axis(self.low[where], self.high[where], self.weight[where])


def find_anomaly_region(
    anomaly_image: NDArray[np.float32],
    *,
    width: int,
    height: int,
    threshold: float,
    min_area: int = 1,
    view: DomainView | None = None,
) -> AnomalyRegion | None:
    """Return the pixels of the picture at or above `threshold`, or None where there are none. Thread safe.

    Values that are not finite count as 1, so a broken map cannot hide a defect.

    Args:
        anomaly_image: (h, w) float32 map in the model's size.
        width: Of the picture as taken, pixels.
        height: Of the picture as taken, pixels.
        threshold: Segmentation threshold; compared as float64.
        min_area: 8-connected components of fewer pixels are left out, in pixels of the picture.
        view: `DLResult.view`: where the map lies in the picture, and which pixels count.

    Raises:
        ParameterError: The map is not a float32 matrix, or the size is not positive.
    """
    if anomaly_image.ndim != 2 or anomaly_image.size == 0 or anomaly_image.dtype != np.float32:  # noqa: PLR2004
        raise ParameterError(
            f"anomaly_image must be a float32 matrix, got {anomaly_image.dtype} of shape {anomaly_image.shape}"
        )
    if width < 1 or height < 1:
        raise ParameterError(f"a picture has at least one pixel, got {width} x {height}")
    limit = _smallest_float32(threshold)
    # Most pictures are ok, and done with here. NaN is not less.
    if anomaly_image.max() < limit and anomaly_image.min() > -np.inf:
        return None
    # Transposed throughout: the code runs down the columns, which so lie in memory one after the other.
    scores = np.ascontiguousarray(anomaly_image.T)
    if not np.isfinite(scores).all():
        scores = np.where(np.isfinite(scores), scores, np.float32(1.0))
    candidates = scores >= limit
    if not candidates.any():
        return None  # a broken map counts as 1, which a threshold may be above
    # `_interpolate` never exceeds the largest of the values it is between, so all pixels of the region are in this box.
    box = PixelBox(0, 0, width, height) if view is None else view.box(width, height)
    columns, rows = _axis(box.width, scores.shape[0]), _axis(box.height, scores.shape[1])
    across, down = columns.reach(candidates.max(axis=1)), rows.reach(candidates.max(axis=0))
    if across.start == across.stop or down.start == down.stop:
        return None  # the picture is smaller than the map, and no pixel of it is near
    values = _interpolate(scores, columns.part(across), rows.part(down))
    origin = (box.x + across.start, box.y + down.start)
    if view is not None and not view.is_all:
        inside = pixels_inside(view.domain, width, height).T
        part = slice(origin[0], origin[0] + values.shape[0]), slice(origin[1], origin[1] + values.shape[1])
        np.copyto(values, np.float32(-np.inf), where=~inside[part])
    runs = _find_runs(values, limit, origin)
    return None if runs is None else _region(runs, (width, height), min_area)


def resize_anomaly_image(
    anomaly_image: NDArray[np.float32], *, width: int, height: int, view: DomainView | None = None
) -> NDArray[np.float32]:
    """Return the whole map in the picture's size, (height, width) float32; bilinear, pixels aligned by their centres.

    These are, to the bit, the values that `find_anomaly_region` compares. With a `view` (`DLResult.view`) the map lies
    where the view does, and the picture is 0 wherever nothing counts.
    """
    scores = np.ascontiguousarray(anomaly_image.T)
    box = PixelBox(0, 0, width, height) if view is None else view.box(width, height)
    values = _interpolate(scores, _axis(box.width, scores.shape[0]), _axis(box.height, scores.shape[1]))
    if view is None:
        return np.ascontiguousarray(values.T)
    part = slice(box.y, box.y + box.height), slice(box.x, box.x + box.width)
    whole = np.zeros((height, width), np.float32)
    whole[part] = values.T if view.is_all else np.where(pixels_inside(view.domain, width, height)[part], values.T, 0)
    return whole


def decode_region(region: AnomalyRegion) -> NDArray[np.bool_]:
    """Return the mask of a region, (height, width), True inside."""
    by_column = np.zeros(region.width * region.height, np.bool_)
    edges = np.cumsum(_run_lengths(region.counts))
    for start, stop in zip(edges[:-1:2].tolist(), edges[1::2].tolist(), strict=False):
        by_column[start:stop] = True
    return np.ascontiguousarray(by_column.reshape(region.width, region.height).T)


def _run_lengths(counts: bytes) -> NDArray[np.int64]:
    """Return the lengths of the runs, outside first. pycocotools decodes too, but numpy 2 warns of how it does."""
    bits = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    is_last = bits & 0x20 == 0
    firsts = np.concatenate(([0], np.flatnonzero(is_last)[:-1] + 1))
    shifts = 5 * (np.arange(len(bits)) - np.repeat(firsts, np.diff(firsts, append=len(bits))))
    lengths = np.add.reduceat((bits & 0x1F) << shifts, firsts)
    lengths -= np.where(bits[is_last] & 0x10, np.int64(32) << shifts[is_last], 0)
    # From the fourth run on, the difference to the run before last is what is coded.
    lengths[1::2] = np.cumsum(lengths[1::2])
    lengths[2::2] = np.cumsum(lengths[2::2])
    return lengths


def _smallest_float32(threshold: float) -> np.float32:
    """Return the smallest float32 that is not below `threshold`: comparing with it is comparing as float64.

    numpy would round the threshold to the nearest float32, which may lie on the other side of a map's value.
    """
    nearest = np.float32(threshold)
    return nearest if float(nearest) >= threshold else np.nextafter(nearest, np.float32(np.inf))


@lru_cache(maxsize=64)
def _axis(size: int, map_size: int) -> _Axis:
    """Pixel x of `size` lies at (x + 1/2) * map_size / size - 1/2 of the map; in whole numbers, hence exact."""
    position = (2 * np.arange(size, dtype=np.int64) + 1) * map_size - size
    low, rest = np.divmod(position, 2 * size)
    rest[low < 0] = 0  # before the first centre and behind the last the map goes on unchanged
    low = np.maximum(low, 0)
    axis = _Axis(low, np.minimum(low + 1, map_size - 1), (rest / (2 * size)).astype(np.float32))
    for array in axis:
        array.flags.writeable = False
    return axis


def _interpolate(values: NDArray[np.float32], first: _Axis, second: _Axis) -> NDArray[np.float32]:
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


class _Runs(NamedTuple):
    """Runs of pixels at or above the threshold, each within one column of the picture: half open, in picture pixels."""

    column: NDArray[np.intp]
    start: NDArray[np.intp]
    stop: NDArray[np.intp]
    label: NDArray[np.intp]
    max_score: NDArray[np.float32]

    def only(self, which: NDArray[np.bool_]) -> _Runs:
        return _Runs(self.column[which], self.start[which], self.stop[which], self.label[which], self.max_score[which])


def _find_runs(values: NDArray[np.float32], limit: np.float32, origin: tuple[int, int]) -> _Runs | None:
    """Connect the pixels at or above `limit`; `values` is a transposed part of the picture starting at `origin` (x, y).

    Everything later is done with runs, which are few: OpenCV's statistics of components visit every pixel.
    """
    # A column of zeros behind the last keeps runs of neighbours apart.
    length = values.shape[1] + 1
    mask = np.zeros((values.shape[0], length), np.bool_)
    np.greater_equal(values, limit, out=mask[:, :-1])
    _, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=_CONNECTIVITY, ltype=cv2.CV_32S)
    flat = mask.reshape(-1)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if flat[0]:
        edges = np.concatenate(([0], edges))
    if not len(edges):
        return None
    column, start = np.divmod(edges[::2], length)
    stop = start + edges[1::2] - edges[::2]
    # In `values` there is no such column: a run that ends at the foot ends where the next column starts.
    pairs = np.stack((column * (length - 1) + start, column * (length - 1) + stop), axis=1).reshape(-1)
    if pairs[-1] == values.size:
        pairs = pairs[:-1]
    max_score = np.maximum.reduceat(values.reshape(-1), pairs)[::2]
    label = labels.reshape(-1)[edges[::2]].astype(np.intp)
    return _Runs(column + origin[0], start + origin[1], stop + origin[1], label, max_score)


def _region(runs: _Runs, size: tuple[int, int], min_area: int) -> AnomalyRegion | None:
    """Drop small components, list the largest, code all."""
    count = int(runs.label.max()) + 1
    area = np.zeros(count, np.int64)
    np.add.at(area, runs.label, runs.stop - runs.start)
    kept = area >= max(min_area, 1)  # label 0 is the background, which no run has
    if not kept.any():
        return None
    runs = runs.only(kept[runs.label])
    left, top = np.full(count, size[0]), np.full(count, size[1])
    right, bottom = np.zeros(count, np.int64), np.zeros(count, np.int64)
    max_score = np.zeros(count, np.float32)
    np.minimum.at(left, runs.label, runs.column)
    np.maximum.at(right, runs.label, runs.column + 1)
    np.minimum.at(top, runs.label, runs.start)
    np.maximum.at(bottom, runs.label, runs.stop)
    np.maximum.at(max_score, runs.label, runs.max_score)
    found = np.flatnonzero(kept)
    largest_first = found[np.lexsort((left[found], top[found], -area[found]))]
    components = tuple(
        RegionComponent(
            x=int(left[i]),
            y=int(top[i]),
            width=int(right[i] - left[i]),
            height=int(bottom[i] - top[i]),
            area=int(area[i]),
            max_score=min(float(max_score[i]), 1.0),
        )
        for i in largest_first[:MAX_COMPONENTS]
    )
    return AnomalyRegion(
        width=size[0],
        height=size[1],
        area=int(area[kept].sum()),
        counts=_run_length_code(runs, size),
        components=components,
        num_components=len(found),
    )


def _run_length_code(runs: _Runs, size: tuple[int, int]) -> bytes:
    """Code the runs down the columns of the picture."""
    width, height = size
    ends = np.stack((runs.column * height + runs.start, runs.column * height + runs.stop), axis=1).reshape(-1)
    # A run that leaves a column at its foot may go on at the head of the next.
    is_joined = ends[1:-1:2] == ends[2::2]
    ends = ends[np.concatenate(([True], ~np.repeat(is_joined, 2), [True]))]
    lengths = np.diff(ends, prepend=0, append=width * height)
    if lengths[-1] == 0:
        lengths = lengths[:-1]
    code = coco.frPyObjects({"size": [height, width], "counts": lengths.tolist()}, height, width)
    counts: bytes = code["counts"]
    return counts
