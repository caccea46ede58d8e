"""Read a picture or mask file, with its error in a sentence, and many of them ahead of whoever takes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.errors import ImageError
from inspector.anomaly.preprocess.image import ImageLimits, decode_image
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.types import DLSample
from trainer.errors import DatasetError

READ_LIMITS = ImageLimits(max_bytes=256 * 1024 * 1024)
"""An archive may hold larger files than a frame may be; the pixels are limited alike."""


IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


def read_mask_file(path: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels above 0 of a mask, (height, width) as in `shape`.

    Raises:
        DatasetError: Not a readable PNG file, or of another size than the image.
    """
    if path.suffix.lower() != ".png":
        raise DatasetError(f"mask {path} is a JPEG, whose compression invents pixels above 0; save it as PNG")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"mask {path} cannot be read ({error.strerror}); replace or remove it") from error
    mask = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    if mask is None:
        raise DatasetError(f"mask {path} is not a readable PNG image; replace or remove it")
    if mask.shape[:2] != shape:
        raise DatasetError(
            f"mask {path} has {mask.shape[1]}x{mask.shape[0]} pixels, its image {shape[1]}x{shape[0]}; "
            "draw the mask on the original image"
        )
    values = mask.reshape(*shape, -1)[..., :3]  # an opacity channel is no mark
    return np.asarray(values.max(axis=2) > 0)


BATCH_SIZE = 8


DECODE_THREADS = 2


def read_samples(
    paths: Sequence[Path | DLSample], preprocess_param: DLPreprocessParam, *, batch_size: int = BATCH_SIZE
) -> Iterator[list[DLSample]]:
    """Decode the files as the service does, a few batches ahead of whoever takes them.

    Args:
        paths: Files; a sample that is there already is passed on as it is.
        preprocess_param: Says how large a picture has to be.
        batch_size: Samples in a batch.

    Yields:
        Batches of at most `batch_size` samples, in the order of `paths`.

    Raises:
        DatasetError: A file cannot be read or decoded; names it.
    """
    with ThreadPoolExecutor(DECODE_THREADS, thread_name_prefix="decode") as pool:
        waiting: deque[Future[DLSample]] = deque()
        remaining = iter(paths)
        batch: list[DLSample] = []
        exhausted = False
        while not exhausted or waiting:
            while not exhausted and len(waiting) < 2 * batch_size:
                path = next(remaining, None)
                exhausted = path is None
                if path is not None:
                    waiting.append(pool.submit(_read_sample, path, preprocess_param))
            if waiting:
                batch.append(waiting.popleft().result())
            if batch and (len(batch) == batch_size or not (waiting or not exhausted)):
                yield batch
                batch = []


def _read_sample(path: Path | DLSample, param: DLPreprocessParam) -> DLSample:
    if isinstance(path, DLSample):
        return path
    try:
        return decode_image(
            path.read_bytes(), target=param.decode_target, margin=param.decode_margin, limits=READ_LIMITS
        )
    except ImageError as exc:
        raise DatasetError(f"{path} cannot be decoded ({exc.reason}): {exc}; remove or replace it") from exc
    except OSError as exc:
        raise DatasetError(f"{path} cannot be read: {exc.strerror or exc}") from exc
