from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from inspector.anomaly.domain.domain import ImageDomain
from inspector.anomaly.errors import GeometryError, ParameterError
from inspector.anomaly.model.model import AnomalyModel, apply_dl_model
from inspector.anomaly.preprocess.images import preprocess_images
from inspector.anomaly.preprocess.param import DLPreprocessParam, create_dl_preprocess_param
from inspector.anomaly.preprocess.samples import (
    gen_dl_samples_from_images,
    preprocess_dl_samples,
    resample_ground_truth,
)
from tests.models import nok_picture, ok_picture, tiny_model

CPU = torch.device("cpu")
PARAM = create_dl_preprocess_param(image_width=64, image_height=64)
OTHER = create_dl_preprocess_param(image_width=64, image_height=64, normalization_type="none")


@functools.cache
def model() -> AnomalyModel:
    return tiny_model()


def pictures(count: int = 3) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(5)
    return [(ok_picture, nok_picture)[index % 2](rng) for index in range(count)]


# ------------------------------------------------------------------------------------------ gen_dl_samples_from_images


def test_each_picture_becomes_a_sample_with_an_id() -> None:
    images = [np.zeros((48, 64, 3), np.uint8), np.zeros((10, 20), np.uint8)]
    first, second = gen_dl_samples_from_images(images)
    assert (first.image_id, first.original_width, first.original_height, first.channels) == (0, 64, 48, 3)
    assert (second.image_id, second.original_width, second.original_height, second.channels) == (1, 20, 10, 1)
    assert first.image is images[0]
    assert [s.image_id for s in gen_dl_samples_from_images(images, image_ids=["a", 7])] == ["a", 7]


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        ([], {}, "images is empty; give at least one picture"),
        (
            [np.zeros((4, 4), np.float32)],
            {},
            r"image 0: images must be \(H, W\) or \(H, W, 3\) uint8, got \(4, 4\) float32",
        ),
        (
            [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)],
            {},
            r"image 1: images must be .* got \(4, 4, 4\)",
        ),
        (["a.png"], {"image_ids": ["a"]}, "image a is a str; give a numpy array of uint8"),
        (np.zeros((4, 4, 4), np.uint8), {}, r"image 0: images must be \(H, W\) or \(H, W, 3\) uint8, got \(4, 4, 4\)"),
        (np.zeros((4, 4)), {}, r"image 0: images must be .*, got \(4, 4\) float64"),
        (np.zeros((0, 4), np.uint8), {}, r"image 0: images must be .*, got \(0, 4\)"),
        ([np.zeros((4, 4), np.uint8)], {"image_ids": [1, 2]}, r"image_ids must be 1 different ids.* got \[1, 2\]"),
        ([np.zeros((4, 4), np.uint8)] * 2, {"image_ids": [1, 1]}, r"image_ids must be 2 different ids.* got \[1, 1\]"),
    ],
)
def test_refused_images(images: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        gen_dl_samples_from_images(images, **options)


@pytest.mark.parametrize("shape", [(48, 64), (48, 64, 3)])
def test_one_array_is_one_picture_and_not_its_rows(shape: tuple[int, ...]) -> None:
    picture = np.zeros(shape, np.uint8)
    (sample,) = gen_dl_samples_from_images(picture)
    assert sample.image is picture
    assert (sample.image_id, sample.original_width, sample.original_height) == (0, 64, 48)
    (named,) = gen_dl_samples_from_images(picture, image_ids=["part 7"])
    assert named.image_id == "part 7"


def test_an_array_of_pictures_is_several() -> None:
    assert len(gen_dl_samples_from_images(np.zeros((5, 48, 64, 3), np.uint8))) == 5


# ----------------------------------------------------------------------------------------------- preprocess_dl_samples


def test_samples_and_pictures_go_through_one_computation() -> None:
    images = [*pictures(), np.random.default_rng(0).integers(0, 256, (201, 77), dtype=np.uint8)]
    samples = gen_dl_samples_from_images(images)
    batch = preprocess_dl_samples(samples, PARAM)
    assert torch.equal(batch, preprocess_images(images, PARAM, CPU))
    for sample, tensor in zip(samples, batch, strict=True):
        assert sample.preprocessed is not None
        assert torch.equal(sample.preprocessed, tensor)
        assert sample.preprocess_digest == PARAM.digest


def test_doing_it_again_changes_nothing_and_with_other_parameters_starts_from_the_picture() -> None:
    samples = gen_dl_samples_from_images(pictures())
    first = preprocess_dl_samples(samples, PARAM).clone()
    assert torch.equal(preprocess_dl_samples(samples, PARAM), first)
    assert torch.equal(preprocess_dl_samples(samples, OTHER), preprocess_images(pictures(), OTHER, CPU))
    assert samples[0].preprocess_digest == OTHER.digest


def test_the_model_takes_what_was_preprocessed_and_says_the_same() -> None:
    images = pictures(5)
    expected = apply_dl_model(model(), gen_dl_samples_from_images(images), batch_size=2)
    samples = gen_dl_samples_from_images(images)
    preprocess_dl_samples(samples[:3], model().preprocess_param)  # the second batch is mixed
    for sample in samples[:3]:
        sample.image = np.zeros((0, 0), np.uint8)  # only what was preprocessed can have been used
    found = apply_dl_model(model(), samples, batch_size=2)
    assert [r.anomaly_score for r in found] == pytest.approx([r.anomaly_score for r in expected], rel=1e-5)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.anomaly_image, other.anomaly_image, rtol=1e-5)


