"""Gray values stretched picture by picture: what is too flat to be stretched, and what a domain is painted over with."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from inspector.anomaly.domain.domain import ImageDomain
from inspector.anomaly.preprocess.images import preprocess_images
from inspector.anomaly.preprocess.param import DLPreprocessParam

Stretched = Literal["all_channels", "first_channel"]
LOW, HIGH = -1.0, 3.0


def stretched(image: NDArray[np.uint8], normalization_type: Stretched, **fields: Any) -> torch.Tensor:
    """(3, 64, 64)."""
    param = DLPreprocessParam(
        image_width=64,
        image_height=64,
        normalization_type=normalization_type,
        image_range_min=LOW,
        image_range_max=HIGH,
        **fields,
    )
    return preprocess_images([image], param, torch.device("cpu"))[0]


@pytest.mark.parametrize("normalization_type", ["all_channels", "first_channel"])
def test_what_varies_by_less_than_half_a_gray_level_is_flat(normalization_type: Stretched) -> None:
    """One pixel among many: after the resize a quarter of a gray level is left, which is rounding and no picture."""
    image = np.full((128, 128, 3), 100, np.uint8)
    image[64, 64] = 101
    assert torch.equal(stretched(image, normalization_type), torch.full((3, 64, 64), (LOW + HIGH) / 2))


@pytest.mark.parametrize("normalization_type", ["all_channels", "first_channel"])
def test_a_whole_gray_level_is_a_picture_and_fills_the_range(normalization_type: Stretched) -> None:
    image = np.full((64, 64, 3), 100, np.uint8)
    image[10, 20] = 101
    found = stretched(image, normalization_type)
    assert (float(found.min()), float(found.max())) == (LOW, HIGH)
    assert float(found[0, 10, 20]) == HIGH


@pytest.mark.parametrize("outside", [0, 30, 255])
@pytest.mark.parametrize("normalization_type", ["all_channels", "first_channel"])
def test_outside_the_domain_lies_the_mean_of_what_is_inside(normalization_type: Stretched, outside: int) -> None:
    """Not of the whole picture: what lies outside would shift what the network sees around the domain's edge."""
    image = np.full((64, 64, 3), outside, np.uint8)
    image[:, :16] = 40
    image[:, 16:32] = 140
    domain = ImageDomain.rectangle(0, 0, 32, 64, image_width=64, image_height=64)
    found = stretched(image, normalization_type, domain_handling="keep_domain", domain=domain)
    torch.testing.assert_close(found[:, :, :16], torch.full((3, 64, 16), LOW))
    torch.testing.assert_close(found[:, :, 16:32], torch.full((3, 64, 16), HIGH))
    torch.testing.assert_close(found[:, :, 32:], torch.full((3, 64, 32), (LOW + HIGH) / 2))


def test_each_channel_is_painted_with_its_own_mean() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, :32] = (10, 100, 200)
    image[0, 0], image[1, 1] = (0, 0, 0), (20, 200, 255)
    domain = ImageDomain.rectangle(0, 0, 32, 64, image_width=64, image_height=64)
    found = stretched(image, "all_channels", domain_handling="keep_domain", domain=domain)
    inside = image[:, :32].reshape(-1, 3).astype(np.float64)
    mean = LOW + (HIGH - LOW) * inside.mean(0) / inside.max(0)
    np.testing.assert_allclose(found[:, 5, 40].numpy(), mean, rtol=1e-5)
