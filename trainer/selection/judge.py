"""Fits a candidate on the ok pictures of all folds but one, scores that fold and its defects, and repeats this for each fold."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.anomaly.detectors.base import Detector
from inspector.anomaly.model.param import DLModelParam
from trainer.pictures.files import BATCH_SIZE
from trainer.progress import silent
from trainer.selection.criterion import SyntheticScores
from trainer.selection.features import TrialFeatures
from trainer.selection.pictures import TrialImages
from trainer.training.embed import TrainingFeatures
from trainer.training.fit import counted_positions, distances, fit_detector
from trainer.training.train_param import DLTrainParam

_TIMED: Final = 5
"""Batches that are timed; the fastest counts, as whatever else runs on the machine only makes one slower."""


@torch.inference_mode()
def judge(
    images: TrialImages,
    features: TrialFeatures,
    param: DLModelParam,
    train_param: DLTrainParam,
    *,
    is_timed: bool = False,
) -> tuple[SyntheticScores, float | None]:
    """Scores of the ok pictures and of the defects in them, each by the candidate fitted on the ok pictures of the other folds.

    Args:
        images: The pictures.
        features: Of these, by the candidate's backbone at its size.
        param: Of the candidate.
        train_param: How it is trained.
        is_timed: Whether its speed is measured.

    Returns:
        The scores, and frames a second from decoded pictures to distances, one batch at a time on one core; None where that was not asked
        for.

    Raises:
        DatasetError: An image can no longer be read.
        ParameterError: The detector cannot learn from so few pictures, or they are all alike.
        OutputError: The embeddings do not fit on the disk.
    """
    folds, each = np.array(images.folds), 1 + images.defects_each
    found, fps = np.zeros((len(images), each)), None
    with features.embedded(param, train_param) as embedded:
        for fold in range(max(images.folds) + 1):
            learnt = images.rows(np.flatnonzero(folds != fold).tolist())
            held = np.flatnonzero(folds == fold)
            detector = fit_detector(embedded, learnt, param, train_param, progress=silent).detector
            rows = (held[:, None] * each + np.arange(each)).ravel().tolist()
            scores = [
                _raw_scores(maps, embedded, param) for maps in distances(embedded, detector, rows, param.batch_size)
            ]
            found[held] = np.concatenate(scores).reshape(-1, each)
            if is_timed and fps is None:
                fps = _frames_per_s(images, embedded, detector)
    units = np.array(images.dataset.groups_of(images.samples))
    return SyntheticScores(found[:, 0], found[:, 1:], folds, units), fps


def _frames_per_s(images: TrialImages, features: TrainingFeatures, detector: Detector) -> float:
    network = features.network
    with closing(images.ok_pictures(network.preprocess_param)) as every:
        pictures = list(islice(every, BATCH_SIZE))
    return len(pictures) / _fastest(lambda: detector.distances(network.embed(pictures)).cpu())


def _raw_scores(maps: Tensor, features: TrainingFeatures, param: DLModelParam) -> NDArray[np.float64]:
    """(B, h, w) -> (B,): the scores by the candidate's rule, of the positions that count."""
    return np.asarray(param.score_rule.apply(counted_positions(features, maps)).double().cpu().numpy())


def _fastest(run: Callable[[], object]) -> float:
    """Seconds of the fastest of some runs on one thread, after one that is not counted."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run()
        seconds = []
        for _ in range(_TIMED):
            started = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - started)
        return min(seconds)
    finally:
        torch.set_num_threads(threads)
