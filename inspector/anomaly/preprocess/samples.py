"""Samples for a model, from pictures in memory: gen_dl_samples_from_images and preprocess_dl_samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.anomaly.domain.mask import cells_inside
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.preprocess.image import reduced_picture
from inspector.anomaly.preprocess.images import check_image, preprocess_images
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.types import DLSample

_PICTURE_DIMENSIONS: Final = 3
"""An array with this many dimensions or fewer is one picture, valid or not, and never a list of its rows."""


def gen_dl_samples_from_images(
    images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]], *, image_ids: Sequence[int | str] | None = None
) -> list[DLSample]:
    """Return one sample for each picture, like HALCON's procedure of this name, but with an id.

    Args:
        images: Each (H, W) gray or (H, W, 3) RGB uint8 in the size it was taken; not copied. One such array is one
            picture.
        image_ids: As many; by default the numbers from 0.

    Raises:
        ParameterError: There is no picture, one is not as described, or the ids are too few, too many or not unique.
    """
    is_one = isinstance(images, np.ndarray) and images.ndim <= _PICTURE_DIMENSIONS
    given = [images] if is_one else list(images)
    if not given:
        raise ParameterError("images is empty; give at least one picture")
    ids = list(range(len(given))) if image_ids is None else list(image_ids)
    if len(ids) != len(given) or len(set(ids)) != len(ids):
        raise ParameterError(f"image_ids must be {len(given)} different ids, one per picture, got {ids}")
    samples = []
    for image_id, image in zip(ids, given, strict=True):
        if not isinstance(image, np.ndarray):
            raise ParameterError(f"image {image_id} is a {type(image).__name__}; give a numpy array of uint8")
        try:
            height, width = check_image(image).shape[:2]
        except ParameterError as exc:
            raise ParameterError(f"image {image_id}: {exc}") from exc
        channels: Literal[1, 3] = 1 if image.ndim == 2 else 3  # noqa: PLR2004 - (H, W)
        samples.append(DLSample(image, width, height, channels, image_id=image_id))
    return samples


def as_samples(samples: DLSample | Sequence[DLSample]) -> Sequence[DLSample]:
    """One or several samples as several.

    Raises:
        ParameterError: One of them is not a sample, but for instance a picture.
    """
    several = [samples] if isinstance(samples, DLSample) else samples
    given: Sequence[object] = several  # whatever the annotation says
    strangers = [sample for sample in given if not isinstance(sample, DLSample)]
    if strangers:
        raise ParameterError(
            f"samples must be DLSample, got {type(strangers[0]).__name__}; make them from pictures with "
            "gen_dl_samples_from_images"
        )
    return several


def preprocess_dl_samples(
    samples: DLSample | Sequence[DLSample], preprocess_param: DLPreprocessParam, device: torch.device | str = "cpu"
) -> Tensor:
    """Preprocess samples and their ground truth in place, like HALCON's procedure of this name (see `preprocess_images`).

    Sets `preprocessed` and `preprocess_digest`, and brings `anomaly_ground_truth` to the size of the network's input
    (nearest neighbour; of the crop with crop_domain; False outside the domain). A whole picture is halved first as the decoder halves a
    file's (`picture_seen`). `image` is not changed, so it can
    be repeated. A sample read from a cache with these parameters is used as it is. If one sample is refused, none is
    changed.

    Args:
        samples: One or several, as the decoder or `gen_dl_samples_from_images` gives them.
        preprocess_param: The stored parameters.
        device: Where the batch is built.

    Returns:
        (B, 3, image_height, image_width) float32 in channels-last memory format, on the device; `preprocessed` of each
        sample is a part of it.

    Raises:
        ParameterError: No sample, a picture or ground truth that is not as described, or a sample that was preprocessed with
            other parameters and cannot be brought back.
        StepError: As `preprocess_images`.
        GeometryError: As `preprocess_images`.
    """
    samples = as_samples(samples)
    if not samples:
        raise ParameterError("samples is empty; give at least one")
    digest = preprocess_param.digest
    truths = [_ground_truth(sample, preprocess_param, digest) for sample in samples]
    batch = model_input(samples, preprocess_param, torch.device(device), is_fresh=True)
    for sample, truth, tensor in zip(samples, truths, batch, strict=True):
        sample.preprocessed, sample.preprocess_digest, sample.anomaly_ground_truth = tensor, digest, truth
    return batch


def model_input(
    samples: Sequence[DLSample], preprocess_param: DLPreprocessParam, device: torch.device, *, is_fresh: bool = False
) -> Tensor:
    """Return the network's input for samples that are preprocessed already, that are not, or both.

    Args:
        samples: At least one.
        preprocess_param: The model's parameters.
        device: Where the batch is built.
        is_fresh: Preprocess again wherever there is a picture to do it from.

    Returns:
        (B, 3, image_height, image_width) float32 in channels-last memory format, on the device.

    Raises:
        ParameterError: A sample was preprocessed with other parameters, or as `preprocess_images`.
        StepError: As `preprocess_images`.
        GeometryError: As `preprocess_images`.
    """
    digest = preprocess_param.digest
    taken = [_taken(sample, digest, is_fresh=is_fresh) for sample in samples]
    rest = [
        picture_seen(sample, preprocess_param) for sample, tensor in zip(samples, taken, strict=True) if tensor is None
    ]
    made = preprocess_images(rest, preprocess_param, device)
    if len(rest) == len(samples):
        return made
    parts = iter(made)
    stacked = torch.stack([next(parts) if tensor is None else tensor.to(device) for tensor in taken])
    return stacked.contiguous(memory_format=torch.channels_last)


def picture_seen(sample: DLSample, preprocess_param: DLPreprocessParam) -> NDArray[np.uint8]:
    """The sample's picture as the decoder hands it to a model: halved as often as a file's would be.

    So a whole picture in memory has the score of its file. One that was decoded with these parameters stays as it is; the sample is not
    changed.
    """
    return reduced_picture(
        check_image(sample.image),
        preprocess_param.decode_target,
        margin=preprocess_param.decode_margin,
        original_size=(sample.original_width, sample.original_height),
    )


def _taken(sample: DLSample, digest: str, *, is_fresh: bool) -> Tensor | None:
    """What the sample holds already, if it is to be used."""
    if sample.preprocessed is None or (is_fresh and sample.image.size):
        return None
    if sample.preprocess_digest != digest:
        raise ParameterError(
            f"{name_of(sample)} was preprocessed with different parameters; preprocess it again from its picture"
        )
    return sample.preprocessed


def _ground_truth(sample: DLSample, param: DLPreprocessParam, digest: str) -> NDArray[np.bool_] | None:
    """The ground truth in the size of the network's input."""
    truth = sample.anomaly_ground_truth
    if truth is None:
        return None
    if sample.preprocess_digest == digest and truth.shape == (param.image_height, param.image_width):
        return truth  # in this size already
    if sample.preprocess_digest not in (None, digest):
        raise ParameterError(
            f"the ground truth of {name_of(sample)} was already resized for different parameters; create the sample "
            "again from its picture and ground truth"
        )
    width, height = sample.original_width, sample.original_height
    if truth.shape != (height, width):
        raise ParameterError(
            f"the ground truth of {name_of(sample)} has the shape {truth.shape}, its picture was taken with ({height}, "
            f"{width}); draw it on the original picture"
        )
    return resample_ground_truth(truth, param, name=name_of(sample))


