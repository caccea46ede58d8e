"""Made `tests/data`: copies a data set in the MVTec AD layout with its images made smaller.

    python -m deploy.demo.prepare_data SOURCE TARGET

Only for sets whose licence allows changed copies; tests/data/README.md names source, licence and changes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

MAX_SIDE = 512
JPEG_QUALITY = 85
_IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
_MASK_FOLDER = "ground_truth"


def main(arguments: Sequence[str] | None = None) -> int:
    """Copy one set; return the exit status."""
    parser = argparse.ArgumentParser(description=f"Copy a data set, its images at most {MAX_SIDE} pixels long.")
    parser.add_argument("source", type=Path, metavar="SOURCE", help="data set in the MVTec AD layout")
    parser.add_argument("target", type=Path, metavar="TARGET", help="folder to make")
    options = parser.parse_args(arguments)
    if options.target.exists():
        return _complain(f"{options.target} exists already; remove it first")
    try:
        copied = copy_small(options.source, options.target)
    except ValueError as error:
        return _complain(str(error))
    megabytes = sum(path.stat().st_size for path in copied) / 1e6
    print(f"{options.target}: {len(copied)} files, {megabytes:.1f} MB")
    return 0


def _complain(message: str) -> int:
    print(f"prepare_data: {message}", file=sys.stderr)
    return 1


def copy_small(source: Path, target: Path) -> list[Path]:
    """Copy images as JPEG and masks as PNG, in the same folders; return what was written.

    Raises:
        ValueError: No image in `source`, or one that cannot be read.
    """
    paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in _IMAGE_SUFFIXES)
    if not paths:
        raise ValueError(f"no image below {source}")
    return [_copy(path, target / path.relative_to(source)) for path in paths]


def _copy(path: Path, target: Path) -> Path:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise ValueError(f"{path} cannot be read as an image")
    pixels = np.asarray(image, dtype=np.uint8)
    is_mask = _MASK_FOLDER in path.parts
    target = target.with_suffix(".png" if is_mask else ".jpg")
    target.parent.mkdir(parents=True, exist_ok=True)
    # A mask stays a mask: no values between its own, and no blocks around its edges.
    small = shrink(pixels, cv2.INTER_NEAREST if is_mask else cv2.INTER_AREA)
    options = [] if is_mask else [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    is_coded, data = cv2.imencode(target.suffix, small, options)
    if not is_coded:
        raise ValueError(f"{path} cannot be coded as {target.suffix}")
    target.write_bytes(data.tobytes())
    return target


def shrink(image: NDArray[np.uint8], interpolation: int) -> NDArray[np.uint8]:
    """Return the image, its long side at most `MAX_SIDE`; a smaller one as it is."""
    height, width = image.shape[:2]
    factor = min(1.0, MAX_SIDE / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(image, size, interpolation=interpolation), dtype=np.uint8)


if __name__ == "__main__":
    sys.exit(main())
