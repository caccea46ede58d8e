"""How strongly an ok image shows its strongest spot: the highest threshold at which it would still have a region."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.preprocess.param import DLPreprocessParam

MIN_AREA_SHARE: Final = 1e-4
"""Smaller spots than this share of what the model sees are left out of a region."""

_CONNECTIVITY = 8


def least_spot(height: int, width: int, *, tiles: float = 1.0) -> int:
    """The default size of the smallest spot that counts, in pixels of a map, or picture, of this size.

    Args:
        height: Of the map.
        width: Of the map.
        tiles: `tiles_seen`, of whose area it is a share: of a large picture it would be more than the defects that tiles are for.
    """
    return max(1, round(MIN_AREA_SHARE * height * width / tiles))


def tiles_seen(preprocess_param: DLPreprocessParam, width: int, height: int) -> float:
    """How many tiles what the model sees of a picture is as large as; 1 of a picture that is seen as a whole.

    Args:
        preprocess_param: Say whether it is cut.
        width: Of what the model sees, in pixels of the picture.
        height: The same.
    """
    tile = preprocess_param.tile
    return 1.0 if tile is None else max(1.0, width * height / (tile.width * tile.height))


def highest_spot(distances: NDArray[np.floating], area: int, domain: NDArray[np.bool_] | None = None) -> float:
    """Return the highest distance that all pixels of a connected spot of this area reach.

    An image has a region at a threshold exactly when this is at or above it. Found by halving the number of pixels above.

    Args:
        distances: (H, W), finite.
        area: Of the spot, in pixels of the map; of all that count, where these are fewer.
        domain: (H, W) bool, True where pixels count; None counts all.
    """
    counted = distances if domain is None else np.where(domain, distances, -np.inf)
    falling = np.sort(counted[np.isfinite(counted)], axis=None)[::-1]
    if not falling.size:
        return 0.0
    low = min(area, falling.size) - 1  # so many pixels are needed at least
    high, step = low, area
    while not _has_spot(counted >= falling[high], area):
        if high == falling.size - 1:
            return float(falling[-1])
        low, high, step = high + 1, min(high + step, falling.size - 1), 2 * step
    while low < high:
        middle = (low + high) // 2
        if _has_spot(counted >= falling[middle], area):
            high = middle
        else:
            low = middle + 1
    return float(falling[high])


def _has_spot(above: NDArray[np.bool_], area: int) -> bool:
    _, _, stats, _ = cv2.connectedComponentsWithStats(above.astype(np.uint8), connectivity=_CONNECTIVITY)
    return bool((stats[1:, cv2.CC_STAT_AREA] >= area).any())
