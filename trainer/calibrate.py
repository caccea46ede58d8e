"""Raw distances of unseen ok images for a fit to be calibrated with, and the scale that its threshold gives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.anomaly.score import ScoreRule
from inspector.anomaly.types import ScoreScale, Thresholds
from trainer.fit import DLTrainParam, train_dl_model
from trainer.progress import StageProgress
from trainer.threshold_estimate import ThresholdEstimate


def out_of_fold_distances(
    embedded: Tensor, folds: Sequence[int], train_param: DLTrainParam, progress: StageProgress
) -> NDArray[np.float64]:
    """Score every ok image by a detector that was fitted on the other folds.

    Args:
        embedded: (N, h, w, D) float32 on the CPU.
        folds: Fold of each image, from 0.
        train_param: As for the final detector.
        progress: Told of each fold.

    Returns:
        (N,) float64 raw image distances.
    """
    numbers = torch.tensor(folds)
    scores = np.empty(len(embedded), dtype=np.float64)
    count = int(numbers.max()) + 1
    for fold in range(count):
        inside = numbers == fold
        detector = train_dl_model(embedded[~inside], train_param, _silent)
        scores[inside.numpy()] = train_param.rule.apply(detector.distances(embedded[inside])).numpy()
        progress("calibrate", fold + 1, count)
    return scores


def image_distances(distances: Tensor, rule: ScoreRule) -> NDArray[np.float64]:
    """(N, h, w) -> (N,) float64 raw image distances."""
    return np.asarray(rule.apply(distances).numpy(), dtype=np.float64)


def scale_and_thresholds(estimate: ThresholdEstimate, *, min_area: int) -> tuple[ScoreScale, Thresholds]:
    """Choose the scale so that the threshold is a score of one half, and cut the map at the same distance.

    A picture whose largest distances average to the threshold has a position at or above it, so a rejected picture
    shows where; a single position of an ok picture may pass and be outlined without a verdict.
    """
    return ScoreScale(s=estimate.distance), Thresholds(classification=0.5, segmentation=0.5, min_area=min_area)


def _silent(stage: str, done: int, total: int) -> None:
    """Progress of a fold's fit is the calibration's own affair."""