def test_one_sample_is_taken_as_several_are() -> None:
    (sample,) = gen_dl_samples_from_images(pictures(1))
    (alone,) = apply_dl_model(model(), sample)
    (among,) = apply_dl_model(model(), [sample])
    assert alone.anomaly_score == among.anomaly_score
    assert preprocess_dl_samples(sample, PARAM).shape[0] == 1
    assert sample.preprocess_digest == PARAM.digest


def test_pictures_are_no_samples() -> None:
    message = "samples must be DLSample, got ndarray; make them from pictures with gen_dl_samples_from_images"
    given: Any = pictures()
    with pytest.raises(ParameterError, match=message):
        apply_dl_model(model(), given)
    with pytest.raises(ParameterError, match=message):
        preprocess_dl_samples(given, PARAM)


def test_the_model_refuses_what_was_preprocessed_otherwise() -> None:
    samples = gen_dl_samples_from_images(pictures())
    preprocess_dl_samples(samples, OTHER)
    with pytest.raises(ParameterError, match="sample 0 was preprocessed with different parameters"):
        apply_dl_model(model(), samples)


def test_what_has_no_picture_cannot_be_preprocessed_otherwise() -> None:
    (sample,) = gen_dl_samples_from_images(pictures(1))
    preprocess_dl_samples([sample], PARAM)
    sample.image = np.zeros((0, 0), np.uint8)
    expected = sample.preprocessed
    assert expected is not None
    assert torch.equal(preprocess_dl_samples([sample], PARAM)[0], expected)
    with pytest.raises(ParameterError, match="sample 0 was preprocessed with different parameters"):
        preprocess_dl_samples([sample], OTHER)


def test_no_sample_and_no_picture_are_refused() -> None:
    with pytest.raises(ParameterError, match="samples is empty; give at least one"):
        preprocess_dl_samples([], PARAM)
    (sample,) = gen_dl_samples_from_images(pictures(1))
    sample.image = np.zeros((0, 0), np.uint8)
    with pytest.raises(ParameterError, match=r"images must be \(H, W\) or \(H, W, 3\) uint8, got \(0, 0\)"):
        preprocess_dl_samples([sample], PARAM)


# -------------------------------------------------------------------------------------------------------- ground truth


