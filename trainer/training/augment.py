"""Acceptable variation that the training images lack: flipped, rotated, brighter copies of them. Off by default.

HALCON's anomaly detection augments nothing: what may vary must be in the data. A copy teaches that its variation is ok, so
ask for none that a defect could look like (a part mounted upside down, a lamp that fails).
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from inspector.anomaly.parameters import Parameters

Picture = NDArray[np.uint8]


class Augmentation(Parameters):
    """How copies differ from their image.

    Attributes:
        flip_horizontal: Copies may be mirrored left to right.
        flip_vertical: Copies may be mirrored top to bottom.
        rotation_degrees: Each is turned about its middle by up to so much, either way.
        brightness: Each is brighter or darker by up to this share.
        copies: Of each training image, beside the image itself.
    """

    flip_horizontal: bool = False
    flip_vertical: bool = False
    rotation_degrees: float = Field(default=0.0, ge=0.0, le=180.0)
    brightness: float = Field(default=0.0, ge=0.0, lt=1.0)
    copies: int = Field(default=1, ge=1, le=50)

    @model_validator(mode="after")
    def _varies(self) -> Augmentation:
        if not (self.flip_horizontal or self.flip_vertical or self.rotation_degrees or self.brightness):
            raise ValueError(
                "an augmentation without flip, rotation or brightness makes equal copies; give one of them, or none"
            )
        return self

    @property
    def _flips(self) -> list[tuple[bool, bool]]:
        """The ways to mirror: the image as it is only where something else makes the copy differ."""
        ways = [
            (horizontal, vertical)
            for horizontal in ((False, True) if self.flip_horizontal else (False,))
            for vertical in ((False, True) if self.flip_vertical else (False,))
        ]
        return ways if self.rotation_degrees or self.brightness else ways[1:]


def augment(picture: Picture, augmentation: Augmentation, *, seed: int, index: int) -> list[Picture]:
    """Return the copies of a decoded picture, before any preprocessing.

    Corners that a rotation uncovers are filled by mirroring.

    Args:
        picture: (H, W) gray or (H, W, 3) RGB uint8.
        augmentation: What to vary.
        seed: Of the training.
        index: Of the image in the training; with the seed it decides the draws, whatever order images come in.

    Returns:
        `augmentation.copies` pictures of the same shape, uint8.
    """
    random = np.random.default_rng([seed, index])
    return [_copy(picture, augmentation, random) for _ in range(augmentation.copies)]


def _copy(picture: Picture, augmentation: Augmentation, random: np.random.Generator) -> Picture:
    flips = augmentation._flips  # noqa: SLF001 - this module's own
    horizontal, vertical = flips[int(random.integers(len(flips)))]
    made = picture[:: -1 if vertical else 1, :: -1 if horizontal else 1]
    if augmentation.rotation_degrees:
        made = _rotated(made, random.uniform(-1, 1) * augmentation.rotation_degrees)
    if augmentation.brightness:
        factor = 1 + random.uniform(-1, 1) * augmentation.brightness
        made = np.rint(made * factor).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(made)


def _rotated(picture: Picture, degrees: float) -> Picture:
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), math.remainder(degrees, 360), 1.0)
    found = cv2.warpAffine(
        np.ascontiguousarray(picture), turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(found, dtype=np.uint8)
