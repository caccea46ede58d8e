"""Chooses and keeps the images of the report while they are in memory, so that none is decoded again for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from inspector.anomaly.choices import AnomalyClass
from inspector.anomaly.types import DLSample
from trainer.dataset.dataset import DLDatasetSample
from trainer.display.picture import PICTURE_SIDE, shrink
from trainer.evaluation.scoring import ScoredImage

PICTURES_IN_A_ROW = 6
PICTURES_AT_A_GLANCE = 40
KEPT_PICTURES_BYTES: Final = 64 * 2**20


@dataclass(frozen=True, slots=True)
class _Kept:
    sample: DLDatasetSample
    image: ScoredImage
    score: float


class ShownImages:
    """Keeps the telling images of a set while it is scored: memory does not grow with the set.

    Args:
        samples: All that will be scored.
        at_a_glance: How many of them are shown in the grid.
        in_a_row: How many of each class with the highest and the lowest scores are shown.
    """

    def __init__(
        self,
        samples: Sequence[DLDatasetSample],
        *,
        at_a_glance: int = PICTURES_AT_A_GLANCE,
        in_a_row: int = PICTURES_IN_A_ROW,
    ) -> None:
        self._glance = {sample.image_id for sample in evenly_of_each_class(samples, at_a_glance)}
        self._in_a_row = in_a_row
        self._kept: dict[AnomalyClass, list[_Kept]] = {"ok": [], "nok": []}

    def add(self, sample: DLDatasetSample, image: ScoredImage) -> None:
        """Take note of an image that was scored; its picture is kept, small, as long as it may be shown."""
        if image.result is None or image.sample is None:
            return
        score = image.result.anomaly_score
        kept = self._kept[sample.image_label]
        kept.append(_Kept(sample, small(image), score if np.isfinite(score) else np.inf))
        kept.sort(key=lambda one: one.score)
        last = len(kept) - self._in_a_row
        self._kept[sample.image_label] = [
            one
            for place, one in enumerate(kept)
            if place < self._in_a_row or place >= last or one.sample.image_id in self._glance
        ]

    def get(self, sample: DLDatasetSample) -> ScoredImage | None:
        """What was kept of a sample; None of one that was not."""
        kept = self._kept[sample.image_label]
        return next((one.image for one in kept if one.sample.image_id == sample.image_id), None)


class KeptPictures:
    """The pictures of training images, as far as memory is granted: some of them may be shown as suspects."""

    def __init__(self) -> None:
        self._pictures: dict[int, DLSample] = {}
        self._free_bytes = KEPT_PICTURES_BYTES

    def add(self, sample: DLDatasetSample, picture: DLSample) -> None:
        """Keep the picture of an image, if there is one and room for it."""
        size = picture.image.nbytes
        if 0 < size <= self._free_bytes and sample.image_id not in self._pictures:
            self._pictures[sample.image_id] = picture
            self._free_bytes -= size

    def get(self, sample: DLDatasetSample) -> DLSample | None:
        """The picture as decoded for the model; None of one that was not kept."""
        return self._pictures.get(sample.image_id)


def evenly_of_each_class(samples: Sequence[DLDatasetSample], count: int) -> list[DLDatasetSample]:
    """All samples; if there are more than `count`, evenly spaced ones of each class, so that both are seen, however rare one is."""
    if len(samples) <= count:
        return list(samples)
    chosen: list[DLDatasetSample] = []
    for label in ("ok", "nok"):
        members = [sample for sample in samples if sample.image_label == label]
        share = min(len(members), max(round(count * len(members) / len(samples)), 1))
        chosen += [members[place] for place in np.linspace(0, len(members) - 1, share).round().astype(int)]
    return chosen


def small(image: ScoredImage) -> ScoredImage:
    """The image with its picture as small as the report shows it; one that is smaller than that, and not whole, stays a file."""
    sample = image.sample
    if sample is None:
        return image
    # A copy: a map is a part of its batch's, which would stay in memory with it.
    result = None if image.result is None else replace(image.result, anomaly_image=image.result.anomaly_image.copy())
    is_whole = sample.image.shape[:2] == (sample.original_height, sample.original_width)
    if not is_whole and max(sample.image.shape[:2]) < PICTURE_SIDE:
        return replace(image, sample=None, result=result)
    return replace(image, sample=replace(sample, image=shrink(sample.image)), result=result)
