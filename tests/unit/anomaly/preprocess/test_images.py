from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inspector.anomaly.errors import ParameterError
from inspector.anomaly.preprocess.image import ImageLimits, RawLayout, decode_image
from inspector.anomaly.preprocess.images import preprocess_images
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.types import DLSample, Thresholds
from inspector.stages.decode import decode_frame
from tests.fakes import FakeModel
from tests.frames import camera_frame
from tests.models import encoded, ok_picture
from trainer.pictures.files import read_samples

CPU = torch.device("cpu")
PARAM = DLPreprocessParam(image_width=96, image_height=64)


def preprocessed(*images: NDArray[np.uint8], param: DLPreprocessParam = PARAM) -> torch.Tensor:
    return preprocess_images(images, param, CPU)


def normalised(image: NDArray[np.uint8] | NDArray[np.float64], param: DLPreprocessParam = PARAM) -> NDArray[np.float64]:
    """(H, W, 3) -> (3, H, W), in float64."""
    mean, deviation = np.array(param.mean_values_normalization), np.array(param.deviation_values_normalization)
    return np.asarray(((image - mean) / deviation).transpose(2, 0, 1), dtype=np.float64)


def test_a_picture_of_the_input_size_is_only_normalised() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    batch = preprocessed(image)
    assert batch.shape == (1, 3, 64, 96)
    assert batch.dtype == torch.float32
    np.testing.assert_allclose(batch[0].numpy(), normalised(image), rtol=1e-5, atol=1e-5)


def test_gray_is_the_same_gray_three_times() -> None:
    gray = np.random.default_rng(0).integers(0, 256, (50, 131), dtype=np.uint8)
    tripled = np.repeat(gray[..., None], 3, axis=2)
    assert torch.equal(preprocessed(gray), preprocessed(tripled))


@given(width=st.integers(1, 300), height=st.integers(1, 300), is_gray=st.booleans(), level=st.integers(0, 255))
@settings(max_examples=40)
def test_any_size_fits_and_a_flat_picture_stays_flat(width: int, height: int, *, is_gray: bool, level: int) -> None:
    image = np.full((height, width) if is_gray else (height, width, 3), level, np.uint8)
    batch = preprocessed(image)
    assert batch.shape == (1, 3, 64, 96)
    expected = normalised(np.full((1, 1, 3), level, np.uint8))
    np.testing.assert_allclose(batch[0].numpy(), np.broadcast_to(expected, (3, 64, 96)), rtol=1e-4, atol=1e-4)


def test_reducing_does_not_alias() -> None:
    """Stripes finer than the input's pixels become gray, where plain bilinear sampling would show broad false stripes."""
    fine = np.zeros((640, 960), np.uint8)
    fine[:, ::2] = 255
    batch = preprocessed(fine)
    flat = preprocessed(np.full((64, 96), 128, np.uint8))
    assert float((batch - flat).abs().max()) < 0.1


def test_the_resize_matches_the_area_mean_of_a_whole_reduction_in_the_middle() -> None:
    """A smooth picture reduced by four is close to the mean of each block of 4 x 4, and not shifted by half a pixel."""
    y, x = np.mgrid[0:256, 0:384]
    image = np.repeat((127 + 60 * np.sin(x / 40) + 60 * np.cos(y / 30))[..., None], 3, axis=2).astype(np.uint8)
    blocks = image.reshape(64, 4, 96, 4, 3).mean((1, 3))
    difference = preprocessed(image)[0].numpy() - normalised(blocks)
    assert np.abs(difference[:, 1:-1, 1:-1]).max() * 58 < 1.0  # in gray levels


def test_a_picture_does_not_depend_on_those_beside_it() -> None:
    rng = np.random.default_rng(1)
    sizes = [(64, 96), (1, 1), (333, 77), (64, 96), (17, 500)]
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    images.insert(2, rng.integers(0, 256, (200, 31), dtype=np.uint8))
    together = preprocessed(*images)
    for index, image in enumerate(images):
        assert torch.equal(together[index], preprocessed(image)[0])


def test_the_batch_is_channels_last_and_pictures_are_left_alone() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    before = image.copy()
    batch = preprocessed(image, image)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(image, before)


