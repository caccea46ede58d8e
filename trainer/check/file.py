"""The file that `trainer check --out` writes: where it may be, and the pictures that it shows."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.files import write_file
from trainer.check.run import Checked
from trainer.check.selection import Shown, sheet_groups
from trainer.check.sheet import TILE, draw_sheet, render_page
from trainer.dataset.read import OpenedListing
from trainer.display.picture import outline_mask, shrink, write_png
from trainer.errors import DatasetError, OutputError, TrainerError
from trainer.pictures.files import read_picture
from trainer.pictures.marks import read_marks
from trainer.settings.check import CheckSettings

_MEND = "give another file to --out"
_UNREAD: Final[NDArray[np.uint8]] = (np.indices((TILE // 2, TILE, 3)).sum(axis=0) // 6 % 2 * 40 + 190).astype(np.uint8)
"""Stands for a picture that cannot be read any more."""


def check_target(settings: CheckSettings) -> None:
    """Refuse, before any image is opened, a place where no sheet can be written.

    Raises:
        OutputError: The file is there already, or is a folder, or its folder is not there.
    """
    target = settings.out
    if target is None:
        return
    try:
        if target.is_dir():
            raise OutputError(f"{target} is a folder; {_MEND}")
        if target.exists() and not settings.overwrite:
            raise OutputError(f"{target} already exists; {_MEND}, or pass --overwrite")
        if not target.parent.is_dir():
            raise OutputError(f"the folder of {target} does not exist; create it, or {_MEND}")
    except OSError as error:
        raise OutputError.unwritable(target, error, mend=_MEND) from error


def write_sheet(target: Path, checked: Checked) -> None:
    """Write the sheet as PNG, or a page with it, as the file's suffix says.

    Raises:
        OutputError: The file cannot be written, or would replace an image.
    """
    opened = checked.opened
    groups = [] if opened is None else sheet_groups(checked.result.facts, checked.result.oddities)

    def thumbnail(shown: Shown) -> NDArray[np.uint8]:
        if opened is None:
            return _UNREAD
        return _thumbnail(opened, shown)

    if opened is not None:
        images = {(opened.listing.image_dir / image.name).resolve() for image in opened.listing.images}
        if target.resolve() in images:
            raise OutputError(f"the sheet {target} would overwrite an image; {_MEND}")
    if target.suffix.lower() == ".png":
        write_png(target, draw_sheet(checked.result, groups, thumbnail))
        return
    try:
        write_file(target, render_page(checked.result, groups, thumbnail).encode())
    except OSError as error:
        raise OutputError.unwritable(target, error, mend=_MEND) from error


def _thumbnail(opened: OpenedListing, shown: Shown) -> NDArray[np.uint8]:
    listing, image = opened.listing, shown.image
    try:
        picture = read_picture(listing.image_dir / image.name, apply_exif=opened.apply_exif).image
    except TrainerError:
        return _UNREAD
    shape = (picture.shape[0], picture.shape[1])
    small = _fitted(picture)
    if image.mask is not None:
        try:
            return outline_mask(small, read_marks(listing.anomaly_dir / image.mask, shape))
        except DatasetError:
            return small  # the check says what is wrong with it
    return small


def _fitted(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with its longest side as long as a tile, (H, W, 3): reduced, or enlarged so that one sees it."""
    factor = TILE / max(picture.shape[:2])
    small = shrink(picture, TILE)
    if factor > 1:
        size = (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))
        small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    return small if small.ndim == 3 else np.repeat(small[..., None], 3, axis=2).astype(np.uint8)  # noqa: PLR2004 - (H, W, 3)
