"""Which images the report shows, and how they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.draw import REGION_COLOUR, draw_region_outlines, heat_map_overlay
from inspector.anomaly.types import DLResult
from trainer.dataset import DLDatasetSample
from trainer.report import Picture, PictureRow, shrink

PICTURES_IN_A_ROW = 6
TRUTH_COLOUR = (64, 224, 208)


@dataclass(frozen=True, slots=True)
class ScoredSample:
    """A sample and what the model made of it."""

    sample: DLDatasetSample
    anomaly_score: float


Draw = Callable[[ScoredSample], Picture]


def gallery(
    test: Sequence[ScoredSample], held_out: Sequence[ScoredSample], draw: Draw, *, count: int = PICTURES_IN_A_ROW
) -> list[PictureRow]:
    """Choose the telling images and draw them; each image is drawn once.

    Args:
        test: Scored test images.
        held_out: Scored ok images that the model was not fitted on, shown where no ok image is tested.
        draw: Makes the picture of a sample.
        count: Most pictures in a row.
    """
    ok = _highest([s for s in test if s.sample.image_label == "ok"])
    nok = _highest([s for s in test if s.sample.image_label == "nok"])
    hardest = nok[::-1][:count]
    clearest = [s for s in nok[:count] if s not in hardest]
    source = "test" if ok else "held-out"
    rows = [
        (
            "Ok images with the highest scores",
            f"The ok {source} images that come nearest to being rejected, or are.",
            (ok or _highest(held_out))[:count],
        ),
        (
            "Nok images with the lowest scores",
            "The defects that are hardest for this model, missed ones first.",
            hardest,
        ),
        ("Nok images with the highest scores", "The defects that stand out most.", clearest),
    ]
    return [PictureRow(title, text, [draw(s) for s in chosen]) for title, text, chosen in rows if chosen]


def _highest(samples: Sequence[ScoredSample]) -> list[ScoredSample]:
    """From the highest score to the lowest; what has no finite score comes first, as it is nok."""
    return sorted(samples, key=lambda s: s.anomaly_score if np.isfinite(s.anomaly_score) else np.inf, reverse=True)


def draw_picture(
    scored: ScoredSample, image: NDArray[np.uint8], result: DLResult, mask: NDArray[np.bool_] | None
) -> Picture:
    """Draw a sample for the report.

    Args:
        scored: The sample.
        image: (H, W) gray or (H, W, 3) RGB uint8 in original size.
        result: The thresholded result.
        mask: (H, W), True where labelled anomalous; None where unknown.
    """
    # Shrunk first: a line drawn on the original would be lost in the small picture.
    small = shrink(image)
    outlined = small
    if mask is not None and mask.any():
        outlined = _outline(outlined, mask)
    if result.anomaly_region is not None:
        outlined = draw_region_outlines(outlined, result.anomaly_region, REGION_COLOUR)
    return Picture(
        name=scored.sample.image_file_name,
        label=scored.sample.image_label,
        anomaly_score=result.anomaly_score,
        is_rejected=result.anomaly_class != "ok",
        outlined=outlined,
        heat_map=heat_map_overlay(
            small, result.anomaly_image, threshold=result.segmentation_threshold, view=result.view
        ),
    )


def _outline(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The image with the contours of a mask of its original size."""
    height, width = image.shape[:2]
    # Averaging keeps a mark of which less than a pixel is left.
    shrunk = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) > 0
    contours, _ = cv2.findContours(shrunk.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    picture = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image.copy()  # noqa: PLR2004 - gray
    return np.asarray(cv2.drawContours(picture, contours, -1, TRUTH_COLOUR, 2, cv2.LINE_AA), dtype=np.uint8)
