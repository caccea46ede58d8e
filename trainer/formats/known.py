"""The one list of the formats that every command and every source reads. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

PictureFormat = Literal["jpeg", "png", "bmp", "tiff", "webp", "pnm", "jpeg2000"]

FORMAT_SUFFIXES: Final[Mapping[PictureFormat, tuple[str, ...]]] = MappingProxyType(
    {
        "jpeg": (".jpg", ".jpeg"),
        "png": (".png",),
        "bmp": (".bmp",),
        "tiff": (".tif", ".tiff"),
        "webp": (".webp",),
        "pnm": (".pgm", ".ppm", ".pbm", ".pnm"),
        "jpeg2000": (".jp2", ".j2k"),
    }
)
"""A file is looked for by its suffix, in any case; what it holds is judged by its first bytes alone."""

IMAGE_SUFFIXES: Final = frozenset(suffix for suffixes in FORMAT_SUFFIXES.values() for suffix in suffixes)

UNREAD_SUFFIXES: Final = frozenset(
    {
        ".gif",
        ".avif",
        ".heic",
        ".heif",
        ".hobj",
        ".dng",
        ".exr",
        ".hdr",
        ".pam",
        ".pfm",
        ".jpe",
        ".jfif",
        ".dib",
        ".jpx",
    }
)
"""Of pictures that are not read: they are named, so that nobody thinks that they were used."""

FORMAT_NAMES: Final[Mapping[PictureFormat, str]] = MappingProxyType(
    {
        "jpeg": "JPEG",
        "png": "PNG",
        "bmp": "BMP",
        "tiff": "TIFF",
        "webp": "WebP",
        "pnm": "PNM",
        "jpeg2000": "JPEG 2000",
    }
)

READABLE: Final = "JPEG, PNG, BMP, TIFF, WebP, PNM (PGM, PPM, PBM) or JPEG 2000"
"""The formats in words, for help and refusals."""

LOSSLESS: Final[frozenset[PictureFormat]] = frozenset({"png", "bmp", "tiff", "pnm"})
"""What a mask may be: compression that loses something invents marks."""
