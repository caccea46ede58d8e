"""Picture files to uint8 pixels: JPEG and PNG by the service's decoder, the others by the same rules.

OpenCV decodes all of them after the header was checked. `inspector.anomaly.preprocess.image` says what happens to pixels:
16 bits become 8 by taking the high byte, alpha is dropped, a palette becomes its colours, orientation flags are ignored unless asked for.
So the same pixels have the same score in every lossless format.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.errors import ImageError
from inspector.anomaly.preprocess.image import ImageLimits, decode_image, reduced_picture
from inspector.anomaly.preprocess.orientation import UPRIGHT, upright
from inspector.anomaly.types import DLSample
from trainer.formats import bmp, jpeg2000, pnm, tiff, webp
from trainer.formats.header import PictureHeader, of_jpeg_or_png
from trainer.formats.known import FORMAT_NAMES, READABLE

_JPEG_START, _PNG_START = b"\xff\xd8\xff", b"\x89PNG"
_COLOUR: Final = 3
_BYTE: Final = 8
_RAW_START: Final = 8


class DecodedFile(NamedTuple):
    """A picture, and what its file said of itself."""

    sample: DLSample
    header: PictureHeader


def read_picture_header(content: bytes, *, limits: ImageLimits) -> PictureHeader:
    """What a file says of itself, having checked that it may be decoded and is not cut short. Thread safe.

    Raises:
        ImageError: empty, too_large, unsupported, truncated or corrupt.
    """
    if not content:
        raise ImageError("empty", "file is empty")
    limits.check_bytes(len(content))
    if any(content.startswith(magic[: len(content)]) for magic in (_JPEG_START, _PNG_START)):
        return of_jpeg_or_png(content, limits)
    if content.startswith((*tiff.MAGICS, *tiff.BIG_MAGICS)):
        return tiff.read_tiff_header(content, limits)
    if content.startswith(bmp.MAGIC):
        return bmp.read_bmp_header(content, limits)
    if content.startswith(webp.MAGIC):
        return webp.read_webp_header(content, limits)
    if content.startswith((jpeg2000.MAGIC, jpeg2000.CODESTREAM)):
        return jpeg2000.read_jpeg2000_header(content, limits)
    if pnm.MAGIC.match(content):
        return pnm.read_pnm_header(content, limits)
    raise ImageError(
        "unsupported", f"it is not an image: it starts with {content[:_RAW_START].hex(' ')}; save it as {READABLE}"
    )


def decode_file(
    content: bytes,
    *,
    target: tuple[int, int] | None = None,
    margin: float = 1.0,
    apply_exif: bool = False,
    limits: ImageLimits,
) -> DecodedFile:
    """Decode a file of any known format. Thread safe, and releases the interpreter's lock while it decodes.

    Args:
        content: Of the file.
        target: As for `decode_image`.
        margin: As for `decode_image`.
        apply_exif: As for `decode_image`.
        limits: What is accepted.

    Raises:
        ImageError: It is not an accepted picture.
        MemoryError: There is not enough memory for the picture.
    """
    header = read_picture_header(content, limits=limits)
    if header.format in {"jpeg", "png"}:
        sample = decode_image(content, target=target, margin=margin, apply_exif=apply_exif, limits=limits)
        return DecodedFile(sample, header)
    pixels = _eight_bits(decoded_values(content, header), header)
    orientation = header.orientation if apply_exif else UPRIGHT
    image = upright(pixels, orientation)
    height, width = image.shape[:2]
    channels: Literal[1, 3] = 1 if image.ndim == 2 else 3  # noqa: PLR2004 - (H, W)
    reduced = reduced_picture(image, target, margin=margin)
    return DecodedFile(DLSample(reduced, width, height, channels, orientation=orientation), header)


def decoded_values(content: bytes, header: PictureHeader) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The values as they are stored, never turned, BGR where there is colour: (H, W) or (H, W, 3), alpha dropped.

    Raises:
        ImageError: It cannot be decoded, or to something else than its header says.
        MemoryError: There is not enough memory for the picture.
    """
    name = f"{FORMAT_NAMES[header.format]} of {header.width} x {header.height} pixels"
    if header.format == "tiff":
        content = tiff.without_orientation(content)
    try:
        # The stubs know neither None nor the type of the values.
        found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        values = cast("NDArray[np.uint8] | NDArray[np.uint16] | None", found)
    except cv2.error as exc:
        if exc.code == cv2.Error.StsNoMem:
            raise MemoryError("no memory for the decoded picture") from exc
        raise ImageError("corrupt", f"{name} cannot be decoded: {exc.err}") from exc
    if values is None:
        raise ImageError("corrupt", f"{name} cannot be decoded")
    if values.ndim == 3:  # noqa: PLR2004 - (H, W, C)
        values = values[..., :_COLOUR]
    channels = 1 if values.ndim == 2 else values.shape[2]  # noqa: PLR2004 - (H, W)
    # Gray with alpha comes out of a PNG as colour with alpha.
    expected = channels if header.format == "png" else header.channels or channels
    is_known = values.dtype in {np.dtype(np.uint8), np.dtype(np.uint16)}
    if (
        values.shape[:2] != (header.height, header.width)
        or channels not in {1, 3}
        or channels != expected
        or not is_known
    ):
        raise ImageError("corrupt", f"{name} decodes to {values.shape} {values.dtype}, unlike its header")
    return values


def _eight_bits(values: NDArray[np.uint8] | NDArray[np.uint16], header: PictureHeader) -> NDArray[np.uint8]:
    """RGB or gray, the upper 8 bits of each value, contiguous."""
    if values.dtype == np.uint16:
        values = values >> np.uint16(max(header.bit_depth, _BYTE) - _BYTE)
    pixels = np.asarray(values, dtype=np.uint8)
    return np.ascontiguousarray(pixels if pixels.ndim == 2 else pixels[..., ::-1])  # noqa: PLR2004 - (H, W)