def resample_ground_truth(
    truth: NDArray[Any], preprocess_param: DLPreprocessParam, *, name: str = "the picture"
) -> NDArray[np.bool_]:
    """Bring marks of anomalous pixels to the size of the network's input: each pixel as the nearest one of the original.

    Args:
        truth: (H, W) in the size of the picture as taken; values above 0 are anomalous.
        preprocess_param: The stored parameters.
        name: Of the picture, for a refusal.

    Returns:
        (image_height, image_width) bool; of the crop with crop_domain, False outside the domain.

    Raises:
        ParameterError: It has values below 0 or no number.
    """
    if not (truth.dtype == np.bool_ or bool((truth >= 0).all())):  # NaN is not either
        raise ParameterError(f"the ground truth of {name} has values below 0; 0 is ok, everything above is anomalous")
    view = preprocess_param.view
    height, width = truth.shape
    x, y, across, down = (0, 0, width, height) if view is None else view.box(width, height)
    # In whole numbers, hence exact: the centre of pixel i of n lies at (i + 1/2) * size / n.
    rows = y + (2 * np.arange(preprocess_param.image_height) + 1) * down // (2 * preprocess_param.image_height)
    columns = x + (2 * np.arange(preprocess_param.image_width) + 1) * across // (2 * preprocess_param.image_width)
    small: NDArray[np.bool_] = truth[rows[:, None], columns] > 0
    if view is None or view.is_all:
        return small
    return small & cells_inside(view, preprocess_param.image_width, preprocess_param.image_height)


def name_of(sample: DLSample) -> str:
    """Return what a message calls the sample."""
    known = sample.image_file_name if sample.image_id is None else sample.image_id
    return "a sample" if known is None else f"sample {known}"
