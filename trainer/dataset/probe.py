"""Open every image and mask of a data set once: what cannot be read is named before time is spent on a fit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from inspector.anomaly.errors import ImageError
from inspector.anomaly.network.cores import usable_cores
from inspector.anomaly.preprocess.image import ImageLimits, decode_image
from trainer.errors import DatasetError
from trainer.progress import StageProgress
from trainer.wording import some

_DARK_BELOW = 1 << 12
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


def probe_images(paths: Sequence[Path], limits: ImageLimits, progress: StageProgress | None) -> list[Probe]:
    """Decode every image; all that fail are reported together, so that one pass mends them.

    Args:
        paths: The images.
        limits: What is accepted.
        progress: Told of each image, as stage "read images", from the calling thread.

    Raises:
        DatasetError: Files that cannot be read or are no JPEG or PNG image, each with the reason.
    """
    found: list[Probe] = []
    failures: list[str] = []
    with ThreadPoolExecutor(usable_cores(), thread_name_prefix="dataset") as pool:
        probes: Iterator[Probe | DatasetError] = pool.map(_probe, paths, (limits,) * len(paths))
        for done, outcome in enumerate(probes, start=1):
            if isinstance(outcome, DatasetError):
                failures.append(str(outcome))
            else:
                found.append(outcome)
            if progress is not None:
                progress("read images", done, len(paths))
    if failures:
        raise DatasetError(f"{some(failures)}; replace or remove {'it' if len(failures) == 1 else 'them'}")
    return found


def _probe(path: Path, limits: ImageLimits) -> Probe | DatasetError:
    try:
        content = path.read_bytes()
    except OSError as error:
        return DatasetError(f"{path} cannot be read ({error.strerror})")
    try:
        picture = decode_image(content, limits=limits)
    except ImageError as error:
        return DatasetError(f"{path} is not a readable JPEG or PNG image ({error})")
    pixels = picture.image
    pixel_digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=16)
    pixel_digest.update(np.ascontiguousarray(pixels).data)
    return Probe(
        width=picture.original_width,
        height=picture.original_height,
        channels=picture.channels,
        digest=hashlib.sha256(content).hexdigest(),
        pixel_digest=pixel_digest.hexdigest(),
    )


def dark_note(path: Path) -> str | None:
    """What to say of a 16-bit image whose values end below 4096: reading takes the high byte, at most 15 of it here."""
    picture = cv2.imdecode(np.frombuffer(path.read_bytes(), dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None or picture.dtype != np.uint16:
        return None
    highest = int(picture.reshape(*picture.shape[:2], -1)[..., :3].max())  # an opacity channel is no gray value
    if highest >= _DARK_BELOW:
        return None
    return (
        f"{path.name} has 16 bits, but no value above {highest}: only the upper 8 bits are read, which leaves "
        f"{(highest >> 8) + 1} gray levels; save the images with their values shifted up to 65535, or with 8 bits"
    )