def test_read_only_and_strided_views_are_taken_as_they_are() -> None:
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8).tobytes()
    read_only = decode_image(raw, raw=RawLayout(96, 64, "rgb8")).image
    assert not read_only.flags.writeable
    own = read_only.copy()
    assert torch.equal(preprocessed(read_only), preprocessed(own))
    bgr = own[..., ::-1]
    assert torch.equal(preprocessed(bgr), preprocessed(bgr.copy()))
    flipped = own[::-1, ::2]
    assert torch.equal(preprocessed(flipped), preprocessed(flipped.copy()))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((64, 96, 3), np.uint16),
        np.zeros((64, 96, 3), np.float32),
        np.zeros((64, 96, 4), np.uint8),
        np.zeros((64, 96, 1), np.uint8),
        np.zeros(96, np.uint8),
        np.zeros((1, 64, 96, 3), np.uint8),
        np.zeros((0, 96), np.uint8),
        np.zeros((64, 0, 3), np.uint8),
    ],
    ids=lambda image: f"{image.shape}-{image.dtype}",
)
def test_other_arrays_are_refused_by_name(image: NDArray[np.uint8]) -> None:
    with pytest.raises(ParameterError, match=r"images must be \(H, W\) or \(H, W, 3\) uint8, got"):
        preprocessed(image)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_width": 100}, "multiple of 32"),
        ({"image_height": 0}, "greater than or equal to 1"),
        ({"image_width": 2048}, "less than or equal to 1024"),
        ({"deviation_values_normalization": (1.0, 0.0, 1.0)}, "deviations must be positive"),
        ({"mean_values_normalization": (float("nan"), 0.0, 0.0)}, "finite"),
        ({"decode_margin": 0.5}, "greater than or equal to 1"),
        ({"image_range_low": 0}, "Extra inputs"),
    ],
)
def test_parameters_out_of_range_are_refused(changes: dict[str, object], message: str) -> None:
    values: dict[str, object] = {"image_width": 96, "image_height": 64}
    with pytest.raises(ValueError, match=message):
        DLPreprocessParam.model_validate(values | changes)


class _ModelOf(FakeModel):
    """A model of these preprocessing parameters that takes any geometry."""

    def __init__(self, param: DLPreprocessParam) -> None:
        super().__init__(Thresholds(classification=0.5, segmentation=0.5))
        self.preprocess_param = param

    def check_geometry(self, sample: DLSample) -> None:
        """Any picture will do."""


@pytest.mark.parametrize("margin", [1.0, 2.0])
@pytest.mark.parametrize(("width", "height"), [(96, 64), (97, 63), (640, 480), (801, 533), (50, 20), (1, 1)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("encoding", ["jpeg", "png"])
def test_trainer_and_service_see_the_same_pixels(
    encoding: Literal["jpeg", "png"], channels: int, width: int, height: int, margin: float, tmp_path: Path
) -> None:
    param = DLPreprocessParam(image_width=96, image_height=64, decode_margin=margin)
    data = encoded(ok_picture(np.random.default_rng(0), width=width, height=height, channels=channels), encoding)
    path = tmp_path / "image"
    path.write_bytes(data)

    ((trained,),) = read_samples([path], param)
    frame = camera_frame("a", 1, 1_800_000_000_000_000, image=data, encoding=encoding)
    served = decode_frame(frame, _ModelOf(param), ImageLimits())

    assert isinstance(served, DLSample)
    np.testing.assert_array_equal(served.image, trained.image)
    assert (served.original_width, served.original_height, served.channels) == (width, height, channels)
    assert (trained.original_width, trained.original_height, trained.channels) == (width, height, channels)
    assert torch.equal(preprocessed(served.image, param=param), preprocessed(trained.image, param=param))


@pytest.mark.parametrize("encoding", ["jpeg", "png"])
def test_a_large_picture_is_reduced_in_both(encoding: Literal["jpeg", "png"]) -> None:
    """Else the parity above would not cover the reduction."""
    data = encoded(ok_picture(np.random.default_rng(0), width=801, height=533), encoding)
    small = decode_image(data, target=PARAM.decode_target, margin=PARAM.decode_margin).image
    assert small.shape == (67, 101, 3)
    # Reduced or whole, a model sees almost the same picture.
    whole = decode_image(data).image
    difference = (preprocessed(small) - preprocessed(whole)).abs().mean() * 128
    assert float(difference) < 4.0  # gray levels
