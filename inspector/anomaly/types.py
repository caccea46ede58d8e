"""The data types, named as in HALCON's chapter: DLSample, DLResult, and their parts.

In-memory types only; what crosses a wire is in `schemas`, what lies on a disk is in `model/bundle.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from inspector.anomaly.choices import AnomalyClass, GeometryRule
from inspector.anomaly.domain.domain import ASPECT_TOLERANCE, DomainView, ImageDomain, PixelBox
from inspector.anomaly.errors import GeometryError
from inspector.anomaly.parameters import Parameters

if TYPE_CHECKING:
    from torch import Tensor

AnomalyClassId = Literal[0, 1]
ImageEncoding = Literal["jpeg", "png", "raw"]
PixelFormat = Literal["mono8", "mono16", "rgb8", "bgr8"]

CLASS_IDS: dict[AnomalyClass, AnomalyClassId] = {"ok": 0, "nok": 1}


class ImageGeometry(Parameters):
    """Size and channels of the typical picture that a model was trained with, and which others it takes.

    Attributes:
        width: Of the picture whose aspect is the median, pixels.
        height: Of that picture, pixels.
        channels: Of every picture, whatever the rule.
        rule: `one-camera`: pictures of this aspect only. `any`: of any size and aspect, as parts are that were cropped to
            their own size; each is resized to the network's input. Stored where it is not the default alone, so that
            a program that knows nothing of rules reads every bundle that it can use, and refuses the others.
    """

    width: int = Field(gt=0)
    height: int = Field(gt=0)
    channels: Literal[1, 3]
    rule: GeometryRule = Field(default="one-camera", exclude_if=lambda rule: rule == "one-camera")

    def fits_aspect(self, width: int, height: int) -> bool:
        """Whether the rule takes a picture of this size; `one-camera` the trained aspect, within `ASPECT_TOLERANCE` either way."""
        if self.rule == "any":
            return True
        ratio = (width * self.height) / (height * self.width)
        return 1 / (1 + ASPECT_TOLERANCE) <= ratio <= 1 + ASPECT_TOLERANCE

    def fits_size(self, width: int, height: int) -> bool:
        """Whether the rule takes a picture of this size in its own scale; `one-camera` the trained size, within the same tolerance."""
        ratio = math.sqrt(width * height / (self.width * self.height))
        return self.rule == "any" or 1 / (1 + ASPECT_TOLERANCE) <= ratio <= 1 + ASPECT_TOLERANCE

    def check_domain(self, domain: ImageDomain | None) -> None:
        """Refuse a region of interest that does not lie in these pictures.

        Raises:
            GeometryError: It was drawn on a picture of another aspect, or the pictures have none in common.
        """
        if domain is None:
            return
        if self.rule == "any":
            raise GeometryError(
                "a domain can be used with geometry one-camera only: in pictures of different sizes it would be at a "
                "different place in each; leave out the domain, or use pictures of one camera"
            )
        domain.check_size(self.width, self.height)

    def cropped(self, domain: ImageDomain | None) -> ImageGeometry:
        """The geometry of the domain's bounding box; of the whole picture without a domain."""
        if domain is None:
            return self
        box = domain.box(self.width, self.height)
        return ImageGeometry(width=box.width, height=box.height, channels=self.channels)


class Thresholds(Parameters):
    """Scores from which on an image (`classification`) or a pixel (`segmentation`) is nok; `min_area` in original pixels.

    A threshold of 1 can never be reached (scores lie in [0, 1)), so it is refused.
    """

    classification: float = Field(gt=0.0, lt=1.0)
    segmentation: float = Field(gt=0.0, lt=1.0)
    min_area: int = Field(default=1, ge=1)


