"""Encoded pictures for tests of the decoder: sound ones, and ones that claim what they are not."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.anomaly.errors import ImageError
from inspector.anomaly.preprocess.image import (
    decode_image,
)

SIZES = [(1, 1), (1, 17), (17, 1), (2, 3), (13, 31), (64, 48), (127, 131), (257, 8)]  # (width, height)
PROGRESSIVE = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
FULL_CHROMA = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
REASONS = ("empty", "corrupt", "truncated", "too_large", "unsupported")


def picture(width: int, height: int, channels: int, seed: int = 0) -> NDArray[np.uint8]:
    """A smooth random picture, RGB where it has colour."""
    rng = np.random.default_rng(seed)
    shape = (height // 16 + 2, width // 16 + 2, 3)[: 2 if channels == 1 else 3]
    coarse = rng.integers(0, 256, shape, dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def encoded(image: NDArray[np.uint8], suffix: str = ".jpg", *parameters: int) -> bytes:
    """Encode a gray or RGB picture."""
    bgr = image if image.ndim == 2 else image[..., ::-1]
    is_coded, data = cv2.imencode(suffix, np.ascontiguousarray(bgr), parameters)
    assert is_coded
    return data.tobytes()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *before: bytes) -> bytes:
    """A PNG from its filtered rows."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(before) + pixels + chunk(b"IEND", b"")


def refused(data: bytes, **options: object) -> ImageError:
    """The error that decoding ends with; the header check must raise it too, or let the decoder judge."""
    with pytest.raises(ImageError) as caught:
        decode_image(data, **options)  # type: ignore[arg-type]
    return caught.value


def jpeg_claiming(width: int, height: int, *, components: int = 3, marker: int = 0xC0, depth: int = 8) -> bytes:
    """A valid JPEG whose frame header is replaced by one that claims something else."""
    data = encoded(picture(16, 16, 3))
    at = data.index(b"\xff\xc0")
    length = int.from_bytes(data[at + 2 : at + 4], "big")
    frame = struct.pack(">BHHB", depth, height, width, components) + b"\x01\x11\x00" * components
    return data[:at] + bytes([0xFF, marker]) + struct.pack(">H", len(frame) + 2) + frame + data[at + 2 + length :]


def scan_bomb(width: int, height: int, *, scans: int, channels: int = 1) -> bytes:
    """A progressive JPEG of so many scans: the last one, of a dozen bytes, over and over. Decoders take it."""
    data = encoded(
        np.full((height, width) if channels == 1 else (height, width, 3), 128, np.uint8), ".jpg", *PROGRESSIVE
    )
    there = data.count(b"\xff\xda")
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * (scans - there) + data[-2:]


PALETTE = chunk(b"PLTE", bytes([10, 20, 30, 40, 50, 60, 70, 80, 90]))
