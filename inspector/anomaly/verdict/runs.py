"""Runs of pixels down the columns of a picture: finds those above a limit, codes them as COCO does, and decodes them."""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from inspector.anomaly.types import AnomalyRegion

_CONNECTIVITY: Final = 8


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


class Runs(NamedTuple):
    """Runs of pixels at or above the threshold, each within one column of the picture: half open, in picture pixels."""

    column: NDArray[np.intp]
    start: NDArray[np.intp]
    stop: NDArray[np.intp]
    label: NDArray[np.intp]
    max_score: NDArray[np.float32]

    def only(self, which: NDArray[np.bool_]) -> Runs:
        """Return some of them, chosen by a mask."""
        return Runs(self.column[which], self.start[which], self.stop[which], self.label[which], self.max_score[which])


def find_runs(values: NDArray[np.float32], limit: np.float32, origin: tuple[int, int]) -> Runs | None:
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
    return Runs(column + origin[0], start + origin[1], stop + origin[1], label, max_score)


def run_length_code(runs: Runs, size: tuple[int, int]) -> bytes:
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
