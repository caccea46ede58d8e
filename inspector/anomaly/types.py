"""The domain's nouns, named as in HALCON's chapter: DLSample, DLResult, DLPreprocessParam, and what they hold.

In-memory types only; what crosses a wire is in `schemas`, what lies on a disk is in `bundle.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

AnomalyClass = Literal["ok", "nok"]
AnomalyClassId = Literal[0, 1]
ImageEncoding = Literal["jpeg", "png", "raw"]
PixelFormat = Literal["mono8", "mono16", "rgb8", "bgr8"]

CLASS_IDS: dict[AnomalyClass, AnomalyClassId] = {"ok": 0, "nok": 1}

SIZE_STEP = 32
"""Model input width and height are multiples of this: the deepest stride of the backbone."""

MAX_INPUT_SIZE = 1024

ASPECT_TOLERANCE = 0.02
"""Largest relative difference from the trained aspect ratio, in training and in service."""


class Parameters(BaseModel):
    """Base of every stored parameter object: frozen, unknown keys refused, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DLPreprocessParam(Parameters):
    """How a picture becomes the network's input; stored with the model, used alike by trainer and service.

    The decoder may reduce a JPEG while it decodes, by 2, 4 or 8, as long as neither side falls below
    `decode_margin` times the model's input; the rest is an antialiased bilinear resize to the input size (aspect not
    kept, as in HALCON: the trained geometry is checked instead), then (x - mean) / deviation for each channel.
    """

    model_type: Literal["anomaly_detection"] = "anomaly_detection"
    image_width: int = Field(ge=SIZE_STEP, le=MAX_INPUT_SIZE)
    image_height: int = Field(ge=SIZE_STEP, le=MAX_INPUT_SIZE)
    image_num_channels: Literal[3] = 3
    normalization_type: Literal["constant_values"] = "constant_values"
    mean_values_normalization: tuple[float, float, float] = (123.675, 116.28, 103.53)
    deviation_values_normalization: tuple[float, float, float] = (58.395, 57.12, 57.375)
    domain_handling: Literal["full_domain"] = "full_domain"
    decode_margin: float = Field(default=1.0, ge=1.0, le=8.0)

    @field_validator("image_width", "image_height")
    @classmethod
    def _multiple_of_step(cls, value: int) -> int:
        if value % SIZE_STEP:
            raise ValueError(f"must be a multiple of {SIZE_STEP}, got {value}")
        return value

    @field_validator("deviation_values_normalization")
    @classmethod
    def _positive(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(value) <= 0:
            raise ValueError(f"deviations must be positive, got {value}")
        return value

    @property
    def image_range_min(self) -> float:
        """Smallest value that the network is made for."""
        return -2.0

    @property
    def image_range_max(self) -> float:
        """Largest value that the network is made for."""
        return 2.0

    @property
    def input_size(self) -> tuple[int, int]:
        """(width, height) of the network's input in pixels."""
        return self.image_width, self.image_height


class ImageGeometry(Parameters):
    """Size and channels of the pictures that a model was trained with."""

    width: int = Field(gt=0)
    height: int = Field(gt=0)
    channels: Literal[1, 3]

    def fits_aspect(self, width: int, height: int) -> bool:
        """Whether a picture of this size has the trained aspect, within `ASPECT_TOLERANCE` in either direction."""
        ratio = (width * self.height) / (height * self.width)
        return 1 / (1 + ASPECT_TOLERANCE) <= ratio <= 1 + ASPECT_TOLERANCE


class Thresholds(Parameters):
    """Scores from which on an image (`classification`) or a pixel (`segmentation`) is nok; `min_area` in original pixels.

    A threshold of 1 can never be reached (scores lie in [0, 1)), so it is refused.
    """

    classification: float = Field(gt=0.0, lt=1.0)
    segmentation: float = Field(gt=0.0, lt=1.0)
    min_area: int = Field(default=1, ge=1)


@dataclass(slots=True)
class DLSample:
    """One picture as the decoder gives it, with what is known about it.

    Attributes:
        image: (H, W) gray or (H, W, 3) RGB, uint8, perhaps decoded at reduced scale.
        original_width: Width in pixels as the camera took it.
        original_height: Height in pixels as the camera took it.
        channels: 1 or 3, as encoded.
    """

    image: NDArray[np.uint8]
    original_width: int
    original_height: int
    channels: Literal[1, 3]
    image_id: int | str | None = None
    image_file_name: str | None = None
    image_label: AnomalyClass | None = None
    anomaly_file_name: str | None = None


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
    """All pixels at or above the segmentation threshold, in original pixels.

    Attributes:
        width: Width of the picture.
        height: Height of the picture.
        area: Number of pixels in the region.
        counts: COCO compressed run-length code of the whole region, column by column.
        components: The largest 8-connected components (at most `region.MAX_COMPONENTS`), largest first.
        num_components: How many there are in all.
    """

    width: int
    height: int
    area: int
    counts: bytes
    components: tuple[RegionComponent, ...]
    num_components: int


@dataclass(slots=True)
class DLResult:
    """What a model says of one picture; `threshold_dl_anomaly_results` adds the verdict to it, as in HALCON.

    Attributes:
        anomaly_score: In [0, 1), float64; not finite where the network failed, which makes the picture nok.
        anomaly_image: (image_height, image_width) of the model, float32, in [0, 1).
    """

    anomaly_score: float
    anomaly_image: NDArray[np.float32]
    anomaly_class: AnomalyClass | None = None
    anomaly_class_id: AnomalyClassId | None = None
    anomaly_region: AnomalyRegion | None = None
    classification_threshold: float | None = None
    segmentation_threshold: float | None = None


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

    @model_validator(mode="after")
    def _usable(self) -> ScoreScale:
        if not 1e-30 < self.s < 1e30:  # noqa: PLR2004 - outside, float32 maps would under- or overflow
            raise ValueError(f"scale {self.s} is outside what float32 maps can hold")
        return self
