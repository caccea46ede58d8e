"""Whether a PNG's pixels inflate to exactly as many bytes as its header says, and not to a thousand times as many.

A decoder goes on inflating after the last row, and discards the result: 8 MiB can contain 8 GiB of this, which is many seconds of
work for a picture of one pixel.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from inspector.anomaly.errors import ImageError

SMALL_BYTES: Final = 64 * 1024
"""So few compressed bytes inflate to 64 MiB at most, which takes a decoder a tenth of a second: not looked at."""
SLACK_BYTES: Final = 1024 * 1024
"""What may follow the last row: decoders let it pass, so careless encoders exist."""

_STEP_BYTES: Final = 1024 * 1024
_FIRST_CHUNK: Final = 8
_SAMPLES: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column and row of each pass of an interlaced PNG, and its steps."""


def check_png_pixels(data: bytes) -> None:
    """Refuse a PNG whose pixels are more than its header says. Inflates them, which takes a third of decoding. Thread safe.

    Args:
        data: A PNG that `read_image_header` has accepted.

    Raises:
        ImageError: corrupt; there is more.
    """
    parts = list(_pixel_data(data))
    if sum(map(len, parts)) <= SMALL_BYTES:
        return
    room = _row_bytes(data) + SLACK_BYTES
    inflater = zlib.decompressobj()
    try:
        for part in parts:
            pending: bytes | memoryview = part
            while pending and not inflater.eof:
                room -= len(inflater.decompress(pending, _STEP_BYTES))
                if room < 0:
                    raise ImageError("corrupt", "PNG contains more pixels than its header says")
                pending = inflater.unconsumed_tail
    except zlib.error:
        return  # the decoder finds the same and stops there


def _pixel_data(data: bytes) -> Iterator[memoryview]:
    view, position = memoryview(data), _FIRST_CHUNK
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"IEND":
            return
        if kind == b"IDAT":
            yield view[position + 8 : position + 8 + length]
        position += 12 + length


def _row_bytes(data: bytes) -> int:
    """Return how many bytes the rows take, each with the byte that names its filter."""
    width, height, depth, colour, _, _, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    bits = _SAMPLES[colour] * depth
    passes = _ADAM7 if interlace else ((0, 0, 1, 1),)
    sizes = [(-(-(width - x) // across), -(-(height - y) // down)) for x, y, across, down in passes]
    return sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0 and rows > 0)
