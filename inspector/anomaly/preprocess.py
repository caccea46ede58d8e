"""Decoded pictures -> the network's input, on the device. The one preprocessing function of trainer and service.

Each picture is resized by itself, so nothing about it depends on the pictures beside it in the batch. The resize is
bilinear with a support that grows with the reduction (antialiased), computed in float32 on either device.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from inspector.anomaly.errors import ParameterError
from inspector.anomaly.types import DLPreprocessParam

COLOUR_CHANNELS = 3


class Preprocessor:
    """Holds the normalisation constants on the device.

    Args:
        param: The stored parameters.
        device: Where the batch is built.
    """

    def __init__(self, param: DLPreprocessParam, device: torch.device) -> None:
        self.param = param
        self._device = device
        mean = torch.tensor(param.mean_values_normalization, dtype=torch.float32, device=device)
        deviation = torch.tensor(param.deviation_values_normalization, dtype=torch.float32, device=device)
        self._scale = (1.0 / deviation)[:, None, None]
        self._offset = (-mean / deviation)[:, None, None]

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Resize and normalise.

        Args:
            images: Each (H, W) gray or (H, W, 3) RGB uint8, of any size; gray is tripled after the resize.

        Returns:
            (B, 3, image_height, image_width) float32 in channels-last memory format, on the device.

        Raises:
            ParameterError: An array is not one of these shapes and types.
        """
        size = (self.param.image_height, self.param.image_width)
        batch = torch.empty(
            (len(images), COLOUR_CHANNELS, *size), device=self._device, memory_format=torch.channels_last
        )
        for index, image in enumerate(images):
            torch.addcmul(self._offset, self._resized(image, size), self._scale, out=batch[index])
        return batch

    def _resized(self, image: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
        gray = image.ndim == 2  # noqa: PLR2004 - (H, W)
        is_colour = image.ndim == 3 and image.shape[2] == COLOUR_CHANNELS  # noqa: PLR2004
        if image.dtype != np.uint8 or not (gray or is_colour) or not image.size:
            raise ParameterError(f"images are (H, W) or (H, W, 3) uint8, got {image.shape} {image.dtype}")
        # A frame of a raw format is a read-only view of its message; torch would warn, though nothing is written here.
        # A flipped view (BGR turned to RGB) it does not take at all.
        is_plain = image.flags.writeable and image.flags.c_contiguous
        pixels = torch.from_numpy(image if is_plain else np.array(image, order="C"))
        pixels = pixels[None] if gray else pixels.permute(2, 0, 1)  # (C, H, W) uint8
        pixels = pixels.to(self._device, non_blocking=True).float()
        if pixels.shape[1:] != size:
            pixels = functional.interpolate(
                pixels[None], size=size, mode="bilinear", align_corners=False, antialias=True
            )[0]
        return pixels
