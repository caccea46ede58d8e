"""The header of a JPEG 2000 file: JP2 boxes around a codestream, or the bare codestream."""

from __future__ import annotations

import struct
from typing import Final

from inspector.anomaly.errors import ImageError
from inspector.anomaly.preprocess.image import ImageLimits
from trainer.formats.header import PictureHeader, check_depth, cut_short

MAGIC: Final = b"\0\0\0\x0cjP  \r\n\x87\n"
CODESTREAM: Final = b"\xff\x4f\xff\x51"

_CODESTREAM_BOX: Final = b"jp2c"
_MAX_BOXES: Final = 1024
_SIZE_FIELDS: Final = struct.Struct(">HH8IH")
_MAX_TILES: Final = 65_535
_GRAY, _COLOUR = 1, (3, 4)
_SIGNED: Final = 0x80
_BITS_PER_BYTE: Final = 4096
"""Pixels that a byte can stand for at most: beyond this the rest of the file is missing, or it is a bomb."""


def read_jpeg2000_header(content: bytes, limits: ImageLimits) -> PictureHeader:
    """What the file says of itself.

    Raises:
        ImageError: truncated, corrupt, too_large or unsupported.
    """
    at = _codestream_at(content)
    if content[at : at + 4] != CODESTREAM:
        raise ImageError("corrupt", "JPEG 2000 has a damaged codestream")
    if at + 4 + _SIZE_FIELDS.size > len(content):
        raise cut_short("JPEG 2000", len(content))
    _, _, right, bottom, left, top, tile_width, tile_height, _, _, components = _SIZE_FIELDS.unpack_from(
        content, at + 4
    )
    width, height = right - left, bottom - top
    limits.check_size(width, height)
    if not tile_width or not tile_height or -(-right // tile_width) * -(-bottom // tile_height) > _MAX_TILES:
        raise ImageError("corrupt", f"JPEG 2000 claims tiles of {tile_width} x {tile_height} pixels")
    if components != _GRAY and components not in _COLOUR:
        raise ImageError("unsupported", f"JPEG 2000 has {components} components; save gray or colour")
    fields = content[at + 4 + _SIZE_FIELDS.size :][: 3 * components]
    if len(fields) < 3 * components:
        raise cut_short("JPEG 2000", len(content))
    if len({fields[i : i + 3] for i in range(0, len(fields), 3)}) > 1 or fields[1:3] != b"\1\1":
        raise ImageError(
            "unsupported", "JPEG 2000 has components of different sizes or bit depths; save them with the same"
        )
    if fields[0] & _SIGNED:
        raise ImageError("unsupported", "JPEG 2000 has signed values; save it with 8 or 16 bits, unsigned")
    depth = fields[0] + 1
    check_depth("JPEG 2000", depth)
    if depth == 1:
        raise ImageError("unsupported", "JPEG 2000 has 1 bit a sample; save it with 8 or 16 bits")
    if width * height > _BITS_PER_BYTE * (len(content) - at):
        raise cut_short(f"JPEG 2000 of {width} x {height} pixels", len(content))
    return PictureHeader("jpeg2000", width, height, 1 if components == _GRAY else 3, depth)


def _codestream_at(content: bytes) -> int:
    """Where the codestream starts: at once, or in the box that holds it."""
    if content.startswith(CODESTREAM):
        return 0
    at = 0
    for _ in range(_MAX_BOXES):
        if at + 8 > len(content):
            raise cut_short("JPEG 2000", len(content))
        length, kind = struct.unpack_from(">I4s", content, at)
        head = 8
        if length == 1:
            if at + 16 > len(content):
                raise cut_short("JPEG 2000", len(content))
            (length,) = struct.unpack_from(">Q", content, at + 8)
            head = 16
        end = len(content) if length == 0 else at + length
        if end < at + head:
            raise ImageError("corrupt", f"JPEG 2000 has a box of length {length} at byte {at}")
        if end > len(content):
            raise cut_short("JPEG 2000", len(content))
        if kind == _CODESTREAM_BOX:
            return at + head
        at = end
    raise ImageError("corrupt", f"JPEG 2000 has more than {_MAX_BOXES} boxes")
