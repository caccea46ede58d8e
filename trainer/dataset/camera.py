"""The geometry of a data set: its typical picture, and which images do not fit it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import get_args

from inspector.anomaly.choices import GeometryRule
from inspector.anomaly.domain.domain import ASPECT_TOLERANCE
from inspector.anomaly.types import ImageGeometry
from trainer.errors import DatasetError
from trainer.wording import some


def check_rule(rule: str) -> None:
    """Refuse a word that is not a rule.

    Raises:
        DatasetError: Says which there are.
    """
    if rule not in get_args(GeometryRule):
        raise DatasetError(f"geometry_rule is {rule!r}; give {' or '.join(get_args(GeometryRule))}")


def typical_geometry(pictures: Iterable[ImageGeometry], rule: GeometryRule = "one-camera") -> ImageGeometry:
    """Size and channels of the typical picture: the one whose aspect is the median, and the channels of most.

    Args:
        pictures: Those to learn from.
        rule: Which others go with it.

    Raises:
        DatasetError: There is no picture, or no such rule.
    """
    check_rule(rule)
    ordered = sorted(pictures, key=lambda picture: (picture.width / picture.height, picture.width))
    if not ordered:
        raise DatasetError("there is no ok image to train on")
    channels = Counter(picture.channels for picture in ordered).most_common(1)[0][0]
    middle = ordered[len(ordered) // 2]
    return ImageGeometry(width=middle.width, height=middle.height, channels=channels, rule=rule)


def check_geometries(pictures: Iterable[tuple[str, ImageGeometry]], typical: ImageGeometry) -> None:
    """Refuse pictures of other channels and, where they are to be of one camera, of an aspect that differs by more than 2 %.

    Args:
        pictures: Each with its name.
        typical: The typical ok picture, and the rule.

    Raises:
        DatasetError: Names them and says what to do.
    """
    pictures = list(pictures)
    strangers = [name for name, picture in pictures if picture.channels != typical.channels]
    if strangers:
        kind = "gray" if typical.channels == 1 else "colour"
        taken = "one camera" if typical.rule == "one-camera" else f"{kind} images alone"
        raise DatasetError(
            f"most ok images are {kind}, but these are not: {some(strangers)}; convert or remove them, because a "
            f"model is trained on {taken}"
        )
    strangers = _strangers(pictures, typical.fits_aspect)
    if strangers:
        raise DatasetError(
            f"the typical ok image has {typical.width}x{typical.height} pixels, the aspect of these differs by more "
            f"than {ASPECT_TOLERANCE:.0%}: {some(strangers)}; crop or remove them, because a model is trained for one "
            "camera; if parts are cropped to their own size, fit with --geometry any (geometry_rule='any')"
        )


def check_sizes(pictures: Iterable[tuple[str, ImageGeometry]], typical: ImageGeometry) -> None:
    """Refuse pictures of one camera that differ in size: cut into tiles they would show parts in different sizes.

    Args:
        pictures: Each with its name.
        typical: The typical ok picture, and the rule.

    Raises:
        DatasetError: Names them and says what to do.
    """
    strangers = _strangers(pictures, typical.fits_size)
    if strangers:
        raise DatasetError(
            f"the typical ok image has {typical.width}x{typical.height} pixels, these have another size: "
            f"{some(strangers)}; tiles would show parts in different sizes: remove them, or fit with --geometry any "
            "(geometry_rule='any') if parts have the same scale in all images"
        )


def _strangers(pictures: Iterable[tuple[str, ImageGeometry]], fits: Callable[[int, int], bool]) -> list[str]:
    """Name and size of those whose width and height do not fit."""
    return [
        f"{name} ({picture.width}x{picture.height})"
        for name, picture in pictures
        if not fits(picture.width, picture.height)
    ]


def geometry_note(pictures: Iterable[ImageGeometry], typical: ImageGeometry) -> str | None:
    """What to say of pictures that may be of any size and aspect; None where they are to be of one camera."""
    if typical.rule == "one-camera":
        return None
    ordered = sorted(pictures, key=lambda picture: (picture.width * picture.height, picture.width))
    one_camera = typical.model_copy(update={"rule": "one-camera"})
    if all(one_camera.fits_aspect(picture.width, picture.height) for picture in ordered):
        return (
            "all images have the same aspect ratio, as from one camera; a model fitted with --geometry any silently "
            "accepts pictures of a changed camera, whereas one fitted with --geometry one-camera refuses them"
        )
    smallest, largest = ordered[0], ordered[-1]
    return (
        f"images of any size and aspect, here from {smallest.width}x{smallest.height} to "
        f"{largest.width}x{largest.height} pixels, are resized to one input size; their aspect ratio is not kept"
    )
