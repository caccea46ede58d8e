"""Paints one defect into an ok picture: five kinds, each made from the picture itself or from a shade.

They need not look like real defects. Their purpose is to choose a detector: one that separates them from ok pictures of parts that it has
not seen is a good choice for real defects of the same parts. After Li et al., "CutPaste" (CVPR 2021: a piece of the picture
elsewhere, a scar), and Zavrtanik et al., "DRAEM" (ICCV 2021: irregular blots).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.errors import DatasetError
from trainer.synthesis.spots import Cells, Picture, Spot, draw_blob, draw_line, draw_place, structure_of

DefectKind = Literal["displaced", "scar", "blot", "blurred", "missing"]
"""A piece of the same picture, a thin line, a spot that is lighter or darker, a blurred spot, a piece that is gone."""

DEFECT_KINDS: Final[tuple[DefectKind, ...]] = get_args(DefectKind)

LEAST_SIDE: Final = 16
"""Pixels; a defect in a smaller picture would be a pixel or two."""

_TRIES: Final = 12
_LEAST_CHANGE: Final = 6.0
"""Mean change of the gray values inside a defect, out of 255; a fainter defect is painted anew, elsewhere."""
_LEAST_CONTRAST: Final = 64.0
"""Gray values between a spot and the white or black that it is shaded towards."""


class Defect(NamedTuple):
    """A picture with a defect.

    Attributes:
        picture: Of the shape of the ok one, uint8.
        mask: (H, W) bool, True where the defect is.
        kind: Of the defect.
    """

    picture: Picture
    mask: NDArray[np.bool_]
    kind: DefectKind


def add_defect(
    picture: Picture, kind: DefectKind, *, seed: int, index: int, inside: NDArray[np.bool_] | None = None
) -> Defect:
    """Paint one defect where the picture has structure.

    Where nothing of this kind would show, such as a blurred spot in an even surface, a blot is painted instead.

    Args:
        picture: (H, W) gray or (H, W, 3) RGB uint8, at least 16 pixels a side; left as it is.
        kind: What to paint.
        seed: Of the choice; with `index` and the kind it decides place, size and shade.
        index: Of the picture among those that get defects.
        inside: (H, W), True where the defect may lie, such as in the region of interest; None allows the whole picture.

    Raises:
        DatasetError: The picture is smaller than that, or no pixel is allowed.
    """
    height, width = picture.shape[:2]
    if min(height, width) < LEAST_SIDE:
        raise DatasetError(
            f"a picture of {width} x {height} pixels is too small for a synthetic defect; give pictures with sides of "
            f"at least {LEAST_SIDE} pixels"
        )
    random = np.random.default_rng([seed, index, DEFECT_KINDS.index(kind)])
    try:
        structure = structure_of(picture, inside)
    except ValueError as error:
        raise DatasetError(f"no synthetic defect can be painted: {error}") from error
    best: tuple[float, Defect] | None = None
    for trial in range(2 * _TRIES):
        tried = _painted(picture, kind if trial < _TRIES else "blot", structure, inside, random)
        if best is None or tried[0] > best[0]:
            best = tried
        if best[0] >= _LEAST_CHANGE:
            break
    if best is None or not best[1].mask.any():
        raise DatasetError("no synthetic defect can be painted: the area where it may be is too small")
    return best[1]


def _painted(
    picture: Picture,
    kind: DefectKind,
    structure: Cells,
    inside: NDArray[np.bool_] | None,
    random: np.random.Generator,
) -> tuple[float, Defect]:
    """One try: its mean change of the gray values, and the defect."""
    shape = (picture.shape[0], picture.shape[1])
    spot = (draw_line if kind == "scar" else draw_blob)(shape, structure, random)
    if inside is not None:
        spot = spot._replace(weight=spot.weight * inside[spot.window])
    before = picture[spot.window].astype(np.float32)
    changed = _PAINTERS[kind](picture, spot, structure, random).astype(np.float32)
    weight = spot.weight if picture.ndim == 2 else spot.weight[..., None]  # noqa: PLR2004 - gray
    made, mask = picture.copy(), np.zeros(shape, np.bool_)
    made[spot.window] = np.rint(before + weight * (changed - before)).clip(0, 255).astype(np.uint8)
    mask[spot.window] = spot.core
    change = np.abs(made[spot.window].astype(np.float32) - before)[spot.core]
    return float(change.mean()) if change.size else 0.0, Defect(made, mask, kind)


def _displaced(picture: Picture, spot: Spot, structure: Cells, random: np.random.Generator) -> Picture:
    """Another piece of the same picture, perhaps turned."""
    x, y = draw_place((picture.shape[0], picture.shape[1]), structure, random)
    turn = np.asarray(cv2.getRotationMatrix2D((x, y), float(random.choice([0, 90, 180, 270])), 1.0), dtype=np.float64)
    height, width = spot.weight.shape
    turn[:, 2] += (spot.left + width / 2 - x, spot.top + height / 2 - y)
    return _warped(picture, turn, spot)


def _shaded(picture: Picture, spot: Spot, _: Cells, random: np.random.Generator) -> Picture:
    """Lighter or darker: on the way to white or black, whichever is far enough."""
    strength = random.uniform(0.15, 0.5)
    end = 255.0 if random.random() < 0.5 else 0.0  # noqa: PLR2004 - an even chance
    before = picture[spot.window].astype(np.float32)
    if abs(end - float(before.mean())) < _LEAST_CONTRAST:
        end = 255.0 - end
    return np.rint(before + strength * (end - before)).astype(np.uint8)


def _blurred(picture: Picture, spot: Spot, _: Cells, random: np.random.Generator) -> Picture:
    sigma = max(1.0, spot.diameter * random.uniform(0.15, 0.4))
    return _smoothed(picture, spot, sigma)


def _missing(picture: Picture, spot: Spot, _: Cells, random: np.random.Generator) -> Picture:
    """What lies on one side of the spot takes its place, as where a piece has broken off."""
    size = spot.diameter + 2
    direction = random.uniform(0, 2 * np.pi)
    shift = 1.2 * size * np.array([np.cos(direction), np.sin(direction)])
    moved = _warped(picture, np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]]), spot)
    return np.asarray(cv2.GaussianBlur(moved, (0, 0), max(0.8, size / 8)), dtype=np.uint8)


def _smoothed(picture: Picture, spot: Spot, sigma: float) -> Picture:
    """The window, blurred together with what is around it."""
    margin = int(np.ceil(3 * sigma))
    rows, columns = spot.window
    top, left = max(0, rows.start - margin), max(0, columns.start - margin)
    around = np.ascontiguousarray(picture[top : rows.stop + margin, left : columns.stop + margin])
    blurred = np.asarray(cv2.GaussianBlur(around, (0, 0), sigma), dtype=np.uint8)
    height, width = spot.weight.shape
    return blurred[rows.start - top :, columns.start - left :][:height, :width]


def _warped(picture: Picture, matrix: NDArray[np.float64], spot: Spot) -> Picture:
    """The window of the picture that is moved by a (2, 3) matrix; what lies outside is mirrored in."""
    moved = matrix.copy()
    moved[:, 2] -= (spot.left, spot.top)
    height, width = spot.weight.shape
    found = cv2.warpAffine(
        np.ascontiguousarray(picture), moved, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(found, dtype=np.uint8)


_Painter = Callable[[Picture, Spot, Cells, np.random.Generator], Picture]
_PAINTERS: Final[dict[DefectKind, _Painter]] = {
    "displaced": _displaced,
    "scar": _shaded,
    "blot": _shaded,
    "blurred": _blurred,
    "missing": _missing,
}
