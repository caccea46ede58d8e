"""The header of a PNM file: PBM, PGM and PPM, as text or binary."""

from __future__ import annotations

import re
from typing import Final

from inspector.anomaly.errors import ImageError
from inspector.anomaly.preprocess.image import ImageLimits
from trainer.formats.header import PictureHeader, check_depth, cut_short

MAGIC: Final = re.compile(rb"P[1-6][\s#]")

_SPACE: Final = rb"(?:\s|#[^\n\r]{0,1024}[\n\r])+"
_NUMBER: Final = rb"([0-9]{1,9})"
_SIZE: Final = re.compile(rb"P[1-6]" + _SPACE + _NUMBER + _SPACE + _NUMBER)
_MAXIMUM: Final = re.compile(_SPACE + _NUMBER)
_BITMAPS, _GRAY, _TEXT = b"14", b"25", b"123"
_LONGEST_HEADER: Final = 16 * 1024


def read_pnm_header(content: bytes, limits: ImageLimits) -> PictureHeader:
    """What the file says of itself.

    A maximum other than 255 and 65535 says how many bits there are: 4095 are 12, of which the upper 8 are read.

    Raises:
        ImageError: truncated, corrupt, too_large or unsupported.
    """
    size = _SIZE.match(content[:_LONGEST_HEADER])
    if size is None:
        raise ImageError("corrupt", "PNM has no size in whole numbers after its first two letters")
    width, height, end = int(size[1]), int(size[2]), size.end()
    limits.check_size(width, height)
    kind = content[1:2]
    maximum = 1
    if kind not in _BITMAPS:
        found = _MAXIMUM.match(content[: end + _LONGEST_HEADER], end)
        if found is None:
            raise ImageError("corrupt", "PNM has no maximum value after its size")
        maximum, end = int(found[1]), found.end()
    depth = maximum.bit_length()
    if maximum != (1 << depth) - 1:
        raise ImageError("unsupported", f"PNM has the maximum value {maximum}; save it with 255 or 65535")
    check_depth("PNM", depth)
    if kind in _TEXT and depth not in {1, 8}:
        raise ImageError("unsupported", f"PNM has {depth} bits a sample as text; save it as binary PNM")
    channels = 1 if kind in _BITMAPS + _GRAY else 3
    if kind in _TEXT:
        least = width * height * channels  # a digit each
    elif depth == 1:
        least = -(-width // 8) * height
    else:
        least = width * height * channels * (1 if depth == 8 else 2)  # noqa: PLR2004 - bits
    if end + 1 + least > len(content):
        raise cut_short(f"PNM of {width} x {height} pixels", len(content))
    return PictureHeader("pnm", width, height, 1 if channels == 1 else 3, depth)
