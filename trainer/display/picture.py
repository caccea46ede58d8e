"""Pictures as arrays and as PNG files."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.files import write_file
from inspector.anomaly.verdict.draw import Colour
from trainer.errors import OutputError

PICTURE_SIDE = 480
"""Longest side of an inlined picture, pixels."""
_GRAY_DIMENSIONS = 2
TRUTH_COLOUR: Colour = (64, 224, 208)


def shrink(image: NDArray[np.uint8], side: int = PICTURE_SIDE) -> NDArray[np.uint8]:
    """The image with its longest side at most `side` pixels, averaged over areas."""
    factor = side / max(image.shape[:2])
    if factor >= 1:
        return image
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def data_uri(image: NDArray[np.uint8], *, side: int = PICTURE_SIDE, quality: int = 86) -> str:
    """The image, no larger than `side`, as a JPEG inside a page.

    Args:
        image: (H, W) gray or (H, W, 3) RGB uint8.
        side: Its longest side at most, pixels.
        quality: Of the JPEG, to 100.

    Raises:
        OutputError: It cannot be coded.
    """
    small = shrink(image, side)
    colour = small if small.ndim == _GRAY_DIMENSIONS else small[..., ::-1]  # OpenCV wants BGR
    is_coded, content = cv2.imencode(".jpg", colour, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not is_coded:
        raise OutputError(f"a picture of shape {image.shape} cannot be coded as JPEG")
    return f"data:image/jpeg;base64,{base64.b64encode(content.tobytes()).decode()}"


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


def write_png(target: Path | str, picture: NDArray[np.uint8]) -> None:
    """Write (H, W, 3) RGB uint8; missing folders are created, an existing file is replaced.

    Raises:
        OutputError: The file cannot be written.
    """
    target = Path(target)
    is_coded, content = cv2.imencode(".png", picture[..., ::-1])
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not is_coded:
            raise OutputError(f"the picture {target} cannot be coded as PNG")
        write_file(target, content.tobytes())
    except OSError as error:
        raise OutputError.unwritable(f"the picture {target}", error) from error
