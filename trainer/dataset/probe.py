"""Open every image of a data set once: what cannot be read is named before time is spent on a fit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np

from inspector.anomaly.preprocess.image_header import read_image_header
from trainer.dataset.files import READ_LIMITS, decode_picture, read_ahead, read_bytes
from trainer.errors import DatasetError, UnreadableImageError
from trainer.progress import StageProgress
from trainer.wording import some

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

    is_blank: bool = False
    """Every pixel has the same value: nothing can be seen."""


def probe_images(paths: Sequence[Path], progress: StageProgress | None) -> list[Probe]:
    """Decode every image; all that fail are reported together, so that one pass mends them.

    Args:
        paths: The images.
        progress: Told of each image, as stage "read images", from the calling thread.

    Raises:
        DatasetError: Files that cannot be read or are no JPEG or PNG image, each with the reason.
    """
    found: list[Probe] = []
    failures: list[str] = []
    for done, outcome in enumerate(read_ahead(paths, _probe), start=1):
        if isinstance(outcome, UnreadableImageError):
            failures.append(f"{outcome.path} {outcome.why}")
        else:
            found.append(outcome)
        if progress is not None:
            progress("read images", done, len(paths))
    if failures:
        raise DatasetError(f"{some(failures)}; replace or remove {'it' if len(failures) == 1 else 'them'}")
    return found


def _probe(path: Path) -> Probe | UnreadableImageError:
    try:
        content = read_bytes(path)
        picture = decode_picture(path, content)
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
        is_blank=bool((pixels == pixels[0, 0]).all()),
    )


def dark_note(path: Path) -> str | None:
    """What to say of a 16-bit image whose values end below 4096: reading takes the high byte, at most 15 of it here.

    Raises:
        UnreadableImageError: The file cannot be read any more.
    """
    content = read_bytes(path)
    if read_image_header(content, limits=READ_LIMITS).bit_depth != _DEEP:
        return None
    picture = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None:
        return None
    highest = int(picture.reshape(*picture.shape[:2], -1)[..., :3].max())  # an opacity channel is no gray value
    if highest >= _DARK_BELOW:
        return None
    return (
        f"{path.name} has 16 bits, but no value above {highest}: only the upper 8 bits are read, which leaves "
        f"{(highest >> 8) + 1} gray levels; save the images with their values shifted up to 65535, or with 8 bits"
    )
