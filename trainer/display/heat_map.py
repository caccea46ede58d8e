"""Heat maps in HALCON's colour schemes, and the bar that explains their colours."""

from __future__ import annotations

from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.domain.domain import DomainView
from inspector.anomaly.domain.mask import pixels_inside
from inspector.anomaly.verdict.draw import heat_map_overlay
from inspector.anomaly.verdict.upsample import resize_anomaly_image

HeatmapScheme = Literal["threshold", "jet", "inverse_jet", "hot", "inverse_hot"]
"""How a score becomes a colour: "threshold" is the project's own (nothing where usual, amber at the threshold)."""

_LEVELS: Final = 256
_GRAY: Final = 128


def colour_table(scheme: Literal["jet", "inverse_jet", "hot", "inverse_hot"]) -> NDArray[np.uint8]:
    """(256, 3) RGB: the colours of the scores from 0 to 1."""
    index = np.arange(_LEVELS, dtype=np.uint8).reshape(-1, 1)
    kind = cv2.COLORMAP_JET if scheme.endswith("jet") else cv2.COLORMAP_HOT
    table = cv2.applyColorMap(index, kind).reshape(-1, 3)[:, ::-1]
    return np.ascontiguousarray(table[::-1] if scheme.startswith("inverse") else table, dtype=np.uint8)


def heat_map(
    image: NDArray[np.uint8],
    anomaly_image: NDArray[np.float32],
    scheme: HeatmapScheme = "threshold",
    *,
    threshold: float | None = None,
    view: DomainView | None = None,
) -> NDArray[np.uint8]:
    """Lay an anomaly image over its picture, half and half.

    Args:
        image: (H, W) gray or (H, W, 3) RGB.
        anomaly_image: (h, w) float32 of any size, in [0, 1); what is not finite counts as 1.
        scheme: HALCON's colour schemes know no threshold.
        threshold: Segmentation threshold, of the scheme "threshold".
        view: `DLResult.view`: where the map lies in the picture, which stays as it is outside the domain.

    Returns:
        (H, W, 3) RGB uint8.

    Raises:
        ParameterError: Image or threshold is not as described.
    """
    alpha = 0.5 if scheme == "threshold" else 0.0
    plain = heat_map_overlay(image, anomaly_image, threshold=threshold, alpha=alpha, view=view)
    if scheme == "threshold":
        return plain
    height, width = plain.shape[:2]
    values = np.where(np.isfinite(anomaly_image), anomaly_image, np.float32(1)).clip(0, 1).astype(np.float32)
    values = resize_anomaly_image(values, width=width, height=height, view=view)
    picture = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)  # noqa: PLR2004 - (H, W, 3)
    colours = colour_table(scheme)[np.rint(values * (_LEVELS - 1)).astype(np.uint8)]
    heated = np.asarray(cv2.addWeighted(np.ascontiguousarray(picture), 0.5, colours, 0.5, 0), dtype=np.uint8)
    if view is not None:
        np.copyto(heated, picture, where=~pixels_inside(view.domain, width, height)[..., None])
    return heated


def colour_bar(scheme: HeatmapScheme, *, width: int, height: int, threshold: float | None = None) -> NDArray[np.uint8]:
    """The colours of the scores from 0 (left) to 1, as they look over a gray picture.

    Returns:
        (height, width, 3) RGB uint8.
    """
    scores = np.tile(((np.arange(width) + 0.5) / width).astype(np.float32), (height, 1))
    return heat_map(np.full((height, width), _GRAY, np.uint8), scores, scheme, threshold=threshold)
