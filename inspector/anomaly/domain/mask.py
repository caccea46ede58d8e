"""A domain as masks: which pixels of a picture are inside, and which cells of a grid contain such pixels. Kept, read-only.

There are two rules for two purposes. What is shown or reported is exact to the pixel: a pixel counts if its centre is
inside. What is scored is generous: a cell of a coarse grid counts if any of its area is inside.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.domain.cache import KEPT_PIXELS, KEPT_SIZES, PerDomain
from inspector.anomaly.domain.domain import Bounds, DomainView, ImageDomain, Point, edges

Mask = NDArray[np.bool_]

_KEPT_GRIDS = 8
"""A model asks for that of its cells, its map and its input."""

_pixels: PerDomain[Mask] = PerDomain(KEPT_SIZES)
_cells: PerDomain[Mask] = PerDomain(_KEPT_GRIDS)


def pixels_inside(domain: ImageDomain, width: int, height: int) -> Mask:
    """Return (height, width), True where the centre of a pixel of the whole picture in this size lies in the domain."""
    return _read_only(pixels_kept(domain, width, height).view())


def pixels_kept(domain: ImageDomain, width: int, height: int) -> Mask:
    """Return the memory behind `pixels_inside`, for torch, which takes no read-only array; not to be written."""

    def make() -> Mask:
        whole = Bounds(0, 0, domain.image_width, domain.image_height)
        return _centres_inside(domain, whole, width, height)

    return make() if width * height > KEPT_PIXELS else _pixels.get(domain, (width, height), make)


def cells_inside(view: DomainView, width: int, height: int) -> Mask:
    """Return (height, width), True where a cell of this grid over what the model sees holds any area of the domain.

    A cell holds some if its centre is inside, or if a side of a polygon runs through it.
    """
    return _cells.get(view.domain, (view.is_crop, width, height), lambda: _read_only(_crossed(view, width, height)))


def _crossed(view: DomainView, width: int, height: int) -> Mask:
    domain, extent = view.domain, view.extent
    mask = _centres_inside(domain, extent, width, height)
    for polygon in domain.polygons:
        for start, end in edges(polygon):
            _mark_crossed(mask, *(_scaled(point, extent, width, height) for point in (start, end)))
    return mask


def _scaled(point: Point, extent: Bounds, width: int, height: int) -> Point:
    """Return a point in cells; multiplied first, so that whole numbers stay whole."""
    return (
        (point[0] - extent.left) * width / (extent.right - extent.left),
        (point[1] - extent.top) * height / (extent.bottom - extent.top),
    )


def _centres_inside(domain: ImageDomain, extent: Bounds, width: int, height: int) -> Mask:
    """Even-odd filling by scan lines through the centres of the rows."""
    inside = np.zeros((height, width), np.bool_)
    centres = np.arange(height) + 0.5
    for polygon in domain.polygons:
        # Each side changes inside to outside, or back, for all that lies to the right of it.
        changes = np.zeros((height, width + 1), np.bool_)
        for start, end in edges(polygon):
            (x0, y0), (x1, y1) = (_scaled(point, extent, width, height) for point in (start, end))
            rows = np.flatnonzero((y0 <= centres) != (y1 <= centres))
            x = x0 + (centres[rows] - y0) * (x1 - x0) / (y1 - y0) if len(rows) else np.empty(0)
            columns = np.clip(np.ceil(x - 0.5), 0, width).astype(np.intp)
            changes[rows, columns] ^= True
        inside |= np.logical_xor.accumulate(changes[:, :-1], axis=1)
    return inside


def _mark_crossed(mask: Mask, start: Point, end: Point) -> None:
    """Mark the cells whose inside a segment meets: neither the cell's sides nor the segment's line part the two."""
    (x0, y0), (x1, y1) = start, end
    rows, columns = (np.arange(size) for size in mask.shape)
    columns = columns[(columns < max(x0, x1)) & (columns + 1 > min(x0, x1))]
    rows = rows[(rows < max(y0, y1)) & (rows + 1 > min(y0, y1))]
    if not len(rows) or not len(columns):
        return
    across, down = np.arange(columns[0], columns[-1] + 2), np.arange(rows[0], rows[-1] + 2)
    side = (x1 - x0) * (down[:, None] - y0) - (y1 - y0) * (across[None, :] - x0)  # of the line, for each corner
    corners = np.stack((side[:-1, :-1], side[:-1, 1:], side[1:, :-1], side[1:, 1:]))
    crossed = (corners.min(axis=0) < 0) & (corners.max(axis=0) > 0)
    mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] |= crossed


def _read_only(mask: Mask) -> Mask:
    mask.flags.writeable = False
    return mask
