"""The header of a TIFF file: its first page, and what OpenCV would read differently from what is meant."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from inspector.anomaly.errors import ImageError
from inspector.anomaly.preprocess.image import ImageLimits
from inspector.anomaly.preprocess.orientation import UPRIGHT, Orientation, orientation_of_exif
from trainer.formats.header import PictureHeader, cut_short

MAGICS: Final = (b"II*\0", b"MM\0*")
BIG_MAGICS: Final = (b"II+\0", b"MM\0+")

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _COLOURS, _SAMPLES = 256, 257, 258, 259, 262, 277
_PAGE_KIND, _PLANES, _EXTRA, _FORMAT, _ORIENTATION = 254, 284, 338, 339, 274
_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES = 273, 279, 324, 325
_MAX_PAGES: Final = 256
_MAX_VALUES: Final = 1 << 20
_TYPE_BYTES: Final = {1: 1, 3: 2, 4: 4}
"""Of the types that are of interest: BYTE, SHORT, LONG."""
_NO_PAGE: Final = 0b101
"""A smaller copy of another page, or a mask of one."""
_UNSIGNED: Final = 1
_WHITE_IS_0, _BLACK_IS_0, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_CHANNELS: Final[dict[int, Literal[1, 3]]] = {_WHITE_IS_0: 1, _BLACK_IS_0: 1, _RGB: 3, _PALETTE: 3, _YCBCR: 3}
_COLOUR_NAMES: Final = {4: "a transparency mask", 5: "CMYK", 8: "CIE Lab"}
_PLAIN: Final = 1
_RATIO: Final = {1: 1, 5: 4096, 8: 1032, 32946: 1032, 32773: 64, 7: 4096}
"""How far each compression can shrink pixels at most, about; beyond that something is missing, or it is a bomb."""
_BILEVEL_RATIO: Final = 65_536


@dataclass(frozen=True, slots=True)
class _Page:
    tags: Mapping[int, tuple[int, ...]]
    places: Mapping[int, int]
    """Of each entry of 12 bytes."""
    next_at: int

    def one(self, tag: int, default: int) -> int:
        values = self.tags.get(tag, ())
        return values[0] if values else default


def read_tiff_header(content: bytes, limits: ImageLimits) -> PictureHeader:
    """What the file says of itself.

    Raises:
        ImageError: truncated, corrupt, too_large or unsupported, which is also a second page.
    """
    first = _only_page(content)
    width, height = first.one(_WIDTH, 0), first.one(_HEIGHT, 0)
    limits.check_size(width, height)
    samples, bits = first.one(_SAMPLES, 1), set(first.tags.get(_BITS, (1,)))
    colours = first.one(_COLOURS, _BLACK_IS_0)
    _check_samples(first, samples, bits, colours)
    depth = bits.pop()
    _check_pixels(content, first, width * height * samples * depth // 8, depth)
    orientation: Orientation = orientation_of_exif(content)
    return PictureHeader("tiff", width, height, _CHANNELS[colours], depth, orientation)


def without_orientation(content: bytes) -> bytes:
    """The same file with the flag 1: OpenCV turns a TIFF whatever it is told."""
    order, page = _order(content), _only_page(content)
    at = page.places.get(_ORIENTATION)
    if at is None or page.tags.get(_ORIENTATION) == (UPRIGHT,):
        return content
    entry = struct.pack(f"{order}HHIHH", _ORIENTATION, 3, 1, UPRIGHT, 0)
    return content[:at] + entry + content[at + len(entry) :]


def _check_samples(page: _Page, samples: int, bits: set[int], colours: int) -> None:
    if len(bits) != 1:
        raise ImageError("unsupported", "TIFF has channels of different bit depths; save it with 8 or 16 bits")
    if page.one(_FORMAT, _UNSIGNED) != _UNSIGNED:
        raise ImageError("unsupported", "TIFF has signed or fractional values; save it with 8 or 16 bits, unsigned")
    (depth,) = bits
    if depth not in {1, 8, 16}:
        raise ImageError("unsupported", f"TIFF has {depth} bits a sample; save it with 8 or 16 bits")
    if colours not in _CHANNELS:
        raise ImageError(
            "unsupported", f"TIFF is {_COLOUR_NAMES.get(colours, f'of kind {colours}')}; save it as gray or RGB"
        )
    if page.tags.get(_EXTRA):
        raise ImageError("unsupported", "TIFF has an alpha channel; save it without one")
    if samples != (1 if colours == _PALETTE else _CHANNELS[colours]):
        raise ImageError("unsupported", f"TIFF has {samples} channels; save it as gray or RGB")
    if samples > 1 and page.one(_PLANES, 1) != 1:
        raise ImageError("unsupported", "TIFF has separate planes for its channels; save it with interleaved channels")
    if colours == _PALETTE and depth != 8:  # noqa: PLR2004 - bits
        raise ImageError("unsupported", f"TIFF has a palette of {depth} bits; save it as gray or RGB")
    if colours == _WHITE_IS_0 and depth != 1:
        raise ImageError("unsupported", "TIFF stores white as 0; save it with black as 0")


def _check_pixels(content: bytes, page: _Page, num_bytes: int, depth: int) -> None:
    """Refuse what lies beyond the end, or is too little for that many pixels."""
    kinds = ((_STRIPS, _STRIP_BYTES), (_TILES, _TILE_BYTES))
    starts, lengths = next(
        ((page.tags[at], page.tags.get(size, ())) for at, size in kinds if at in page.tags), ((), ())
    )
    if not starts or len(starts) != len(lengths):
        raise ImageError("corrupt", "TIFF does not say where its pixels are")
    if any(start + length > len(content) for start, length in zip(starts, lengths, strict=True)):
        raise cut_short("TIFF", len(content))
    ratio = _BILEVEL_RATIO if depth == 1 else _RATIO.get(page.one(_COMPRESSION, _PLAIN))
    if page.one(_COMPRESSION, _PLAIN) == _PLAIN:
        ratio = 1
    if ratio is None:
        raise ImageError(
            "unsupported",
            f"TIFF is compressed by method {page.one(_COMPRESSION, _PLAIN)}; save it uncompressed, or with LZW or Deflate",
        )
    if num_bytes > ratio * sum(lengths):
        raise cut_short("TIFF", len(content))


def _only_page(content: bytes) -> _Page:
    """The first page; smaller copies and masks behind it are left alone.

    Raises:
        ImageError: There is another one.
    """
    order = _order(content)
    if len(content) < 8:  # noqa: PLR2004 - the file's header
        raise cut_short("TIFF", len(content))
    (at,) = struct.unpack_from(f"{order}I", content, 4)
    pages: list[_Page] = []
    for _ in range(_MAX_PAGES):
        page = _read_page(content, order, at)
        if not pages or not page.one(_PAGE_KIND, 0) & _NO_PAGE:
            pages.append(page)
        at = page.next_at
        if not at:
            break
    if at or len(pages) > 1:
        more = " or more" if at else ""
        raise ImageError("unsupported", f"TIFF has {len(pages)}{more} pages; save the relevant one as a separate file")
    return pages[0]


def _order(content: bytes) -> Literal["<", ">"]:
    if content[:4] in BIG_MAGICS:
        raise ImageError("unsupported", "TIFF is a BigTIFF; save it as a plain TIFF")
    return "<" if content.startswith(b"II") else ">"


def _read_page(content: bytes, order: str, at: int) -> _Page:
    tags: dict[int, tuple[int, ...]] = {}
    places: dict[int, int] = {}
    try:
        (count,) = struct.unpack_from(f"{order}H", content, at)
        for place in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind, number = struct.unpack_from(f"{order}HHI", content, place)
            size = _TYPE_BYTES.get(kind)
            if size is None:
                continue
            if number > _MAX_VALUES:
                raise ImageError("corrupt", f"TIFF has {number} values in one entry")
            where = place + 8
            if size * number > 4:  # noqa: PLR2004 - bytes in the entry itself
                (where,) = struct.unpack_from(f"{order}I", content, where)
            code = {1: "B", 2: "H", 4: "I"}[size]
            tags[tag] = struct.unpack_from(f"{order}{number}{code}", content, where)
            places[tag] = place
        (next_at,) = struct.unpack_from(f"{order}I", content, at + 2 + 12 * count)
    except struct.error as exc:
        raise cut_short("TIFF", len(content)) from exc
    return _Page(tags, places, next_at)
