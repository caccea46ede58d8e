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

from inspector.anomaly.domain.cache import KEPT_PIXELS, KEPT_SIZES, PerDomain
from inspector.anomaly.domain.domain import DomainView
from inspector.anomaly.domain.mask import pixels_kept
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.preprocess.steps import run_preprocess_steps

COLOUR_CHANNELS = 3

_FLAT_SPAN = 0.5
"""Gray levels. A channel that varies by less is flat: stretched, the rounding of its resize would be all there is to see."""

_BT601 = (0.299, 0.587, 0.114)
_MIDDLE_GRAY = 127.5

_STRIP_PIXELS = 2**18


def preprocess_images(
    images: Sequence[NDArray[np.uint8]], preprocess_param: DLPreprocessParam, device: torch.device
) -> Tensor:
    """Bring pictures to the network's input: own steps, domain, resize, channels, normalisation. Thread safe.

    `preprocess_dl_samples` is the same for samples.

    Args:
        images: Each (H, W) gray or (H, W, 3) RGB uint8, of any size; gray is tripled after the resize.
        preprocess_param: The stored parameters.
        device: Where the batch is built.

    Returns:
        (B, 3, image_height, image_width) float32 in channels-last memory format, on the device.

    Raises:
        ParameterError: An array is not one of these shapes and types, or the parameters make several inputs of a picture.
        StepError: An own step is not installed, fails, or returns something else than a picture.
        GeometryError: A picture has not the aspect that the domain was drawn on.
    """
    if preprocess_param.tile is not None:
        raise ParameterError(
            "with tiles a picture becomes several inputs, so it cannot be preprocessed to a single one; give the "
            "original pictures to the training and to apply_dl_model"
        )
    size = (preprocess_param.image_height, preprocess_param.image_width)
    view, constants = preprocess_param.view, _normalisation(preprocess_param, device)
    batch = torch.empty((len(images), COLOUR_CHANNELS, *size), device=device, memory_format=torch.channels_last)
    for index, image in enumerate(images):
        picture = check_image(image)
        if preprocess_param.preprocess_steps:
            picture = run_preprocess_steps(picture, preprocess_param.preprocess_steps)
        pixels = _to_device(picture, device) if view is None else _seen(picture, preprocess_param, view, device)
        pixels = _resized(pixels, size)
        if preprocess_param.image_num_channels == 1 and len(pixels) == COLOUR_CHANNELS:
            pixels = (pixels * _weights(device)).sum(0, keepdim=True)
        offset, scale = constants or _stretch(pixels, preprocess_param)
        torch.addcmul(offset, pixels, scale, out=batch[index])
    return batch


