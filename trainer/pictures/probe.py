"""Opens every image of a data set once, so that unreadable ones are named before time is spent on a fit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np

from inspector.anomaly.errors import ImageError
from inspector.anomaly.preprocess.orientation import Orientation
from trainer.errors import UnreadableImageError
from trainer.formats.decode import decoded_values, read_picture_header
from trainer.formats.known import PictureFormat
from trainer.pictures.files import READ_LIMITS, decode_picture, read_ahead, read_bytes
from trainer.progress import StageProgress

_DEEP: Final = 16
_DARK_BELOW: Final = 1 << 12
"""Values of a 12-bit camera that were not shifted up."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What an image file turned out to hold."""

    width: int
    height: int
    channels: Literal[1, 3]
    digest: str
    """SHA-256 of the file, hexadecimal."""
    pixel_digest: str
    """BLAKE2b-128 of shape and decoded pixels, hexadecimal: equal for copies of one picture."""
    format: PictureFormat
    num_bytes: int
    """Of the file."""
    orientation: Orientation
    """EXIF's flag, whether it was applied or not."""
    bit_depth: int = 8
    """Of a value in the file."""
    brightness: float = 0.0
    """Mean of all gray values, 0 to 255."""
    is_blank: bool = False
    """Every pixel has the same value: nothing can be seen."""


def probe_images(
    paths: Sequence[Path], progress: StageProgress | None, *, apply_exif: bool = False
) -> list[Probe | UnreadableImageError]:
    """Decode every image; what cannot be read is told apart, so that one pass finds all of it.

    Args:
        paths: The images.
        progress: Told of each image, as stage "read images", from the calling thread.
        apply_exif: Turn each upright as its EXIF flag says.

    Returns:
        What each holds, or why it cannot be read, in their order.
    """

    def probe(path: Path) -> Probe | UnreadableImageError:
        return _probe(path, apply_exif=apply_exif)

    found: list[Probe | UnreadableImageError] = []
    for outcome in read_ahead(paths, probe):
        found.append(outcome)
        if progress is not None:
            progress("read images", len(found), len(paths))
    return found


def _probe(path: Path, *, apply_exif: bool) -> Probe | UnreadableImageError:
    try:
        content = read_bytes(path)
        picture, header = decode_picture(path, content, apply_exif=apply_exif)
    except UnreadableImageError as error:
        return error
    pixels = picture.image
    pixel_digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=16)
    pixel_digest.update(np.ascontiguousarray(pixels).data)
    return Probe(
        width=picture.original_width,
        height=picture.original_height,
        channels=picture.channels,
        digest=hashlib.sha256(content).hexdigest(),
        pixel_digest=pixel_digest.hexdigest(),
        format=header.format,
        num_bytes=len(content),
        orientation=header.orientation,
        bit_depth=header.bit_depth,
        brightness=float(cv2.mean(pixels)[0] if pixels.ndim == 2 else np.mean(cv2.mean(pixels)[:3])),  # noqa: PLR2004 - (H, W)
        is_blank=bool((pixels[0] == pixels[0, 0]).all() and (pixels == pixels[0, 0]).all()),  # most end with a row
    )


def dark_note(path: Path) -> str | None:
    """What to say of a 16-bit image whose values end below 4096: reading takes the high byte, at most 15 of it here.

    Raises:
        UnreadableImageError: The file cannot be read any more.
    """
    content = read_bytes(path)
    try:
        header = read_picture_header(content, limits=READ_LIMITS)
        if header.bit_depth != _DEEP:
            return None
        highest = int(decoded_values(content, header).max())
    except ImageError as exc:
        raise UnreadableImageError(path, f"is not a readable image ({exc})") from exc
    if highest >= _DARK_BELOW:
        return None
    return (
        f"{path.name} has 16 bits, but no value above {highest}: only the upper 8 bits are read, which leaves "
        f"{(highest >> 8) + 1} gray levels; save the images with values scaled up to 65535, or with 8 bits"
    )
