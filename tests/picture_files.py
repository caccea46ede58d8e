"""Picture files in every format that is read, written by OpenCV or Pillow, which the reader does not use for headers."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inspector.anomaly.preprocess.image import ImageLimits

LIMITS = ImageLimits(max_bytes=2**28)
SUFFIX_OF = {"BMP": ".bmp", "TIFF": ".tif", "WEBP": ".webp", "PPM": ".ppm", "JPEG2000": ".jp2", "PNG": ".png"}


def noise(height: int, width: int, channels: int, *, seed: int = 0, bits: int = 8) -> NDArray[Any]:
    """Gray or RGB."""
    shape = (height, width, 3)[: 2 if channels == 1 else 3]
    kind = np.uint8 if bits == 8 else np.uint16
    return np.random.default_rng(seed).integers(0, 1 << bits, shape, dtype=kind)


def saved(pixels: NDArray[Any] | Image.Image, kind: str, **options: Any) -> bytes:
    """A file by Pillow; WebP without loss."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    target = io.BytesIO()
    image.save(target, kind, **({"lossless": True} | options if kind == "WEBP" else options))
    return target.getvalue()


def flagged(pixels: NDArray[np.uint8], kind: str, orientation: int, **options: Any) -> bytes:
    """A file whose EXIF says that it is to be turned."""
    if kind == "TIFF":
        return saved(pixels, kind, tiffinfo={274: orientation}, **options)
    exif = Image.Exif()
    exif[274] = orientation
    return saved(pixels, kind, exif=exif, **options)


def deep(pixels: NDArray[np.uint16], suffix: str) -> bytes:
    """A file of 16 bits by OpenCV; gray or RGB."""
    stored = pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1])
    is_coded, data = cv2.imencode(suffix, stored)
    assert is_coded
    return data.tobytes()


GRAY, COLOUR = noise(20, 31, 1), noise(20, 31, 3)

CORPUS = {
    "bmp gray": saved(GRAY, "BMP"),
    "bmp colour": saved(COLOUR, "BMP"),
    "tiff gray": saved(GRAY, "TIFF"),
    "tiff lzw": saved(COLOUR, "TIFF", compression="tiff_lzw"),
    "tiff deflate": saved(COLOUR, "TIFF", compression="tiff_adobe_deflate"),
    "tiff flagged": flagged(GRAY, "TIFF", 6),
    "tiff 16": deep(noise(20, 31, 3, bits=16), ".tiff"),
    "webp": saved(COLOUR, "WEBP"),
    "webp lossy": saved(COLOUR, "WEBP", lossless=False),
    "webp flagged": flagged(COLOUR, "WEBP", 3),
    "pgm": saved(GRAY, "PPM"),
    "ppm": saved(COLOUR, "PPM"),
    "pgm 16": deep(noise(20, 31, 1, bits=16), ".pgm"),
    "pbm": saved(Image.fromarray(GRAY > 127), "PPM"),
    "pgm text": b"P2\n# noise\n3 2\n255\n1 2 3\n4 5 6\n",
    "jp2": saved(COLOUR, "JPEG2000"),
    "j2k": saved(GRAY, "JPEG2000", no_jp2=True),
    "png": saved(COLOUR, "PNG"),
    "jpeg flagged": flagged(COLOUR, "JPEG", 8),
}