def check_image(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture that is one.

    Raises:
        ParameterError: It is not (H, W) gray or (H, W, 3) RGB uint8, or has no pixel.
    """
    is_gray = image.ndim == 2  # noqa: PLR2004 - (H, W)
    is_colour = image.ndim == 3 and image.shape[2] == COLOUR_CHANNELS  # noqa: PLR2004
    if image.dtype != np.uint8 or not (is_gray or is_colour) or not image.size:
        raise ParameterError(f"images must be (H, W) or (H, W, 3) uint8, got {image.shape} {image.dtype}")
    return image


@functools.lru_cache(maxsize=64)
def _normalisation(param: DLPreprocessParam, device: torch.device) -> tuple[Tensor, Tensor] | None:
    """Offset and scale, each (3, 1, 1) float32; None where they come from each picture.

    Kept: a copy to a GPU for each batch would wait for the batch before it.
    """
    if param.normalization_type == "constant_values":
        mean = torch.tensor(param.mean_values_normalization, dtype=torch.float32, device=device)
        deviation = torch.tensor(param.deviation_values_normalization, dtype=torch.float32, device=device)
        return (-mean / deviation)[:, None, None], (1.0 / deviation)[:, None, None]
    if param.normalization_type == "none":
        low, high = param.image_range_min, param.image_range_max
        offset = torch.full((COLOUR_CHANNELS, 1, 1), low, device=device)
        return offset, torch.full((COLOUR_CHANNELS, 1, 1), (high - low) / 255.0, device=device)
    return None


def _stretch(pixels: Tensor, param: DLPreprocessParam) -> tuple[Tensor, Tensor]:
    """Offset (3, 1, 1) and scale (C, 1, 1) that stretch this picture's own gray values to the range."""
    low, high = param.image_range_min, param.image_range_max
    measured = pixels[:1] if param.normalization_type == "first_channel" else pixels
    smallest, largest = measured.amin((1, 2), keepdim=True), measured.amax((1, 2), keepdim=True)
    span = largest - smallest
    is_flat = span < _FLAT_SPAN
    scale = torch.where(is_flat, 0.0, (high - low) / span.clamp_min(_FLAT_SPAN))
    offset = torch.where(is_flat, (low + high) / 2, low - smallest * scale)
    return offset.expand(COLOUR_CHANNELS, 1, 1), scale


def _to_device(image: NDArray[np.uint8], device: torch.device) -> Tensor:
    """(H, W) or (H, W, 3) uint8 -> (C, H, W) float32."""
    # A frame of a raw format is a read-only view of its message; torch would warn, though nothing is written here.
    # A flipped view (BGR turned to RGB) it does not take at all.
    is_plain = image.flags.writeable and image.flags.c_contiguous
    pixels = torch.from_numpy(image if is_plain else np.array(image, order="C"))
    pixels = pixels[None] if image.ndim == 2 else pixels.permute(2, 0, 1)  # noqa: PLR2004 - (H, W)
    return pixels.to(device, non_blocking=True).float()


def _seen(image: NDArray[np.uint8], param: DLPreprocessParam, view: DomainView, device: torch.device) -> Tensor:
    """(C, H', W') float32: what the model sees of the picture, with all that lies outside the domain painted over.

    Before the resize: after it, what lies outside would have run into what lies inside.
    """
    height, width = image.shape[:2]
    view.domain.check_size(width, height)
    x, y, across, down = view.box(width, height)
    pixels = _to_device(image[y : y + down, x : x + across], device)
    if view.is_all:
        return pixels
    inside = _inside(view, width, height, device)
    # In place: a large picture in float32 is large, and the service's memory bound has one of it for each thread.
    return torch.where(inside, pixels, _paint(pixels, inside, param), out=pixels)


_on_gpu: PerDomain[Tensor] = PerDomain(KEPT_SIZES)


def _inside(view: DomainView, width: int, height: int, device: torch.device) -> Tensor:
    """(H', W') bool, of what the model sees."""

    def make() -> Tensor:
        x, y, across, down = view.box(width, height)
        return torch.from_numpy(pixels_kept(view.domain, width, height))[y : y + down, x : x + across].to(device)

    if device.type == "cpu" or width * height > KEPT_PIXELS:
        return make()
    return _on_gpu.get(view.domain, (view.is_crop, width, height, device), make)  # kept, as the normalisation is


def _paint(pixels: Tensor, inside: Tensor, param: DLPreprocessParam) -> Tensor:
    """What to paint with, to be broadcast to (C, H, W); see `DLPreprocessParam`."""
    if param.normalization_type == "none":
        return pixels.new_full((), _MIDDLE_GRAY)
    if param.normalization_type == "constant_values":
        mean = _constant_paint(param, pixels.device)
        return mean if len(pixels) == COLOUR_CHANNELS else (mean * _weights(pixels.device)).sum(0, keepdim=True)
    # A strip at a time, which changes no sum of whole numbers: the terms take three times what the picture takes.
    rows = max(1, _STRIP_PIXELS // inside.shape[1])
    total = torch.zeros((len(pixels), 1, 1), dtype=torch.float64, device=pixels.device)
    for strip, part in zip(torch.split(pixels, rows, 1), torch.split(inside, rows), strict=True):
        total += torch.where(part, strip, 0.0).double().sum((1, 2), keepdim=True)
    return (total / torch.count_nonzero(inside).clamp_min(1)).float()


@functools.lru_cache(maxsize=64)
def _constant_paint(param: DLPreprocessParam, device: torch.device) -> Tensor:
    return torch.tensor(param.mean_values_normalization, dtype=torch.float32, device=device)[:, None, None]


@functools.lru_cache(maxsize=8)
def _weights(device: torch.device) -> Tensor:
    return torch.tensor(_BT601, dtype=torch.float32, device=device)[:, None, None]


def _resized(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    if pixels.shape[1:] == size:
        return pixels
    return functional.interpolate(pixels[None], size=size, mode="bilinear", align_corners=False, antialias=True)[0]
