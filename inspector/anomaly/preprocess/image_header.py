"""What a JPEG or PNG says about itself, read from a few of its bytes before any decoder gets it.

Dimensions, channels and completeness are checked here, because OpenCV opens a dozen formats, believes any header, and some of
its releases returned the previous picture for a truncated JPEG.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final, Literal

from inspector.anomaly.errors import ImageError
from inspector.anomaly.types import ImageEncoding

MAX_SIDE: Final = 65_535
"""Longest side in pixels: what a JPEG can say, and what a result message holds."""

_MAX_SEGMENTS: Final = 512
"""Most JPEG segments before the pixels: enough for 32 MiB of metadata, and it bounds the walk."""
_MAX_CHUNKS: Final = 16_384
"""Most PNG chunks: pixels commonly come in chunks of 8 KiB."""
_TAIL_BYTES: Final = 64 * 1024
"""How far from its end a JPEG is searched for its end mark; cameras pad what they send."""

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS: Final[dict[int, Literal[1, 3]]] = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}
_PNG_SAMPLES: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PNG_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_DEFLATE_RATIO: Final = 1032
"""Deflate cannot shrink data further than this."""

_JPEG_START: Final = b"\xff\xd8\xff"
_JPEG_END: Final = b"\xff\xd9"
_SOF_ACCEPTED: Final = {0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive"}
_SOF_REFUSED: Final = {*range(0xC3, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SOS: Final = 0xDA
_STANDALONE: Final = {0x01, *range(0xD0, 0xD9)}
_JPEG_BLOCK: Final = 8
_JPEG_SCAN: Final = b"\xff\xda"

_PNG_COMPRESSED: Final = {b"zTXt", b"iTXt", b"iCCP"}
_LARGEST_METADATA_BYTES: Final = 8_000_000
"""What libpng inflates of one such chunk at most."""
_MAX_METADATA_BYTES: Final = 64_000_000
"""Most that a PNG's metadata may inflate to: eight chunks of any size, and as many small ones as there may be."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits for images: encoded bytes, width x height of the decoded picture, and passes of a JPEG over its pixels."""

    max_bytes: int = 8 * 1024 * 1024
    max_pixels: int = 64_000_000
    max_scans: int = 64

    def check_bytes(self, num_bytes: int) -> None:
        """Raise `ImageError` (too_large) where the encoded image is too long."""
        if num_bytes > self.max_bytes:
            raise ImageError(
                "too_large", f"image of {num_bytes} bytes is larger than the limit of {self.max_bytes} bytes"
            )

    def check_size(self, width: int, height: int) -> None:
        """Raise `ImageError` where a picture has no pixels (corrupt) or too many (too_large)."""
        if width < 1 or height < 1:
            raise ImageError("corrupt", f"image claims {width} x {height} pixels")
        if max(width, height) > MAX_SIDE or width * height > self.max_pixels:
            raise ImageError(
                "too_large",
                f"image of {width} x {height} pixels is larger than the limit of {self.max_pixels} pixels, {MAX_SIDE} "
                "per side",
            )

    def check_scans(self, scans: int) -> None:
        """Raise `ImageError` (too_large) where a JPEG has too many scans: each is a pass over all its pixels, in a dozen bytes."""
        if scans > self.max_scans:
            raise ImageError(
                "too_large",
                f"JPEG with {scans} scans exceeds the limit of {self.max_scans} scans; encoders write about 10 into a "
                "progressive JPEG",
            )


