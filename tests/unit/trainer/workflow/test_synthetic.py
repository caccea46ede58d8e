"""Scores of synthetic defects on the scale of the thresholds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inspector.anomaly.model.param import DLModelParam
from tests.splits import dataset as dataset_of
from tests.splits import ok_images
from trainer.dataset.dataset import DLDataset
from trainer.prepare.split import SplitParam, split_dl_dataset
from trainer.selection.criterion import SyntheticScores
from trainer.selection.result import ModelSelection, TriedModel
from trainer.thresholds.estimate import estimate_anomaly_thresholds
from trainer.thresholds.scores import CalibrationScores
from trainer.workflow.synthetic import scores_of_defects

N = 20
PARAM = DLModelParam()


def selection(dataset: DLDataset, ok: list[float], defects: list[list[float]]) -> ModelSelection:
    scores = SyntheticScores(np.array(ok), np.array(defects), np.arange(len(ok)) % 3, np.arange(len(ok)))
    ids = tuple(sample.image_id for sample in dataset.train[: len(ok)])
    return ModelSelection(PARAM, (TriedModel(PARAM, 1.0, scores),), "", image_ids=ids, n_defects=len(ok))


def test_distances_are_brought_to_those_of_the_same_images() -> None:
    """Whatever the images are like: here those of the trial are the most unlike of all."""
    dataset = split_dl_dataset(dataset_of(ok_images(N, split=None), "all_ok"))
    calibrated = [9.0, 10.0, 11.0] + [1.0 + place / 100 for place in range(N - 3)]
    found = estimate_anomaly_thresholds(CalibrationScores(ok=calibrated, folds=5))
    scores = scores_of_defects(dataset, found, selection(dataset, [18.0, 20.0, 22.0], [[40.0], [30.0], [2.0]]))
    assert [found.scale.to_distance(score) for score in scores] == pytest.approx([20.0, 15.0, 1.0])


def test_of_other_images_the_medians_are_compared() -> None:
    param = SplitParam(calibration_percent=50, held_out_min=400)
    dataset = split_dl_dataset(dataset_of(ok_images(400, split=None), "all_ok"), param=param)
    assert not dataset.folds
    found = estimate_anomaly_thresholds(CalibrationScores(ok=[2.0 + i / 1000 for i in range(len(dataset.validation))]))
    median = float(np.median([found.scale.to_distance(score) for score in found.ok_scores]))
    scores = scores_of_defects(dataset, found, selection(dataset, [4.0, 4.0, 4.0], [[8.0], [4.0], [2.0]]))
    assert [found.scale.to_distance(score) for score in scores] == pytest.approx([2 * median, median, median / 2])


def test_nothing_was_tried_nothing_is_known() -> None:
    dataset = split_dl_dataset(dataset_of(ok_images(N, split=None), "all_ok"))
    found = estimate_anomaly_thresholds(CalibrationScores(ok=[1.0 + i / 10 for i in range(N)], folds=5))
    made = selection(dataset, [1.0], [[2.0]])
    assert scores_of_defects(dataset, found, replace(made, tried=(TriedModel(PARAM, 1.0),))) == []
