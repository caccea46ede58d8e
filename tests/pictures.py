"""Small pictures and masks on disk, for tests of what is read from folders."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

NEXT = itertools.count()


def picture(path: Path, *, size: tuple[int, int] = (12, 8), channels: int = 3, seed: int | None = None) -> Path:
    """Write a picture of noise, another one at each call unless a seed is given; size is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], 3) if channels == 3 else (size[1], size[0])
    pixels = np.random.default_rng(next(NEXT) if seed is None else seed).integers(0, 256, shape, dtype=np.uint8)
    assert cv2.imwrite(str(path), pixels)
    return path


def mask(path: Path, *, size: tuple[int, int] = (12, 8), value: int = 255) -> Path:
    """Write a mask that marks eight pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels: NDArray[np.uint8] = np.zeros((size[1], size[0]), dtype=np.uint8)
    pixels[2:4, 5:9] = value
    assert cv2.imwrite(str(path), pixels)
    return path
