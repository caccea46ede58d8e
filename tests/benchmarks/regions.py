"""Where maps and regions lie on defects whose masks are known: overlap, strongest pixel, AUPRO for each kind of defect."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.types import DLResult
from inspector.anomaly.verdict.runs import decode_region
from inspector.anomaly.verdict.upsample import resize_anomaly_image
from trainer.evaluation.pixel_measures import PixelMeasures

NEAR: Final = (0, 2, 4, 16)
"""Limits of the distances that are counted, pixels of the model's input; what is farther is counted, too."""


class Regions:
    """Adds up, picture by picture; models without a domain only.

    Args:
        input_size: (width, height) of the model's input, pixels.
    """

    def __init__(self, input_size: tuple[int, int]) -> None:
        self._input_area = math.prod(input_size)
        self._overlaps: list[float] = []
        self._distances: dict[str, list[float]] = defaultdict(list)
        self._seen: list[tuple[NDArray[np.float32], NDArray[np.bool_], str | None]] = []

    def look_at(self, defect: str | None, mask: NDArray[np.bool_] | None, result: DLResult) -> None:
        """Count a test image.

        Args:
            defect: Its kind; None of an ok image.
            mask: (H, W) bool, True where anomalous; None where nobody marked the defect, then it is passed over.
            result: With its verdict at the model's thresholds.
        """
        if mask is None:
            return
        height, width = mask.shape
        if defect is not None and mask.any() and result.anomaly_class == "nok":
            whole = resize_anomaly_image(result.anomaly_image, width=width, height=height, view=result.view)
            away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            scale = math.sqrt(self._input_area / mask.size)
            self._distances[defect].append(scale * float(away.flat[int(whole.argmax())]))
            region = np.zeros_like(mask) if result.anomaly_region is None else decode_region(result.anomaly_region)
            self._overlaps.append(float((mask & region).sum() / (mask | region).sum()))
        self._seen.append((result.anomaly_image, mask, defect))

    def figures(self) -> dict[str, Any]:
        """Share of the found defects whose strongest pixel lies inside the mask, how many lie how near, mean overlap, and AUPRO by kind.

        AUPRO of a kind leaves out the marked pixels of all others. None, or nothing, where no mask is known.
        """
        if not self._overlaps:
            return {"strongest_pixel_inside": None, "iou": None}
        every = np.concatenate([np.array(found) for found in self._distances.values()])
        edges = [-1.0, *NEAR, math.inf]
        names = ["inside", *(f"to_{limit}" for limit in NEAR[1:]), "farther"]
        counts = np.histogram(every, bins=np.nextafter(edges, math.inf))[0].tolist()
        return {
            "strongest_pixel_inside": float((every <= 0).mean()),
            "iou": float(np.mean(self._overlaps)),
            "strongest_pixel": dict(zip(names, counts, strict=True)),
            "strongest_pixel_inside_by_defect": {
                kind: float((np.array(found) <= 0).mean()) for kind, found in sorted(self._distances.items())
            },
            "aupro_by_defect": self._aupro(),
        }

    def _aupro(self) -> dict[str, float | None]:
        found = {}
        for kind in sorted({defect for *_, defect in self._seen if defect is not None}):
            pixels = PixelMeasures()
            for values, mask, defect in self._seen:
                whole = resize_anomaly_image(values, width=mask.shape[1], height=mask.shape[0])
                is_own = defect == kind
                pixels.add(whole, mask if is_own else np.zeros_like(mask), None if is_own else ~mask)
            measured = pixels.aupro()
            found[kind] = None if measured is None else measured[0]
        return found
