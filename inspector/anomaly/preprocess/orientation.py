"""The orientation flag that a camera or phone stores beside the pixels (EXIF), and how a picture is rotated upright by it.

A flag that cannot be read counts as no flag: it is only a note beside the pixels, and no reason to refuse the picture.
"""

from __future__ import annotations

import struct
from typing import Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

Orientation = Literal[1, 2, 3, 4, 5, 6, 7, 8]
"""EXIF's numbers: 1 upright, 3 upside down, 6 and 8 lying on a side, 2, 4, 5 and 7 mirrored besides."""

UPRIGHT: Final = 1
LYING: Final = frozenset({5, 6, 7, 8})
"""Width and height change places."""

_TAG: Final = 0x0112
_SHORT: Final = 3
_ENTRY_BYTES: Final = 12
_MAX_ENTRIES: Final = 4096
_MAX_SEGMENTS: Final = 512
_JPEG_START: Final = b"\xff\xd8"
_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_EXIF: Final = b"Exif\0\0"
_APP1, _SCAN, _END = 0xE1, 0xDA, 0xD9


def exif_orientation(data: bytes) -> Orientation:
    """The flag of a JPEG or PNG file; 1 if it has none. Thread safe."""
    if data.startswith(_JPEG_START):
        return orientation_of_exif(_exif_of_jpeg(data))
    if data.startswith(_PNG_SIGNATURE):
        return orientation_of_exif(_exif_of_png(data))
    return UPRIGHT


def orientation_of_exif(exif: bytes) -> Orientation:
    """The flag in a block of EXIF data, which is laid out as a TIFF file; 1 if it has none."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return UPRIGHT
    try:
        (at,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, at)
        for i in range(min(count, _MAX_ENTRIES)):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, at + 2 + _ENTRY_BYTES * i)
            if tag == _TAG:
                is_known = kind == _SHORT and value in range(1, 9)
                return cast("Orientation", value) if is_known else UPRIGHT
    except struct.error:
        pass
    return UPRIGHT


def upright(image: NDArray[np.uint8], orientation: Orientation) -> NDArray[np.uint8]:
    """Turn and mirror (H, W) or (H, W, 3) so that it stands as the flag says; contiguous, the image itself for 1."""
    if orientation == UPRIGHT:
        return image
    turned = image.swapaxes(0, 1) if orientation in LYING else image
    if orientation in {3, 4, 7, 8}:
        turned = turned[::-1]
    if orientation in {2, 3, 6, 7}:
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)


def _exif_of_jpeg(data: bytes) -> bytes:
    at = 2
    for _ in range(_MAX_SEGMENTS):
        while data[at : at + 2] == b"\xff\xff":
            at += 1
        if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] in {_SCAN, _END}:  # noqa: PLR2004 - a marker
            return b""
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == _APP1 and data[at + 4 : at + 10] == _EXIF:
            return data[at + 10 : at + 2 + length]
        at += 2 + length
    return b""


def _exif_of_png(data: bytes) -> bytes:
    at = len(_PNG_SIGNATURE)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"eXIf":
            return data[at + 8 : at + 8 + length]
        at += 12 + length
    return b""
