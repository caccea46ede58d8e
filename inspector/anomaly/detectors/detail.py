"""Where a picture itself has an edge or a line: its local contrast, at half the input's resolution.

Features of stride 4 tell to within a few pixels where a defect is, and its outline is drawn by the picture alone. So the map is
multiplied by a small power of this (`refine`): within a few pixels the strongest pixel moves to the line of a crack, and the level of
a place stays what the features make it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from inspector.anomaly.errors import ParameterError

DETAIL_STRIDE = 2
"""Pixels of the input for one value."""

_SIDE = 9
"""Side of the squares that are averaged over, in values."""
_FLOOR_SHARE = 2.0
"""Of the picture's mean contrast, added to a value's contrast and to the mean around it: where a picture shows nothing, its noise is
no detail. What preprocessing paints over outside a domain is part of the picture."""
_LEAST = 1e-3
"""Added as well, in units of the input, far above rounding: an eighth of a gray value for EfficientNet-Lite."""


def local_detail(batch: Tensor) -> Tensor:
    """Return each place's contrast, as a ratio to the mean contrast of the square around it.

    A value's contrast is its difference from the mean of the square around it. Contrast and light of the whole picture have no influence, nor have
    other pictures of the batch.

    Args:
        batch: (B, 3, H, W) float32, as `preprocess_images` gives it; H and W even.

    Returns:
        (B, H / 2, W / 2) float32, above 0, around 1.
    """
    channels, side = batch.shape[1], DETAIL_STRIDE
    mean = batch.new_full((1, channels, side, side), 1 / (channels * side**2))
    gray = functional.conv2d(batch, mean, stride=side)[:, 0]
    gray -= gray.mean((1, 2), keepdim=True)  # leaves fewer digits to cancel
    contrast = (gray - _averaged(gray)).abs_()
    floor = contrast.mean((1, 2), keepdim=True).mul_(_FLOOR_SHARE).add_(_LEAST)
    return (contrast + floor).div_(_averaged(contrast) + floor)


def has_room_for_detail(strides: Sequence[int], grid_level: int) -> bool:
    """Whether the finest of the levels of these strides is finer than the grid, and its stride is a multiple of `DETAIL_STRIDE`."""
    return strides[0] < strides[grid_level] and strides[0] % DETAIL_STRIDE == 0


def fold_detail(detail: Tensor, out: Tensor) -> None:
    """Write (B, r h, r w) into `out`, (B, h, w, r r): row and column in the grid's position.

    Raises:
        ParameterError: The detail is no whole number of times as fine as the grid.
    """
    batch, height, width, dims = out.shape
    ratio = detail.shape[-1] // width
    if detail.shape[1:] != (ratio * height, ratio * width) or dims != ratio**2:
        raise ParameterError(f"a detail of {tuple(detail.shape[1:])} does not fold into a grid of {(height, width)}")
    parts = detail.view(batch, height, ratio, width, ratio)
    torch.unflatten(out, -1, (ratio, ratio)).copy_(parts.permute(0, 1, 3, 2, 4))


def _averaged(values: Tensor) -> Tensor:
    """(B, h, w) -> the same: the mean over the square around each, of what of it lies inside. As products, which is faster than pooling."""
    height, width = values.shape[1:]
    return _band(height, values.device) @ (values @ _band(width, values.device).T)


@functools.lru_cache(maxsize=16)
def _band(size: int, device: torch.device) -> Tensor:
    """(size, size) float32: each row takes the mean of the `_SIDE` values around its own."""
    places = torch.arange(size, device=device)
    near = ((places[:, None] - places).abs() <= _SIDE // 2).float()
    return near / near.sum(1, keepdim=True)
