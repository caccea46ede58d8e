"""Variation of good parts that the training images lack: flipped, rotated, brighter copies of them. Off by default.

HALCON's anomaly detection augments nothing: variation must be in the data. A copy teaches that its variation is ok. So
do not ask for a variation that a defect could look like (a part mounted upside down, a lamp that fails).
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.training.augmentation import Augmentation

Picture = NDArray[np.uint8]


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
    flips = augmentation.flips
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
