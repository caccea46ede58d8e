from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from inspector.anomaly.score import ScoreRule
from trainer.calibrate import image_distances, out_of_fold_distances
from trainer.fit import DLTrainParam, train_dl_model

Distances = NDArray[np.float64]


def ignore(stage: str, done: int, total: int) -> None:
    """Nobody watches."""


def of_folds(embedded: torch.Tensor, folds: Sequence[int], param: DLTrainParam) -> Distances:
    return out_of_fold_distances(embedded, folds, param, ignore)


PARAM = DLTrainParam(detector="padim", neighbourhood=1, regularization=0.1, top_share=0.25)


def embedded(n: int) -> torch.Tensor:
    return torch.randn(n, 2, 4, 8, generator=torch.Generator().manual_seed(0))


def test_each_image_is_scored_by_a_detector_that_never_saw_it() -> None:
    images, folds = embedded(7), [2, 0, 1, 0, 2, 1, 0]
    told: list[tuple[str, int, int]] = []
    found = out_of_fold_distances(images, folds, PARAM, lambda *progress: told.append(progress))
    for index, fold in enumerate(folds):
        others = torch.tensor([other != fold for other in folds])
        detector = train_dl_model(images[others], PARAM, ignore)
        expected = PARAM.rule.apply(detector.distances(images[index : index + 1]))
        assert found[index] == pytest.approx(float(expected[0]), rel=1e-5)
    assert told == [("calibrate", 1, 3), ("calibrate", 2, 3), ("calibrate", 3, 3)]


def test_an_odd_image_does_not_make_itself_normal() -> None:
    images = embedded(10)
    images[4] += 20.0
    found = of_folds(images, [i % 5 for i in range(10)], PARAM)
    seen = image_distances(train_dl_model(images, PARAM, ignore).distances(images), PARAM.rule)
    assert found.argmax() == 4
    assert found[4] > 3 * seen[4]


def test_image_distances_are_those_of_the_rule() -> None:
    maps = torch.arange(16.0).reshape(2, 2, 4)
    found = image_distances(maps, ScoreRule(top_share=0.25))
    assert found.dtype == np.float64
    assert found.tolist() == [6.5, 14.5]
