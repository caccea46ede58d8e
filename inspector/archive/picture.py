"""From a frame to the file of its picture: exactly the bytes that the camera sent, or for raw pixels a PNM of the same pixels.

PNM (binary PGM and PPM) is a header and the pixels: nothing is lost, only the order of bytes is changed, and every
picture library reads it. Compression would cost the archive processor time; file systems and stores do it better.
"""

from __future__ import annotations

import array
import sys
from typing import Final, NamedTuple

from schemas import CameraFrame, RawFormat

_SUFFIXES: Final = {"jpeg": "jpg", "png": "png"}


class PictureFile(NamedTuple):
    """What is written of one picture."""

    suffix: str
    """Without the dot."""
    content: bytes


def picture_file(frame: CameraFrame, image: bytes) -> PictureFile:
    """Return the file of a frame's picture.

    Args:
        frame: says what the bytes are.
        image: the bytes that the camera sent, of the length that the frame says.
    """
    if frame.raw is None:
        return PictureFile(_SUFFIXES[frame.encoding], image)
    return pnm_of(frame.raw, image)


def pnm_of(raw: RawFormat, image: bytes) -> PictureFile:
    """Return raw pixels as a binary PNM: mono8 and mono16 as PGM, rgb8 and bgr8 as PPM. Sixteen bits go most significant byte first there."""
    if raw.pixel_format == "mono16":
        values = array.array("H", image)
        if sys.byteorder == "little":
            values.byteswap()
        return PictureFile("pgm", _header("P5", raw, 65535) + values.tobytes())
    if raw.pixel_format == "mono8":
        return PictureFile("pgm", _header("P5", raw, 255) + image)
    if raw.pixel_format == "bgr8":
        turned = bytearray(image)
        turned[0::3], turned[2::3] = image[2::3], image[0::3]
        image = bytes(turned)
    return PictureFile("ppm", _header("P6", raw, 255) + image)


def _header(kind: str, raw: RawFormat, largest: int) -> bytes:
    return f"{kind}\n{raw.width} {raw.height}\n{largest}\n".encode()
