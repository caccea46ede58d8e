"""The defective pixels of a picture, and a decoder of their coding that needs nothing but Python."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from schemas.base import Count, ImageSide, StrictModel
from schemas.errors import LimitExceededError, MalformedMessageError

MAX_COMPONENTS = 256
"""Components listed in a region: the largest ones."""

MAX_RLE_BYTES = 256 * 1024
"""Longest run-length code in a result; a longer one is left out."""

MAX_MASK_PIXELS = 64_000_000
"""Largest mask that `decode_rle` makes unless told otherwise."""

_LARGEST_CHARACTER = 63
_FIRST_DIFFERENCE = 3
_MAX_RUN_CHARACTERS = 7  # 35 bits: more than any run in a mask of 65535 x 65535 pixels needs


class ComponentMessage(StrictModel):
    """One 8-connected component: its box in original pixels, its area in pixels, and the highest map value in it."""

    x: Annotated[int, Field(ge=0, le=65_534, description="Left column of the box")]
    y: Annotated[int, Field(ge=0, le=65_534, description="Top row of the box")]
    width: ImageSide
    height: ImageSide
    area: Annotated[Count, Field(ge=1)]
    max_score: Annotated[float, Field(ge=0.0, le=1.0)]

    @model_validator(mode="after")
    def _check_area(self) -> Self:
        if self.area > self.width * self.height:
            raise ValueError(f"area {self.area} is larger than the box of {self.width} x {self.height}")
        return self


class RegionMessage(StrictModel):
    """The pixels at or above the segmentation threshold but for halos of stronger ones, at the size of the picture as taken.

    `counts` is null exactly when `region_truncated` is true: the code was longer than 256 KiB. Area, number of
    components and the listed components are complete and correct even then. All components are listed if there are
    at most 256, else the 256 largest.
    """

    width: ImageSide
    height: ImageSide
    counts: Annotated[bytes, Field(max_length=MAX_RLE_BYTES)] | None = Field(
        description="COCO compressed run-length code, column by column (`decode_rle`)"
    )
    region_truncated: bool = False
    area: Annotated[Count, Field(description="Pixels of the region")]
    num_components: Count
    components: Annotated[tuple[ComponentMessage, ...], Field(max_length=MAX_COMPONENTS)]

    @model_validator(mode="after")
    def _check_consistent(self) -> Self:
        if (self.counts is None) != self.region_truncated:
            raise ValueError("counts must be null if region_truncated, else present")
        if len(self.components) != min(self.num_components, MAX_COMPONENTS):
            raise ValueError(
                f"{len(self.components)} components listed of {self.num_components}, limit {MAX_COMPONENTS}"
            )
        if self.area > self.width * self.height:
            raise ValueError(f"area {self.area} is more than {self.width} x {self.height} pixels")
        listed = sum(c.area for c in self.components)
        if self.area < listed or (self.area > listed and self.num_components <= MAX_COMPONENTS):
            raise ValueError(f"area is {self.area}, but the listed components add up to {listed}")
        for c in self.components:
            if c.x + c.width > self.width or c.y + c.height > self.height:
                raise ValueError(f"the component at {c.x}, {c.y} extends beyond the picture")
        return self


def rle_runs(counts: bytes) -> list[int]:
    """Return the lengths of the runs: background first, then region, then background and so on.

    Each run is coded as characters of six bits (value + 48): five bits of the number, lowest first, and one that says
    that more follow. The number is signed; from the fourth run on it is the difference to the run before last.
    (`rleFrString` of the COCO API, https://github.com/cocodataset/cocoapi.)

    Raises:
        MalformedMessageError: Not such a code.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        bits = character - 48
        if not 0 <= bits <= _LARGEST_CHARACTER or shift >= 5 * _MAX_RUN_CHARACTERS:
            raise MalformedMessageError(f"not a run-length code: bad character or number in run {len(runs)}")
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        if len(runs) >= _FIRST_DIFFERENCE:
            value += runs[-2]
        if value < 0:
            raise MalformedMessageError(f"not a run-length code: run {len(runs)} is negative")
        runs.append(value)
        value = shift = 0
    if shift:
        raise MalformedMessageError(f"run-length code ends within run {len(runs)}")
    return runs


def decode_rle(counts: bytes, height: int, width: int, *, max_pixels: int = MAX_MASK_PIXELS) -> bytes:
    """Return the mask of a region.

    The code runs down the columns, from left to right; the mask that comes back is in the usual order of rows.

    Args:
        counts: COCO compressed run-length code.
        height: Rows of the picture.
        width: Columns of the picture.
        max_pixels: Refuse larger pictures; decoding takes twice this many bytes.

    Returns:
        height * width bytes, row by row, 1 in the region and 0 outside: pixel (row, column) is at
        row * width + column. With numpy: `np.frombuffer(mask, np.uint8).reshape(height, width)`.

    Raises:
        MalformedMessageError: Not such a code, or one of another picture's size.
        LimitExceededError: The picture is larger than `max_pixels`.
    """
    if height < 1 or width < 1:
        raise MalformedMessageError(f"a picture of {width} x {height} pixels has no mask")
    if height * width > max_pixels:
        raise LimitExceededError(f"mask of {width} x {height} pixels is larger than the limit of {max_pixels} pixels")
    runs = rle_runs(counts)
    if sum(runs) != height * width:
        raise MalformedMessageError(
            f"the runs add up to {sum(runs)} pixels, but {width} x {height} makes {height * width}"
        )
    by_column = bytearray(height * width)
    start = 0
    for index, run in enumerate(runs):
        if index % 2:
            by_column[start : start + run] = b"\x01" * run
        start += run
    mask = bytearray(height * width)
    for x in range(width):
        mask[x::width] = by_column[x * height : (x + 1) * height]
    return bytes(mask)
