"""The header of a WebP file, lossy or lossless, and its EXIF flag."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from inspector.anomaly.errors import ImageError
from inspector.anomaly.preprocess.image import ImageLimits
from inspector.anomaly.preprocess.orientation import UPRIGHT, Orientation, orientation_of_exif
from trainer.formats.header import PictureHeader, cut_short

MAGIC: Final = b"RIFF"

_KIND: Final = b"WEBP"
_START: Final = 12
_MAX_CHUNKS: Final = 1024
_ANIMATED: Final = 0x02
_LOSSY_MARK: Final = b"\x9d\x01\x2a"
_LOSSLESS_MARK: Final = 0x2F


def read_webp_header(content: bytes, limits: ImageLimits) -> PictureHeader:
    """What the file says of itself; colour always, as the format has no gray.

    Raises:
        ImageError: truncated, corrupt, too_large or unsupported.
    """
    if len(content) < _START + 8:
        raise cut_short("WebP", len(content))
    if content[8:12] != _KIND:
        raise ImageError("unsupported", "RIFF file is not a WebP image")
    if 8 + int.from_bytes(content[4:8], "little") > len(content):
        raise cut_short("WebP", len(content))
    size: tuple[int, int] | None = None
    orientation: Orientation = UPRIGHT
    for kind, chunk in _chunks(content):
        if kind == b"VP8X" and chunk and chunk[0] & _ANIMATED:
            raise ImageError("unsupported", "WebP is animated; save the relevant frame as a separate file")
        if kind in {b"VP8 ", b"VP8L"} and size is None:
            size = _size(kind, chunk)
        if kind == b"EXIF":
            orientation = orientation_of_exif(chunk.removeprefix(b"Exif\0\0"))
    if size is None:
        raise ImageError("corrupt", "WebP has no picture")
    limits.check_size(*size)
    return PictureHeader("webp", *size, 3, 8, orientation)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each chunk; of pixels only their first bytes."""
    at = _START
    for _ in range(_MAX_CHUNKS):
        if at + 8 > len(content):
            break
        kind, length = struct.unpack_from("<4sI", content, at)
        if at + 8 + length > len(content):
            raise cut_short("WebP", len(content))
        shown = length if kind == b"EXIF" else min(length, 16)
        yield kind, content[at + 8 : at + 8 + shown]
        at += 8 + length + length % 2


def _size(kind: bytes, chunk: bytes) -> tuple[int, int]:
    """(width, height) that the picture's own first bytes say."""
    if kind == b"VP8 " and chunk[3:6] == _LOSSY_MARK and len(chunk) >= 10:  # noqa: PLR2004 - up to the height
        width, height = struct.unpack_from("<HH", chunk, 6)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and len(chunk) >= 5 and chunk[0] == _LOSSLESS_MARK:  # noqa: PLR2004 - up to the height
        packed = int.from_bytes(chunk[1:5], "little")
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    raise ImageError("corrupt", "WebP has a damaged picture header")
