"""The header of a BMP file (Windows 3 and later)."""

from __future__ import annotations

import struct
from typing import Final

from inspector.anomaly.errors import ImageError
from inspector.anomaly.preprocess.image import ImageLimits
from trainer.formats.header import PictureHeader, cut_short

MAGIC: Final = b"BM"

_LEAST_BYTES: Final = 54
_HEADER_BYTES: Final = frozenset({40, 52, 56, 64, 108, 124})
_PLAIN, _RLE8, _RLE4, _MASKED = 0, 1, 2, 3
_DEPTHS: Final = {_PLAIN: (1, 4, 8, 16, 24, 32), _RLE8: (8,), _RLE4: (4,), _MASKED: (16, 32)}
_PALETTE_BITS: Final = 8
_RLE_RATIO: Final = 128
"""Two bytes are 255 pixels at most."""


def read_bmp_header(content: bytes, limits: ImageLimits) -> PictureHeader:
    """What the file says of itself.

    Raises:
        ImageError: truncated, corrupt, too_large or unsupported.
    """
    if len(content) < _LEAST_BYTES:
        raise cut_short("BMP", len(content))
    pixels_at, header_bytes = struct.unpack_from("<II", content, 10)
    if header_bytes not in _HEADER_BYTES:
        raise ImageError("unsupported", f"BMP has a header of {header_bytes} bytes; save it again as Windows BMP")
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", content, 18)
    height = abs(height)  # rows from top to bottom, where it is below 0
    limits.check_size(width, height)
    if bits not in _DEPTHS.get(compression, ()):
        raise ImageError("unsupported", f"BMP has {bits} bits a pixel, compression {compression}; save it uncompressed")
    if compression in {_PLAIN, _MASKED}:
        least = -(-width * bits // 32) * 4 * height
    else:
        least = width * height * bits // 8 // _RLE_RATIO
    if pixels_at < 14 + header_bytes or pixels_at + least > len(content):
        raise cut_short(f"BMP of {width} x {height} pixels", len(content))
    return PictureHeader("bmp", width, height, None if bits <= _PALETTE_BITS else 3, 8)