@dataclass(slots=True)
class DLSample:
    """One picture as the decoder returns it, with what is known about it.

    Attributes:
        image: (H, W) gray or (H, W, 3) RGB, uint8, perhaps reduced by the decoder; of no pixel in a sample that was
            read back from a cache, which holds `preprocessed` only.
        original_width: Width in pixels as the camera took it.
        original_height: Height in pixels as the camera took it.
        channels: 1 or 3, as encoded.
        orientation: EXIF's flag that the pixels were turned upright by; 1 where that was not asked for, or nothing to do.
        anomaly_ground_truth: (original_height, original_width) bool, True where anomalous; once preprocessed in the size
            of the network's input. None where unknown.
        preprocessed: (3, image_height, image_width) float32, the network's input; `preprocess_dl_samples` sets it.
        preprocess_digest: `DLPreprocessParam.digest` of the parameters that made `preprocessed`.
    """

    image: NDArray[np.uint8]
    original_width: int
    original_height: int
    channels: Literal[1, 3]
    image_id: int | str | None = None
    image_file_name: str | None = None
    image_label: AnomalyClass | None = None
    anomaly_file_name: str | None = None
    anomaly_ground_truth: NDArray[np.bool_] | None = None
    preprocessed: Tensor | None = None
    preprocess_digest: str | None = None
    orientation: int = 1


@dataclass(frozen=True, slots=True)
class RegionComponent:
    """One connected part of a region, in original pixels; `max_score` is the highest map value inside."""

    x: int
    y: int
    width: int
    height: int
    area: int
    max_score: float


@dataclass(frozen=True, slots=True)
class AnomalyRegion:
    """All pixels at or above the segmentation threshold but for halos of stronger ones (`verdict.halo`).

    In original pixels, or in pixels of the map if requested.

    Attributes:
        width: Width of the picture.
        height: Height of the picture.
        area: Number of pixels in the region.
        counts: COCO compressed run-length code of the whole region, column by column.
        components: The largest 8-connected components (at most `region.MAX_COMPONENTS`), largest first.
        num_components: Their total number.
    """

    width: int
    height: int
    area: int
    counts: bytes
    components: tuple[RegionComponent, ...]
    num_components: int


@dataclass(slots=True)
class DLResult:
    """A model's result for one picture; `threshold_dl_anomaly_results` adds the verdict, as in HALCON.

    Attributes:
        anomaly_score: In [0, 1), float64; not finite where the network failed, which makes the picture nok.
        anomaly_image: (image_height, image_width) of the model, float32, in [0, 1); of a model with tiles in the picture's own
            size, or as much of that as `DLPreprocessParam.map_size` says. Of the whole picture, or with
            `crop_domain` of the box that it shows. 0 outside the model's domain.
        view: How the model looks at its domain; None where everything counts.
    """

    anomaly_score: float
    anomaly_image: NDArray[np.float32]
    anomaly_class: AnomalyClass | None = None
    anomaly_class_id: AnomalyClassId | None = None
    anomaly_region: AnomalyRegion | None = None
    classification_threshold: float | None = None
    segmentation_threshold: float | None = None
    view: DomainView | None = None

    def box(self, width: int, height: int) -> PixelBox:
        """Where `anomaly_image` lies in the picture of this size, in its pixels; give the size as taken or any other."""
        return PixelBox(0, 0, width, height) if self.view is None else self.view.box(width, height)


_BELOW_1 = math.nextafter(1.0, 0.0)


class ScoreScale(Parameters):
    """x / (x + s): brings raw distances to [0, 1) and never loses their order (s > 0, in units of the distance)."""

    s: float = Field(gt=0.0)

    def to_score(self, distance: float) -> float:
        """Return the score of a raw distance; float64, NaN and infinity stay not finite."""
        # Beyond 1e16 times the scale the quotient rounds to 1, which no score may be; min() lets NaN through.
        return min(distance / (distance + self.s), _BELOW_1)

    def to_distance(self, score: float) -> float:
        """Return the raw distance that has this score; the inverse of `to_score`."""
        return self.s * score / (1.0 - score)

    def map_to_distances(self, anomaly_image: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the raw distance of each pixel of a map, which is float32: to 1e-7 of itself and of the scale."""
        values = anomaly_image.astype(np.float64)
        distances: NDArray[np.float64] = self.s * values / (1.0 - values)
        return distances

    @model_validator(mode="after")
    def _usable(self) -> ScoreScale:
        if not 1e-30 < self.s < 1e30:  # noqa: PLR2004 - outside, float32 maps would under- or overflow
            raise ValueError(f"scale {self.s} is outside the range of float32 maps")
        return self
