"""All images of a data set are of one camera: what its typical picture is, and which images are none of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from inspector.anomaly.domain.domain import ASPECT_TOLERANCE
from inspector.anomaly.types import ImageGeometry
from trainer.errors import DatasetError
from trainer.wording import some


def typical_geometry(pictures: Iterable[ImageGeometry]) -> ImageGeometry:
    """Size and channels of the typical picture: the one whose aspect is the median, and the channels of most.

    Raises:
        DatasetError: There is no picture.
    """
    ordered = sorted(pictures, key=lambda picture: (picture.width / picture.height, picture.width))
    if not ordered:
        raise DatasetError("no ok image to learn from")
    channels = Counter(picture.channels for picture in ordered).most_common(1)[0][0]
    middle = ordered[len(ordered) // 2]
    return ImageGeometry(width=middle.width, height=middle.height, channels=channels)


def check_one_camera(pictures: Iterable[tuple[str, ImageGeometry]], typical: ImageGeometry) -> None:
    """Refuse pictures of other channels, or of an aspect that differs by more than 2 %.

    Args:
        pictures: Each with its name.
        typical: The typical ok picture.

    Raises:
        DatasetError: Names the strangers and the mend.
    """
    pictures = list(pictures)
    strangers = [name for name, picture in pictures if picture.channels != typical.channels]
    if strangers:
        kind = "gray" if typical.channels == 1 else "colour"
        raise DatasetError(
            f"most ok images are {kind}, but these are not: {some(strangers)}; "
            "convert or remove them, a model is fitted to one camera"
        )
    strangers = [
        f"{name} ({picture.width}x{picture.height})"
        for name, picture in pictures
        if not typical.fits_aspect(picture.width, picture.height)
    ]
    if strangers:
        raise DatasetError(
            f"the typical ok image has {typical.width}x{typical.height} pixels, the aspect of these differs by more "
            f"than {ASPECT_TOLERANCE:.0%}: {some(strangers)}; crop or remove them, a model is fitted to one camera"
        )