def with_truth(truth: NDArray[Any], param: DLPreprocessParam = PARAM) -> NDArray[np.bool_]:
    height, width = truth.shape
    (sample,) = gen_dl_samples_from_images([np.zeros((height, width), np.uint8)])
    sample.anomaly_ground_truth = truth
    preprocess_dl_samples([sample], param)
    found = sample.anomaly_ground_truth
    assert found is not None
    return found


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int32, np.float32])
def test_the_ground_truth_is_resampled_to_the_nearest_pixel(dtype: type) -> None:
    rng = np.random.default_rng(0)
    truth: NDArray[Any] = (rng.random((100, 150)) > 0.7).astype(dtype)
    if dtype is not np.bool_:
        truth *= 3
    found = with_truth(truth)
    assert found.dtype == np.bool_
    assert found.shape == (64, 64)
    expected = [[truth[int((y + 0.5) * 100 / 64), int((x + 0.5) * 150 / 64)] > 0 for x in range(64)] for y in range(64)]
    np.testing.assert_array_equal(found, expected)


def test_the_ground_truth_is_that_of_the_picture_as_taken_and_is_resampled_once() -> None:
    (sample,) = gen_dl_samples_from_images([np.zeros((50, 75), np.uint8)])
    sample.original_width, sample.original_height = 600, 400  # decoded at reduced scale
    sample.anomaly_ground_truth = np.zeros((400, 600), np.bool_)
    sample.anomaly_ground_truth[:200] = True
    for _ in range(2):
        preprocess_dl_samples([sample], PARAM)
        np.testing.assert_array_equal(sample.anomaly_ground_truth.sum(0), 32)
    with pytest.raises(ParameterError, match="ground truth of sample 0 was already resized for different"):
        preprocess_dl_samples([sample], OTHER)


def test_the_ground_truth_of_a_crop_is_that_of_the_crop() -> None:
    truth = np.zeros((100, 200), np.bool_)
    truth[40:60, 100:120] = True
    domain = ImageDomain.rectangle(80, 20, 64, 64, image_width=200, image_height=100)
    param = create_dl_preprocess_param(image_width=64, image_height=64, domain_handling="crop_domain", domain=domain)
    np.testing.assert_array_equal(with_truth(truth, param), truth[20:84, 80:144])


def test_the_ground_truth_outside_the_domain_does_not_count() -> None:
    domain = ImageDomain.rectangle(0, 0, 64, 32, image_width=64, image_height=64)
    param = create_dl_preprocess_param(image_width=64, image_height=64, domain_handling="keep_domain", domain=domain)
    found = with_truth(np.ones((64, 64), np.bool_), param)
    assert found[:32].all()
    assert not found[32:].any()


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (np.full((64, 64), -1, np.int32), "the ground truth of sample 1 has values below 0"),
        (np.full((64, 64), np.nan, np.float32), "the ground truth of sample 1 has values below 0"),
        (np.zeros((64, 63), np.bool_), r"sample 1 has the shape \(64, 63\), its picture was taken with \(64, 64\)"),
        (np.zeros((64, 64, 1), np.bool_), r"sample 1 has the shape \(64, 64, 1\)"),
    ],
)
def test_refused_ground_truth_leaves_every_sample_as_it_was(truth: NDArray[Any], message: str) -> None:
    samples = gen_dl_samples_from_images(pictures(2))
    samples[1].anomaly_ground_truth = truth
    with pytest.raises(ParameterError, match=message):
        preprocess_dl_samples(samples, PARAM)
    assert [sample.preprocessed for sample in samples] == [None, None]
    assert samples[1].anomaly_ground_truth is truth


def test_a_ground_truth_by_itself_names_its_picture() -> None:
    with pytest.raises(ParameterError, match=r"ground truth of a.png has values below 0"):
        resample_ground_truth(np.full((4, 4), -1, np.int8), PARAM, name="a.png")


def test_a_picture_of_another_aspect_than_the_domain_is_refused() -> None:
    domain = ImageDomain.rectangle(0, 0, 64, 32, image_width=640, image_height=480)
    param = create_dl_preprocess_param(image_width=64, image_height=64, domain_handling="keep_domain", domain=domain)
    samples = gen_dl_samples_from_images([np.zeros((100, 200), np.uint8)])
    with pytest.raises(
        GeometryError, match="drawn on a picture of 640 x 480 pixels, got 200 x 100, which has another aspect"
    ):
        preprocess_dl_samples(samples, param)
