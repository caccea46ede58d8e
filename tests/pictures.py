"""Small pictures and masks on disk, for tests of what is read from folders; and parts that a model can learn."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

NEXT = itertools.count()


def picture(path: Path, *, size: tuple[int, int] = (12, 8), channels: int = 3, seed: int | None = None) -> Path:
    """Write a picture of noise, another one at each call unless a seed is given; size is (width, height)."""
    shape = (size[1], size[0], 3) if channels == 3 else (size[1], size[0])
    pixels = np.random.default_rng(next(NEXT) if seed is None else seed).integers(0, 256, shape, dtype=np.uint8)
    write(path, pixels)
    return path


def mask(path: Path, *, size: tuple[int, int] = (12, 8), value: int = 255) -> Path:
    """Write a mask that marks eight pixels."""
    pixels: NDArray[np.uint8] = np.zeros((size[1], size[0]), dtype=np.uint8)
    pixels[2:4, 5:9] = value
    write(path, pixels)
    return path


PART_SIDE = 96


def part(seed: int, *, defect: bool = False, moves: bool = False) -> NDArray[np.uint8]:
    """A disc on a bright ground, with noise, (96, 96, 3); a dark stroke is its defect. One that moves lies a little elsewhere."""
    random = np.random.default_rng(seed)
    pixels = np.full((PART_SIDE, PART_SIDE, 3), 200, dtype=np.uint8)
    middle = PART_SIDE // 2
    x, y = (int(v) for v in random.integers(middle - 2, middle + 3, 2)) if moves else (middle, middle)
    cv2.circle(pixels, (x, y), 30, (90, 140, 60), -1, cv2.LINE_AA)
    if defect:
        x, y = (int(v) for v in random.integers(30, 50, 2))
        cv2.line(pixels, (x, y), (x + 20, y + 14), (10, 10, 10), 5)
    noisy = pixels + random.normal(0, 4, pixels.shape)
    return noisy.clip(0, 255).astype(np.uint8)


def enlarged(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The picture as a square of another size."""
    return np.asarray(cv2.resize(pixels, (side, side)), dtype=np.uint8)


def stroke_mask(bad: NDArray[np.uint8], clean: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Where a part with a stroke differs from the same one without, as the pixels of a mask file."""
    return np.where(np.abs(bad.astype(int) - clean).max(axis=2) > 60, np.uint8(255), np.uint8(0))


def write(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write pixels (BGR) in the format that the file's name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
