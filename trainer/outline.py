"""Outlines of labelled pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.draw import Colour

TRUTH_COLOUR: Colour = (64, 224, 208)
_GRAY_DIMENSIONS = 2


def outline_mask(
    image: NDArray[np.uint8], mask: NDArray[np.bool_], colour: Colour = TRUTH_COLOUR, width: int | None = None
) -> NDArray[np.uint8]:
    """The image with the contours of a mask of any size.

    Args:
        image: (H, W) gray or (H, W, 3) RGB uint8.
        mask: (h, w), True inside.
        colour: RGB.
        width: Of the line, pixels.
    """
    height_px, width_px = image.shape[:2]
    # Averaging keeps a mark of which less than a pixel is left.
    scaled = cv2.resize(mask.astype(np.float32), (width_px, height_px), interpolation=cv2.INTER_AREA) > 0
    contours, _ = cv2.findContours(scaled.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    picture = np.repeat(image[..., None], 3, axis=2) if image.ndim == _GRAY_DIMENSIONS else image.copy()
    return np.asarray(cv2.drawContours(picture, contours, -1, colour, width or 2, cv2.LINE_AA), dtype=np.uint8)