DEFAULT_LIMITS: Final = ImageLimits()


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the header of an image says.

    Attributes:
        encoding: jpeg, png or raw.
        width: In pixels, before any reduction.
        height: In pixels, before any reduction.
        channels: 1 or 3 of the decoded picture: a palette counts as 3, alpha is not counted.
        bit_depth: Bits of a sample as encoded.
        is_multi_scan: A progressive JPEG, or one in several scans: the decoder holds all its coefficients at once.
        scans: Maximum number of passes of a decoder over the picture's coefficients; 1 unless `is_multi_scan`.
    """

    encoding: ImageEncoding
    width: int
    height: int
    channels: int
    bit_depth: int
    is_multi_scan: bool = False
    scans: int = 1


def read_image_header(data: bytes, *, limits: ImageLimits = DEFAULT_LIMITS) -> ImageHeader:
    """Return what a JPEG or PNG says of itself, having checked that it may be decoded and is not cut short.

    Reads the header and the last 64 KiB of a JPEG, and the heads of a PNG's chunks; a JPEG in several scans is searched for
    them to its end. Thread safe.

    Raises:
        ImageError: empty; too_large (in bytes, pixels, scans or compressed metadata); unsupported (another format, CMYK, 12-bit or lossless JPEG, animated PNG);
            truncated (the end is missing, or there are too few bytes for that many pixels); corrupt.
    """
    if not data:
        raise ImageError("empty", "image has no bytes")
    limits.check_bytes(len(data))
    if data.startswith(_JPEG_START):
        return _read_jpeg_header(data, limits)
    if data.startswith(_PNG_SIGNATURE):
        return _read_png_header(data, limits)
    if _PNG_SIGNATURE.startswith(data) or _JPEG_START.startswith(data):
        raise ImageError("truncated", f"image ends after {len(data)} bytes")
    raise ImageError("unsupported", f"image is neither JPEG nor PNG: it starts with {data[:8].hex(' ')}")


def _read_png_header(data: bytes, limits: ImageLimits) -> ImageHeader:
    start = len(_PNG_SIGNATURE)
    if len(data) < start + 25:
        raise ImageError("truncated", f"PNG ends after {len(data)} bytes, within its header")
    length, kind = struct.unpack_from(">I4s", data, start)
    width, height, depth, colour, compression, filters, interlace, crc = struct.unpack_from(">IIBBBBBI", data, 16)
    if (length, kind) != (13, b"IHDR") or zlib.crc32(data[12:29]) != crc:
        raise ImageError("corrupt", "PNG header is damaged")
    if depth not in _PNG_DEPTHS.get(colour, ()) or compression or filters or interlace > 1:
        raise ImageError("corrupt", f"PNG claims colour type {colour} with {depth} bits")
    limits.check_size(width, height)
    _walk_png_chunks(data, start + 25)
    # Interlacing adds bytes, never saves any: this is the least that the pixels take.
    if (width * height * _PNG_SAMPLES[colour] * depth // 8) // _DEFLATE_RATIO > len(data):
        raise ImageError("truncated", f"PNG of {width} x {height} pixels ends early, after {len(data)} bytes")
    return ImageHeader("png", width, height, _PNG_CHANNELS[colour], depth)


def _walk_png_chunks(data: bytes, position: int) -> None:
    """Check that all chunks lie within the data, up to the last: OpenCV allocates whatever length a chunk claims."""
    has_pixels = False
    metadata_bytes = 0
    for _ in range(_MAX_CHUNKS):
        if position + 12 > len(data):
            raise ImageError("truncated", f"PNG ends early, after {len(data)} bytes")
        length, kind = struct.unpack_from(">I4s", data, position)
        if position + 12 + length > len(data):
            raise ImageError("truncated", f"PNG ends early, after {len(data)} bytes, within a chunk of {length} bytes")
        if kind == b"IEND":
            if length or not has_pixels:
                raise ImageError("corrupt", "PNG has no pixels" if not has_pixels else "PNG has a damaged end")
            return
        if kind == b"acTL":
            raise ImageError("unsupported", "PNG is animated; send one frame")
        if kind in _PNG_COMPRESSED:
            metadata_bytes += min(_DEFLATE_RATIO * length, _LARGEST_METADATA_BYTES)
            if metadata_bytes > _MAX_METADATA_BYTES:
                raise ImageError(
                    "too_large", "PNG has too much compressed metadata (zTXt, iTXt, iCCP); send it without metadata"
                )
        has_pixels = has_pixels or kind == b"IDAT"
        position += 12 + length
    raise ImageError("corrupt", f"PNG has more than {_MAX_CHUNKS} chunks")


def _read_jpeg_header(data: bytes, limits: ImageLimits) -> ImageHeader:
    frame: tuple[int, int, int, int] | None = None
    position = 2
    for _ in range(_MAX_SEGMENTS):
        marker, position = _next_marker(data, position)
        if marker in _STANDALONE:
            continue
        length = _segment_length(data, position)
        if marker == _SOS:
            if frame is None:
                raise ImageError("corrupt", "JPEG has no frame header before its pixels")
            header = _jpeg_with_pixels(data, position, length, frame)
            limits.check_scans(header.scans)
            return header
        if marker in _SOF_ACCEPTED or marker in _SOF_REFUSED:
            if frame is not None:
                raise ImageError("corrupt", "JPEG has two frame headers")
            frame = _read_frame_header(data, position, length, marker)
            limits.check_size(frame[0], frame[1])
        position += length
    raise ImageError("corrupt", f"JPEG has more than {_MAX_SEGMENTS} segments before its pixels")


def _next_marker(data: bytes, position: int) -> tuple[int, int]:
    """Return the marker at `position` and where its segment starts. Any number of 0xFF may come before it."""
    if position < len(data) and data[position] != 0xFF:  # noqa: PLR2004 - what starts every marker
        raise ImageError("corrupt", f"JPEG has no marker at byte {position}, where one must be")
    # At most this many: a megabyte of 0xFF is no header.
    for at in range(position + 1, min(position + 1 + _MAX_SEGMENTS, len(data))):
        if data[at] != 0xFF:  # noqa: PLR2004
            if data[at] in (0x00, 0xD8, 0xD9):
                raise ImageError("corrupt", f"JPEG has marker {data[at]:#04x} in its header")
            return data[at], at + 1
    if position + 1 + _MAX_SEGMENTS < len(data):
        raise ImageError("corrupt", f"JPEG has no marker at byte {position}, where one must be")
    raise ImageError("truncated", f"JPEG ends after {len(data)} bytes, before its pixels")


def _segment_length(data: bytes, position: int) -> int:
    if position + 2 > len(data):
        raise ImageError("truncated", f"JPEG ends after {len(data)} bytes, before its pixels")
    length = int.from_bytes(data[position : position + 2], "big")
    if length < 2:  # noqa: PLR2004 - the length counts its own two bytes
        raise ImageError("corrupt", f"JPEG has a segment of length {length} at byte {position}")
    if position + length > len(data):
        raise ImageError("truncated", f"JPEG ends after {len(data)} bytes, before its pixels")
    return length


def _read_frame_header(data: bytes, position: int, length: int, marker: int) -> tuple[int, int, int, int]:
    """Return (width, height, components, marker)."""
    if marker in _SOF_REFUSED:
        raise ImageError("unsupported", f"JPEG of type SOF{marker - 0xC0}; send a baseline or progressive one")
    if length < 8:  # noqa: PLR2004 - the fields that follow
        raise ImageError("corrupt", "JPEG frame header is too short")
    depth, height, width, components = struct.unpack_from(">BHHB", data, position + 2)
    if depth != 8:  # noqa: PLR2004 - bits
        raise ImageError("unsupported", f"JPEG has {depth} bits a sample; send 8")
    if components not in (1, 3):
        raise ImageError("unsupported", f"JPEG has {components} components (4 is CMYK); send gray or colour")
    if length != 8 + 3 * components:
        raise ImageError("corrupt", f"JPEG frame header of {components} components has length {length}")
    return width, height, components, marker


def _jpeg_with_pixels(data: bytes, position: int, length: int, frame: tuple[int, int, int, int]) -> ImageHeader:
    width, height, components, marker = frame
    if length < 6:  # noqa: PLR2004 - the fields of the smallest scan
        raise ImageError("corrupt", "JPEG scan header is too short")
    pixels_at = position + length
    # Each block of the component that is sampled most, 8 x 8 pixels, takes at least a bit.
    blocks = -(-width // _JPEG_BLOCK) * -(-height // _JPEG_BLOCK)
    end_at = data.rfind(_JPEG_END, max(pixels_at, len(data) - _TAIL_BYTES))
    if end_at < 0 or 8 * (end_at - pixels_at) < blocks:
        raise ImageError("truncated", f"JPEG of {width} x {height} pixels ends early, after {len(data)} bytes")
    is_multi_scan = _SOF_ACCEPTED[marker] == "progressive" or data[position + 2] < components
    # Within entropy-coded data 0xFF is never followed by a marker's byte, so this counts every scan; where a table happens to
    # hold the two bytes it counts one too many. A decoder refuses a second scan of the others.
    scans = 1 + data.count(_JPEG_SCAN, pixels_at) if is_multi_scan else 1
    return ImageHeader("jpeg", width, height, components, 8, is_multi_scan, scans)
