"""The one decoder, for both trainer and service: from encoded bytes to uint8 pixels.

OpenCV decodes after `image_header` has found nothing wrong with the bytes.

What it does to pixels:

* Orientation flags (EXIF) are ignored: the picture stays as the sensor read it, unless `apply_exif` asks for it upright.
* Colour comes out as RGB. Alpha and transparency are dropped, not blended. A palette becomes its colours.
* 16 bits become 8 by taking the high byte; a 12-bit camera must therefore shift its values up. 1, 2 and 4-bit gray is
  spread to 0..255. Gamma and colour profiles are not applied.
* If the model needs fewer pixels, the picture is halved one to three times (`reduction_factor`): each pixel becomes the mean of
  2 x 2. This is done after decoding, so that one picture gives the same input in every encoding. A decoder's own
  reduced scale would be faster for a JPEG, but gives pixels that no other encoding has.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.errors import ImageError, ParameterError
from inspector.anomaly.preprocess.image_header import DEFAULT_LIMITS, ImageHeader, ImageLimits, read_image_header
from inspector.anomaly.preprocess.orientation import UPRIGHT, exif_orientation, upright
from inspector.anomaly.preprocess.png_pixels import check_png_pixels
from inspector.anomaly.types import DLSample, ImageEncoding, PixelFormat

__all__ = [
    "ImageHeader",
    "ImageLimits",
    "RawLayout",
    "decode_image",
    "decoded_bytes",
    "decoding_passes",
    "read_image_header",
    "reduced_picture",
    "reduction_factor",
]

# The checks below decide; this only narrows what OpenCV would take if they had a hole. OpenCV reads it as it is loaded.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 28))

import cv2

# Each bad frame is answered for by name; OpenCV's own lines would be noise. (libjpeg's "Corrupt JPEG data" on stderr is
# beyond its log level.)
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_IGNORE_ORIENTATION: Final = cv2.IMREAD_IGNORE_ORIENTATION
_READ_MODE: Final = {1: cv2.IMREAD_GRAYSCALE, 3: cv2.IMREAD_COLOR_RGB}


class _Samples(NamedTuple):
    channels: Literal[1, 3]
    num_bytes: int


_RAW_PIXEL: Final[dict[PixelFormat, _Samples]] = {
    "mono8": _Samples(1, 1),
    "mono16": _Samples(1, 2),
    "rgb8": _Samples(3, 1),
    "bgr8": _Samples(3, 1),
}
"""What a pixel of each raw format is made of. `schemas` may import nothing, so the wire counts its bytes itself: a test holds
the two against each other."""


@dataclass(frozen=True, slots=True)
class RawLayout:
    """Layout of an uncompressed image: rows from top to bottom without padding, mono16 little-endian and full-scale."""

    width: int
    height: int
    pixel_format: PixelFormat

    def __post_init__(self) -> None:
        if self.pixel_format not in _RAW_PIXEL:
            raise ParameterError(f"pixel_format must be one of {', '.join(_RAW_PIXEL)}, got {self.pixel_format!r}")

    @property
    def channels(self) -> Literal[1, 3]:
        """1 for the mono formats, else 3."""
        return _RAW_PIXEL[self.pixel_format].channels

    @property
    def num_bytes(self) -> int:
        """Bytes of one image in this layout."""
        return self.width * self.height * self.channels * _RAW_PIXEL[self.pixel_format].num_bytes

    @property
    def header(self) -> ImageHeader:
        """What an encoded image would say of itself."""
        bit_depth = 8 * _RAW_PIXEL[self.pixel_format].num_bytes
        return ImageHeader("raw", self.width, self.height, self.channels, bit_depth)


def reduction_factor(width: int, height: int, target: tuple[int, int] | None, *, margin: float = 1.0) -> int:
    """Return the largest of 8, 4, 2 and 1 that keeps both sides at `margin` times `target` (width, height) or more."""
    if target is not None:
        for factor in (8, 4, 2):
            if -(-width // factor) >= target[0] * margin and -(-height // factor) >= target[1] * margin:
                return factor
    return 1


def decoded_bytes(header: ImageHeader, *, target: tuple[int, int] | None, margin: float = 1.0) -> int:
    """Return an upper bound of the bytes that `decode_image` allocates for pixels, the decoder's own included.

    What is left of them afterwards is the picture alone.

    Args:
        header: Of the image.
        target: As for `decode_image`.
        margin: As for `decode_image`.
    """
    width, height, channels = header.width, header.height, header.channels
    pixels = width * height * channels
    if header.encoding == "raw":
        is_halved = reduction_factor(width, height, target, margin=margin) > 1
        return pixels + is_halved * -(-width // 2) * -(-height // 2) * channels
    if header.is_multi_scan:
        # Two bytes a coefficient, each component padded to whole units of at most 32 pixels.
        return pixels + max(pixels, 2 * (width + 32) * (height + 32) * channels)
    # OpenCV's Python binding copies the picture into an array of numpy's; its own is gone when that is halved.
    return 2 * pixels


def decoding_passes(header: ImageHeader) -> int:
    """Return roughly how many times the work of reading a baseline JPEG of that size it takes to decode this one.

    A scan costs 5 to 15 % of a baseline JPEG where it adds nothing, and up to half of one where it is full of bits.
    """
    return 1 + header.scans // 4 + (header.bit_depth > 8)  # noqa: PLR2004 - bits


def decode_image(
    data: bytes,
    *,
    encoding: ImageEncoding | None = None,
    raw: RawLayout | None = None,
    target: tuple[int, int] | None = None,
    margin: float = 1.0,
    apply_exif: bool = False,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> DLSample:
    """Decode one image. Thread safe, and releases the interpreter's lock while it decodes.

    No decoder notices a flipped bit inside a JPEG's pixels; check the sender's digest for that.

    Args:
        data: The encoded image, or the pixels of a raw one.
        encoding: The declared encoding; if it differs, the image is corrupt. None accepts jpeg and png.
        raw: Layout of a raw image, which has no header.
        target: (width, height) that the model needs of the picture, `DLPreprocessParam.decode_target`: it is reduced to
            1/2, 1/4 or 1/8 where that leaves at least `margin` times as much. None leaves it at full scale.
        margin: See `target`; `DLPreprocessParam.decode_margin`.
        apply_exif: Turn the picture upright as its orientation flag says, before it is reduced; `DLPreprocessParam.apply_exif`.
            `original_width` and `original_height` are those of the upright picture. A raw image has no flag.
        limits: What is accepted.

    Returns:
        A sample whose `image` is (H, W) or (H, W, 3) RGB uint8, contiguous. That of a mono8 or rgb8 raw image that is not
        reduced is a read-only view of `data`.

    Raises:
        ImageError: The bytes are not an image that is accepted; `reason` says why.
        ParameterError: It is the name of a file instead of its bytes.
        MemoryError: There is not enough memory for the picture.
    """
    if isinstance(data, str | os.PathLike):
        raise ParameterError(f"an image is decoded from bytes, got {data!r}; read the file first")
    if raw is not None or encoding == "raw":
        sample = _decode_raw(data, encoding, raw, limits)
        sample.image = reduced_picture(sample.image, target, margin=margin)
        if raw is not None and raw.pixel_format == "bgr8":
            sample.image = np.asarray(cv2.cvtColor(sample.image, cv2.COLOR_BGR2RGB), dtype=np.uint8)
        return sample
    header = read_image_header(data, limits=limits)
    if encoding is not None and header.encoding != encoding:
        raise ImageError("corrupt", f"image was declared as {encoding}, but is {header.encoding}")
    if header.encoding == "png":
        check_png_pixels(data)
    channels: Literal[1, 3] = 1 if header.channels == 1 else 3
    size = (header.height, header.width)
    image = _imdecode(data, _READ_MODE[channels] | _IGNORE_ORIENTATION)
    if image is None:
        raise ImageError("corrupt", f"{header.encoding} of {header.width} x {header.height} pixels cannot be decoded")
    if image.shape != (size if channels == 1 else (*size, 3)) or image.dtype != np.uint8:
        raise ImageError("corrupt", f"image decodes to {image.shape}, but its header says {size}")
    orientation = exif_orientation(data) if apply_exif else UPRIGHT
    image = upright(image, orientation)
    height, width = image.shape[:2]
    reduced = reduced_picture(image, target, margin=margin)
    return DLSample(reduced, original_width=width, original_height=height, channels=channels, orientation=orientation)


def reduced_picture(
    image: NDArray[np.uint8],
    target: tuple[int, int] | None,
    *,
    margin: float = 1.0,
    original_size: tuple[int, int] | None = None,
) -> NDArray[np.uint8]:
    """Halve a picture as often as `decode_image` would; what is reduced already is halved only as often as that leaves over.

    Args:
        image: (H, W) or (H, W, 3) uint8; never changed, and returned itself where there is nothing to do.
        target: As for `decode_image`.
        margin: As for `decode_image`.
        original_size: (width, height) as the camera took it; that of the image by default. An image of neither this size nor
            one that halving leads to was resized by somebody else, and is returned as it is.
    """
    height, width = image.shape[:2]
    across, down = original_size or (width, height)
    halvings = reduction_factor(across, down, target, margin=margin).bit_length() - 1
    # -(-n >> k) is n halved k times, rounded up each time.
    done = next((k for k in range(halvings, -1, -1) if (-(-across >> k), -(-down >> k)) == (width, height)), halvings)
    for _ in range(halvings - done):
        image = _halved(image)
    return image


def _halved(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 3) -> half of that, rounded up: means of 2 x 2 pixels, of 2 in the last row or column of an odd size."""
    height, width = image.shape[:2]
    # Sides of even length at once; what an odd one leaves over is its last row or column.
    rows, columns = (
        [(slice(0, length // 2 * 2), length // 2)] * (length > 1) + [(slice(length - 1, length), 1)] * (length % 2)
        for length in (height, width)
    )
    parts = [
        [
            cv2.resize(image[across, down], (columns_left, rows_left), interpolation=cv2.INTER_AREA)
            for down, columns_left in columns
        ]
        for across, rows_left in rows
    ]
    if len(rows) == len(columns) == 1:
        return np.asarray(parts[0][0], dtype=np.uint8)
    return np.concatenate([np.concatenate(row, axis=1) for row in parts])


def _imdecode(data: bytes, flags: int) -> NDArray[np.uint8] | None:
    try:
        # The stubs know neither None nor the type of the pixels.
        return cast("NDArray[np.uint8] | None", cv2.imdecode(np.frombuffer(data, np.uint8), flags))
    except cv2.error as exc:
        if exc.code == cv2.Error.StsNoMem:
            raise MemoryError("no memory for the decoded picture") from exc
        raise ImageError("corrupt", f"image cannot be decoded: {exc.err}") from exc


def _decode_raw(data: bytes, encoding: ImageEncoding | None, layout: RawLayout | None, limits: ImageLimits) -> DLSample:
    """The pixels as they are, so a bgr8 image still in its own order."""
    if layout is None:
        raise ImageError("corrupt", "raw image has no layout")
    if encoding not in (None, "raw"):
        raise ImageError("corrupt", f"image was declared as {encoding}, but has the layout of a raw image")
    if not data:
        raise ImageError("empty", "image has no bytes")
    limits.check_bytes(len(data))
    limits.check_size(layout.width, layout.height)
    if len(data) != layout.num_bytes:
        raise ImageError(
            "truncated" if len(data) < layout.num_bytes else "corrupt",
            f"{layout.pixel_format} image of {layout.width} x {layout.height} pixels takes {layout.num_bytes} bytes, "
            f"got {len(data)}",
        )
    samples = np.frombuffer(data, np.uint8)
    if layout.pixel_format == "mono16":
        samples = samples[1::2].copy()
    image = samples.reshape((layout.height, layout.width, layout.channels)[: 2 if layout.channels == 1 else 3])
    return DLSample(image, original_width=layout.width, original_height=layout.height, channels=layout.channels)
