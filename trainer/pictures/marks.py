"""The anomalous pixels of an image: from one mask file, or from a folder of several that are combined, as in MVTec LOCO AD."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trainer.errors import DatasetError
from trainer.formats.known import IMAGE_SUFFIXES
from trainer.pictures.files import read_mask_file
from trainer.wording import as_percent, some

_MOST: Final = 0.5
"""Of a picture, and of the masks: a defect seldom covers more, and never in most images."""


def mask_files(mask: Path) -> list[Path]:
    """The files of a mask: itself, or those in the folder that it is."""
    if not mask.is_dir():
        return [mask]
    return sorted(p for p in mask.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))


def read_marks(mask: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels that any file of the mask marks with a value above 0, (height, width) as in `shape`.

    Raises:
        DatasetError: A file cannot be read, is no mask, or of another size than the image; or there is none any more.
    """
    files = mask_files(mask)
    if not files:
        raise DatasetError(
            f"mask {mask} is a folder without any picture; put the masks of its image into it, or remove it"
        )
    marked = read_mask_file(files[0], shape)
    for file in files[1:]:
        marked = marked | read_mask_file(file, shape)
    return marked


def inversion_note(shares: Iterable[tuple[str, float]]) -> str | None:
    """What to say where most masks mark most of their picture: black and white may have been exchanged.

    Args:
        shares: Name of each nok image's mask, and the share of the picture that it marks.
    """
    shares = list(shares)
    large = [(name, share) for name, share in shares if share > _MOST]
    if len(large) <= _MOST * len(shares):
        return None
    named = some(f"{name}: {as_percent(share)}" for name, share in large)
    return (
        f"{len(large)} of {len(shares)} masks mark more than half of their picture ({named}); pixels above 0 are "
        "taken as the defect; if yours mark the good part, swap black and white, otherwise the pixel measures are "
        "meaningless"
    )
