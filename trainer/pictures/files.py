"""Picture and mask files: the one reader of a picture, with its errors in a sentence, and the one pool that reads ahead."""

from __future__ import annotations

import hashlib
import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.errors import ImageError
from inspector.anomaly.network.cores import usable_cores
from inspector.anomaly.preprocess.image import ImageLimits
from inspector.anomaly.preprocess.orientation import UPRIGHT
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.types import DLSample
from trainer.errors import DatasetError, UnreadableImageError
from trainer.formats.decode import DecodedFile, decode_file, decoded_values, read_picture_header
from trainer.formats.known import FORMAT_NAMES, LOSSLESS

Item = TypeVar("Item")
Read = TypeVar("Read")

READ_LIMITS: Final = ImageLimits(max_bytes=256 * 1024 * 1024)
"""An archive may hold larger files than a frame may be; the pixels are limited alike."""

BATCH_SIZE: Final = 8
"""Pictures in a batch, where nothing else says."""


def read_picture(
    path: Path,
    preprocess_param: DLPreprocessParam | None = None,
    *,
    digest: str | None = None,
    apply_exif: bool = False,
) -> DLSample:
    """Read and decode one picture file, by the decoder of the service. From any thread.

    Args:
        path: The file.
        preprocess_param: Says how large the picture has to be: it is then reduced, as in the service.
            None decodes at full scale.
        digest: SHA-256 that the file must have, hexadecimal; None takes any.
        apply_exif: Turn it upright as its EXIF flag says, where no parameters are given to say so.

    Raises:
        UnreadableImageError: The file cannot be read or decoded.
        DatasetError: It was changed: it has another digest.
    """
    content = read_bytes(path)
    if digest is not None and hashlib.sha256(content).hexdigest() != digest:
        raise DatasetError(f"{path} has changed since the data set was read; read the data set again")
    return decode_picture(path, content, preprocess_param, apply_exif=apply_exif).sample


def read_bytes(path: Path) -> bytes:
    """The content of a picture file.

    Raises:
        UnreadableImageError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as exc:
        raise UnreadableImageError(path, f"cannot be read ({exc.strerror or exc})") from exc


def decode_picture(
    path: Path, content: bytes, preprocess_param: DLPreprocessParam | None = None, *, apply_exif: bool = False
) -> DecodedFile:
    """Decode what was read from a file; see `read_picture`.

    Raises:
        UnreadableImageError: It is not an accepted picture.
    """
    param = preprocess_param
    try:
        if param is None:
            return decode_file(content, apply_exif=apply_exif, limits=READ_LIMITS)
        return decode_file(
            content,
            target=param.decode_target,
            margin=param.decode_margin,
            apply_exif=param.apply_exif,
            limits=READ_LIMITS,
        )
    except ImageError as exc:
        raise UnreadableImageError(path, f"is not a readable image ({exc})") from exc


def whole_picture(path: Path, sample: DLSample) -> NDArray[np.uint8]:
    """The picture in its own size, upright where the sample is: of the sample, or read again where that was reduced.

    Returns:
        (H, W) gray or (H, W, 3) RGB uint8.

    Raises:
        UnreadableImageError: The file cannot be read any more.
    """
    is_whole = sample.image.shape[:2] == (sample.original_height, sample.original_width)
    return sample.image if is_whole else read_picture(path, apply_exif=sample.orientation != UPRIGHT).image


def read_ahead(items: Iterable[Item], read: Callable[[Item], Read], *, ahead: int = 2 * BATCH_SIZE) -> Generator[Read]:
    """Call `read` for each item on a pool of threads, one for each core, ahead of whoever takes the outcomes.

    Args:
        items: What to read.
        read: Called from any thread; what it raises is raised here, in the place of its outcome.
        ahead: Outcomes that are waiting or being made, at most: memory stays bounded.

    Yields:
        The outcomes, in the order of the items. Whoever stops early closes the generator, which ends the threads.
    """
    remaining = iter(items)
    pool = ThreadPoolExecutor(usable_cores(), thread_name_prefix="read")
    try:
        waiting: deque[Future[Read]] = deque(pool.submit(read, item) for item in itertools.islice(remaining, ahead))
        while waiting:
            outcome = waiting.popleft().result()
            waiting.extend(pool.submit(read, item) for item in itertools.islice(remaining, 1))
            yield outcome
    finally:
        # Whoever stops early does not wait for what is not begun.
        pool.shutdown(cancel_futures=True)


def in_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Parts of at most `size`, in order; the last one may be shorter."""
    remaining = iter(items)
    while batch := list(itertools.islice(remaining, size)):
        yield batch


def pictures_at_once(preprocess_param: DLPreprocessParam, usual: int = BATCH_SIZE) -> int:
    """How many pictures to hold as a batch: one where they are cut into tiles, since each is large and makes batches of its own."""
    return usual if preprocess_param.tile is None else 1


def read_samples(
    paths: Sequence[Path | DLSample], preprocess_param: DLPreprocessParam, *, batch_size: int | None = None
) -> Generator[list[DLSample]]:
    """Decode the files as the service does, a few batches ahead of whoever takes them.

    Args:
        paths: Files; a sample that is there already is passed on as it is.
        preprocess_param: Says how large a picture has to be.
        batch_size: Samples in a batch; `pictures_at_once` by default.

    Yields:
        Batches of at most `batch_size` samples, in the order of `paths`.

    Raises:
        UnreadableImageError: A file cannot be read or decoded; names it.
    """

    def read(path: Path | DLSample) -> DLSample:
        return path if isinstance(path, DLSample) else read_picture(path, preprocess_param)

    size = batch_size or pictures_at_once(preprocess_param)
    with closing(read_ahead(paths, read, ahead=2 * size)) as samples:
        yield from in_batches(samples, size)


def read_mask_file(path: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels above 0 of a mask, (height, width) as in `shape`.

    Raises:
        DatasetError: Not readable, of a format that loses something, or of another size than the image.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"mask {path} cannot be read ({error.strerror}); replace or remove it") from error
    try:
        header = read_picture_header(content, limits=READ_LIMITS)
        if header.format not in LOSSLESS:
            kind = f"a {FORMAT_NAMES[header.format]}, whose compression adds pixels above 0"
            raise DatasetError(f"mask {path} is {kind}; save it as PNG")
        mask = decoded_values(content, header)
    except ImageError as error:
        raise DatasetError(f"mask {path} is not a readable image ({error}); replace or remove it") from error
    if mask.shape[:2] != shape:
        raise DatasetError(
            f"mask {path} has {mask.shape[1]}x{mask.shape[0]} pixels, its image {shape[1]}x{shape[0]}; "
            "draw the mask on the original image"
        )
    return np.asarray(mask.reshape(*shape, -1).max(axis=2) > 0)  # an opacity channel is dropped: it is no mark
