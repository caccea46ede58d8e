"""What a picture file of any format says about itself, with the checks that come before any decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from inspector.anomaly.errors import ImageError
from inspector.anomaly.preprocess.image import ImageLimits, read_image_header
from inspector.anomaly.preprocess.orientation import UPRIGHT, Orientation, exif_orientation
from trainer.formats.known import PictureFormat

MAX_DEPTH: Final = 16


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """What a picture file says of itself.

    Attributes:
        format: As its first bytes say.
        width: In pixels, as stored: before anything turns it.
        height: In pixels, as stored.
        channels: 1 or 3 of the decoded picture; None where only the palette tells, which the decoder reads.
        bit_depth: Bits of a sample: 1, or 8 to 16.
        orientation: EXIF's flag; 1 where there is none.
    """

    format: PictureFormat
    width: int
    height: int
    channels: Literal[1, 3] | None
    bit_depth: int
    orientation: Orientation = UPRIGHT


def of_jpeg_or_png(content: bytes, limits: ImageLimits) -> PictureHeader:
    """The header of the two formats that the service reads too.

    Raises:
        ImageError: As `read_image_header`.
    """
    header = read_image_header(content, limits=limits)
    return PictureHeader(
        format="png" if header.encoding == "png" else "jpeg",
        width=header.width,
        height=header.height,
        channels=1 if header.channels == 1 else 3,
        bit_depth=header.bit_depth,
        orientation=exif_orientation(content),
    )


def check_depth(name: str, depth: int, *, mend: str = "save it with 8 or 16 bits") -> None:
    """Refuse samples of more bits than are read.

    Raises:
        ImageError: More than 16 bits, or between 1 and 8.
    """
    if depth != 1 and not 8 <= depth <= MAX_DEPTH:  # noqa: PLR2004 - bits
        raise ImageError("unsupported", f"{name} has {depth} bits a sample; {mend}")


def cut_short(name: str, num_bytes: int) -> ImageError:
    """The error for a file that ends before its picture does."""
    return ImageError("truncated", f"{name} ends early, after {num_bytes} bytes")
