"""Where a synthetic defect lies, and its outline: spots and thin lines with soft edges, drawn where a picture has structure."""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

LEAST_SIZE: Final = 0.03
"""Least diameter of a defect, as a share of the picture's short side."""
MOST_SIZE: Final = 0.12
"""Largest diameter of a spot; a line is up to three times as long."""

_LEAST_DIAMETER: Final = 3.0
"""Pixels; a smaller spot would be less than what an outline can hold."""
_CORNERS: Final = 9
_STEPS: Final = 5
"""Straight pieces of a bent line."""
_CELLS: Final = 48
"""Cells along the picture's long side, in each of which the structure is measured."""
_EVEN_SHARE: Final = 0.02
"""Weight of a cell without structure, as a share of the weight of the cell with the most."""

Picture = NDArray[np.uint8]
Cells = NDArray[np.float64]


class Spot(NamedTuple):
    """A soft-edged shape in a window of a picture.

    Attributes:
        weight: (h, w) float32 from 0 to 1, of the window alone.
        left: Column of the window's first pixel.
        top: Row of the window's first pixel.
    """

    weight: NDArray[np.float32]
    left: int
    top: int

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the window, to index the picture with."""
        height, width = self.weight.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    @property
    def core(self) -> NDArray[np.bool_]:
        """(h, w), True where the weight is more than one half."""
        return np.asarray(self.weight > 0.5)  # noqa: PLR2004 - half

    @property
    def diameter(self) -> float:
        """Of a disc of the same area, pixels."""
        return 2 * float(np.sqrt(self.core.sum() / np.pi))


def structure_of(picture: Picture, inside: NDArray[np.bool_] | None = None) -> Cells:
    """(rows, columns) of cells: the probability that a defect is placed there, by the deviation of the gray values.

    Args:
        picture: (H, W) gray or (H, W, 3) RGB uint8.
        inside: (H, W), True where a defect may lie; None allows the whole picture.

    Raises:
        ValueError: No pixel is allowed.
    """
    gray = (picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)).astype(np.float32)  # noqa: PLR2004 - gray
    height, width = gray.shape
    scale = min(1.0, _CELLS / max(height, width))
    cells = (max(1, round(width * scale)), max(1, round(height * scale)))
    mean = cv2.resize(gray, cells, interpolation=cv2.INTER_AREA)
    square = cv2.resize(gray**2, cells, interpolation=cv2.INTER_AREA)
    deviation = np.sqrt(np.maximum(square - mean**2, 0)).astype(np.float64)
    weights = deviation + _EVEN_SHARE * deviation.max() + 1e-6
    if inside is not None:
        weights = weights * cv2.resize(inside.astype(np.float64), cells, interpolation=cv2.INTER_AREA)
    if not weights.sum() > 0:
        raise ValueError("there is no pixel where a defect may be painted")
    return np.asarray(weights / weights.sum())


def draw_place(shape: tuple[int, int], structure: Cells, random: np.random.Generator) -> tuple[float, float]:
    """Draw (x, y) in pixels of a picture of `shape`, (height, width), by its structure."""
    rows, columns = structure.shape
    row, column = divmod(int(random.choice(structure.size, p=structure.ravel())), columns)
    height, width = shape
    return (column + random.random()) * width / columns, (row + random.random()) * height / rows


def draw_blob(shape: tuple[int, int], structure: Cells, random: np.random.Generator) -> Spot:
    """Draw an irregular spot, for a picture of `shape`, (height, width)."""
    x, y = draw_place(shape, structure, random)
    radius = max(_LEAST_DIAMETER, _draw_diameter(shape, random)) / 2
    angles = np.sort(random.uniform(0, 2 * np.pi, _CORNERS))
    stretch, turn = random.uniform(0.6, 1.0), random.uniform(0, np.pi)
    radii = radius * random.uniform(0.6, 1.2, _CORNERS)
    along, across = radii * np.cos(angles), radii * np.sin(angles) * stretch
    corners = np.stack(
        [x + along * np.cos(turn) - across * np.sin(turn), y + along * np.sin(turn) + across * np.cos(turn)], axis=1
    )
    return _spot(corners, shape, softness=radius / 8)


def draw_line(shape: tuple[int, int], structure: Cells, random: np.random.Generator) -> Spot:
    """Draw a thin bent line, for a picture of `shape`, (height, width)."""
    x, y = draw_place(shape, structure, random)
    length = _draw_diameter(shape, random) * random.uniform(1.5, 3.0)
    thickness = max(1, round(min(shape) * random.uniform(0.004, 0.012)))
    heading = random.uniform(0, 2 * np.pi) + np.cumsum(random.normal(0, 0.35, _STEPS))
    points = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=1) * length / _STEPS, axis=0)
    return _spot(points + np.array([x, y]) - points.mean(axis=0), shape, softness=thickness / 6, thickness=thickness)


def _draw_diameter(shape: tuple[int, int], random: np.random.Generator) -> float:
    """Small ones are as frequent as large ones: uniform in the logarithm."""
    return float(min(shape) * np.exp(random.uniform(np.log(LEAST_SIZE), np.log(MOST_SIZE))))


def _spot(corners: NDArray[np.float64], shape: tuple[int, int], *, softness: float, thickness: int = 0) -> Spot:
    """Fill a polygon, or draw a line where there is a thickness, in the smallest window that holds it."""
    margin = int(np.ceil(3 * softness)) + thickness + 1
    height, width = shape
    left, top = (int(np.clip(corners[:, axis].min() - margin, 0, size)) for axis, size in ((0, width), (1, height)))
    right, bottom = (
        int(np.clip(np.ceil(corners[:, axis].max()) + margin, 0, size)) for axis, size in ((0, width), (1, height))
    )
    weight = np.zeros((max(bottom - top, 1), max(right - left, 1)), np.float32)
    points = np.rint(corners - np.array([left, top])).astype(np.int32)
    if thickness:
        cv2.polylines(weight, [points], isClosed=False, color=1.0, thickness=thickness)
    else:
        cv2.fillPoly(weight, [points], 1.0)
    if softness >= 0.3:  # noqa: PLR2004 - less than a pixel's own blur
        weight = cv2.GaussianBlur(weight, (0, 0), softness).astype(np.float32)
    return Spot(weight, min(left, width - 1), min(top, height - 1))
