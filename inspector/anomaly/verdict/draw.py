"""Pictures for people: the heat map over the image, outlines of regions, a frame that shows the verdict.

Everything here takes uint8 gray or RGB, leaves it as it is and returns new (H, W, 3) RGB uint8. Thread safe.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.choices import AnomalyClass
from inspector.anomaly.domain.domain import DomainView
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.types import AnomalyRegion
from inspector.anomaly.verdict.runs import decode_region
from inspector.anomaly.verdict.upsample import resize_anomaly_image

Colour = tuple[int, int, int]

REGION_COLOUR: Final[Colour] = (255, 45, 45)
OK_COLOUR: Final[Colour] = (52, 178, 96)
NOK_COLOUR: Final[Colour] = (206, 32, 48)

NEUTRAL_THRESHOLD: Final = 0.5
"""Where the warm colours begin if no threshold is given."""

_HALO: Final[Colour] = (16, 16, 16)
_WHITE: Final[Colour] = (255, 255, 255)
_SUBPIXEL_BITS: Final = 4

# Strength is d / (d + t) for a distance d and the threshold's distance t: 1/2 at the threshold, whatever the scale.
_FADE_FROM: Final = 0.38
_AT_THRESHOLD: Final = 0.5
_HOT: Final = 0.8
# Positions in the colour map: green-cyan where it fades in, amber at the threshold, red well above.
_COLOURS: Final = (0.36, 0.66, 0.95)
_LEVELS: Final = 256


def heat_map_overlay(
    image: NDArray[np.uint8],
    anomaly_image: NDArray[np.float32],
    *,
    threshold: float | None = None,
    alpha: float = 0.5,
    view: DomainView | None = None,
) -> NDArray[np.uint8]:
    """Lay the map over the image as colours: nothing well below the threshold, amber at it, red far above.

    The same score has the same colour in every picture of a model, so an ok picture stays plain.

    Args:
        image: (H, W) gray or (H, W, 3) RGB.
        anomaly_image: (h, w) map of any size, values in [0, 1); those that are not finite count as 1.
        threshold: Segmentation threshold in (0, 1); None takes `NEUTRAL_THRESHOLD`.
        alpha: How much of the image the colours hide, from 0 to 1.
        view: `DLResult.view`: where the map lies in the image.

    Raises:
        ParameterError: The image or a parameter is not as described.
    """
    limit = NEUTRAL_THRESHOLD if threshold is None else float(threshold)
    if not 0.0 < limit < 1.0:
        raise ParameterError(f"threshold must be greater than 0 and less than 1, got {threshold!r}")
    if not 0.0 <= alpha <= 1.0:
        raise ParameterError(f"alpha must be between 0 and 1, got {alpha!r}")
    picture = _as_rgb(image)
    values = np.where(np.isfinite(anomaly_image), anomaly_image, np.float32(1)).clip(0, 1).astype(np.float32)
    values = resize_anomaly_image(values, width=picture.shape[1], height=picture.shape[0], view=view)
    # (v / (1 - v)) / (v / (1 - v) + t / (1 - t)), without the divisions by zero; never negative, and 1 at v = 1.
    strength = values * (1 - limit) / (values * (1 - limit) + (1 - values) * limit)
    level = np.rint(strength * (_LEVELS - 1)).astype(np.uint8)
    colours, presences = _palette()
    presence = presences[level][..., None]
    # Under the colours the image turns gray, else amber over green would be neither.
    luminance = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None]
    under = picture + presence * (luminance - picture.astype(np.float32))
    blended = under + alpha * presence * (colours[level] - under)
    return np.asarray(np.rint(blended), dtype=np.uint8)


def draw_region_outlines(
    image: NDArray[np.uint8],
    region: AnomalyRegion,
    colour: Colour = REGION_COLOUR,
    width: int | None = None,
) -> NDArray[np.uint8]:
    """Draw a line around each part of a region, just outside it: the defect itself stays in sight.

    Args:
        image: (H, W) gray or (H, W, 3) RGB, in the size of the region or in any other.
        region: As `threshold_dl_anomaly_results` finds it.
        colour: RGB.
        width: Of the line, pixels; None suits the size of the picture.

    Raises:
        ParameterError: The image is not as described, or `width` is not positive.
    """
    if width is not None and width < 1:
        raise ParameterError(f"width must be at least 1 pixel, got {width}")
    original = _as_rgb(image)
    picture = original.copy()
    height_px, width_px = picture.shape[:2]
    mask = decode_region(region).view(np.uint8)
    if mask.shape != (height_px, width_px):
        # Averaging keeps a part of which less than a pixel is left.
        shrunk = cv2.resize(mask * np.float32(1), (width_px, height_px), interpolation=cv2.INTER_AREA)
        mask = (shrunk > 0).astype(np.uint8)
    line = width if width is not None else max(2, round(max(height_px, width_px) / 400))
    reach = 2 * line + 3
    around = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    contours, _ = cv2.findContours(around, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    # A dark rim keeps the line in sight on a picture of its own colour.
    cv2.drawContours(picture, contours, -1, _HALO, line + 2, cv2.LINE_AA)
    cv2.drawContours(picture, contours, -1, colour, line, cv2.LINE_AA)
    np.copyto(picture, original, where=mask[..., None].astype(np.bool_))
    return picture


def verdict_frame(image: NDArray[np.uint8], anomaly_class: AnomalyClass) -> NDArray[np.uint8]:
    """Put a frame around the image: green with a tick for ok, red with a cross for nok.

    Args:
        image: (H, W) gray or (H, W, 3) RGB.
        anomaly_class: The verdict.

    Returns:
        (H + 2 b, W + 2 b, 3), b being the frame's breadth: one part in 60 of the longer side, at least 4. The mark
        hides a corner of the image.

    Raises:
        ParameterError: The image or the class is not as described.
    """
    if anomaly_class not in ("ok", "nok"):
        raise ParameterError(f"anomaly_class must be ok or nok, got {anomaly_class!r}")
    picture = _as_rgb(image)
    colour = OK_COLOUR if anomaly_class == "ok" else NOK_COLOUR
    breadth = max(4, round(max(picture.shape[:2]) / 60))
    framed = np.empty((picture.shape[0] + 2 * breadth, picture.shape[1] + 2 * breadth, 3), np.uint8)
    framed[:] = colour
    framed[breadth:-breadth, breadth:-breadth] = picture
    radius = 2.4 * breadth
    centre = radius * 1.05
    cv2.circle(framed, (_fine(centre), _fine(centre)), _fine(radius), colour, -1, cv2.LINE_AA, _SUBPIXEL_BITS)
    if anomaly_class == "ok":
        strokes = [[(-0.45, 0.05), (-0.12, 0.38), (0.48, -0.32)]]
    else:
        strokes = [[(-0.36, -0.36), (0.36, 0.36)], [(-0.36, 0.36), (0.36, -0.36)]]
    for stroke in strokes:
        points = np.array([[(_fine(centre + x * radius), _fine(centre + y * radius)) for x, y in stroke]], np.int32)
        thickness = max(1, round(radius / 5))
        cv2.polylines(framed, [points], False, _WHITE, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)
    return framed


def _fine(value: float) -> int:
    """Return a coordinate in OpenCV's fixed-point pixels."""
    return round(value * (1 << _SUBPIXEL_BITS))


@cache
def _palette() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the colour (256, 3) and the presence (256,), 0 to 1, of each level of strength."""
    strength = np.linspace(0, 1, _LEVELS)
    position = np.interp(strength, (_FADE_FROM, _AT_THRESHOLD, _HOT), _COLOURS)
    index = np.rint(position * 255).astype(np.uint8).reshape(-1, 1)
    colours = cv2.applyColorMap(index, cv2.COLORMAP_TURBO).reshape(-1, 3)[:, ::-1]
    share = np.clip((strength - _FADE_FROM) / (_AT_THRESHOLD - _FADE_FROM), 0, 1)
    return colours.astype(np.float32), (share * share * (3 - 2 * share)).astype(np.float32)


def _as_rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if image.dtype != np.uint8 or image.size == 0:
        raise ParameterError(f"image must hold uint8 pixels, got {image.dtype} of shape {image.shape}")
    if image.ndim == 2:  # noqa: PLR2004 - gray
        return np.repeat(image[..., None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3:  # noqa: PLR2004 - (H, W, 3)
        raise ParameterError(f"image must be (H, W) gray or (H, W, 3) RGB, got shape {image.shape}")
    return np.ascontiguousarray(image)
