"""Decoded pictures -> the network's input, on the device. The one preprocessing function of trainer and service.

Each picture is resized by itself, so nothing about it depends on the pictures beside it in the batch. The resize is
bilinear with a support that grows with the reduction (antialiased), computed in float32 on either device.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from inspector.anomaly.errors import ParameterError
from inspector.anomaly.types import DLPreprocessParam

COLOUR_CHANNELS = 3


def preprocess_dl_samples(
    images: Sequence[NDArray[np.uint8]], preprocess_param: DLPreprocessParam, device: torch.device
) -> Tensor:
    """Resize and normalise, as the procedure of that name does.

    Args:
        images: Each (H, W) gray or (H, W, 3) RGB uint8, of any size; gray is tripled after the resize.
        preprocess_param: The stored parameters.
        device: Where the batch is built.

    Returns:
        (B, 3, image_height, image_width) float32 in channels-last memory format, on the device.

    Raises:
        ParameterError: An array is not one of these shapes and types.
    """
    size = (preprocess_param.image_height, preprocess_param.image_width)
    offset, scale = _normalisation(preprocess_param, device)
    batch = torch.empty((len(images), COLOUR_CHANNELS, *size), device=device, memory_format=torch.channels_last)
    for index, image in enumerate(images):
        torch.addcmul(offset, _resized(image, size, device), scale, out=batch[index])
    return batch


@functools.lru_cache(maxsize=64)
def _normalisation(param: DLPreprocessParam, device: torch.device) -> tuple[Tensor, Tensor]:
    """Offset and scale, each (3, 1, 1) float32. Kept: a copy to a GPU for each batch would wait for the batch before it."""
    mean = torch.tensor(param.mean_values_normalization, dtype=torch.float32, device=device)
    deviation = torch.tensor(param.deviation_values_normalization, dtype=torch.float32, device=device)
    return (-mean / deviation)[:, None, None], (1.0 / deviation)[:, None, None]


def _resized(image: NDArray[np.uint8], size: tuple[int, int], device: torch.device) -> Tensor:
    gray = image.ndim == 2  # noqa: PLR2004 - (H, W)
    is_colour = image.ndim == 3 and image.shape[2] == COLOUR_CHANNELS  # noqa: PLR2004
    if image.dtype != np.uint8 or not (gray or is_colour) or not image.size:
        raise ParameterError(f"images are (H, W) or (H, W, 3) uint8, got {image.shape} {image.dtype}")
    # A frame of a raw format is a read-only view of its message; torch would warn, though nothing is written here.
    # A flipped view (BGR turned to RGB) it does not take at all.
    is_plain = image.flags.writeable and image.flags.c_contiguous
    pixels = torch.from_numpy(image if is_plain else np.array(image, order="C"))
    pixels = pixels[None] if gray else pixels.permute(2, 0, 1)  # (C, H, W) uint8
    pixels = pixels.to(device, non_blocking=True).float()
    if pixels.shape[1:] != size:
        pixels = functional.interpolate(pixels[None], size=size, mode="bilinear", align_corners=False, antialias=True)[
            0
        ]
    return pixels
