"""Fit a candidate on the pictures of a trial that are to be learnt from, and score the others."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.anomaly.domain.score import domain_score
from inspector.anomaly.model.param import DLModelParam, InitialModel
from trainer.dataset.files import BATCH_SIZE
from trainer.progress import silent
from trainer.selection.criterion import SyntheticScores
from trainer.selection.features import TrialFeatures
from trainer.selection.pictures import DEFECTS_EACH, TrialImages
from trainer.training.embed import TrainingFeatures
from trainer.training.fit import distances, fit_detector
from trainer.training.train_param import create_dl_train_param

_TIMED: Final = 5
"""Batches that are timed; the fastest counts, as whatever else runs on the machine only makes one slower."""


@torch.inference_mode()
def judge(
    images: TrialImages, features: TrialFeatures, param: DLModelParam, *, seed: int, is_timed: bool = False
) -> tuple[SyntheticScores, float | None]:
    """Scores of the held-out pictures and of the defects in them, by the candidate fitted on the learnt ones.

    Args:
        images: The pictures.
        features: Of these, by the candidate's backbone at its size.
        param: Of the candidate.
        seed: Of its training.
        is_timed: Whether its speed is measured.

    Returns:
        The scores, and frames a second from decoded pictures to distances, one batch at a time on one core; None where that was not asked
        for.

    Raises:
        ParameterError: The detector cannot learn from so few pictures, or they are all alike.
        OutputError: The embeddings do not fit on the disk.
    """
    train_param = create_dl_train_param(InitialModel(param), seed=seed)
    first = len(images.learnt)
    with features.embedded(param, seed=seed) as embedded:
        detector = fit_detector(embedded, range(first), param, train_param, progress=silent).detector
        rows = range(first, len(embedded))
        scores = [_raw_scores(maps, embedded, param) for maps in distances(embedded, detector, rows, param.batch_size)]
        fps = None
        if is_timed:
            pictures = list(islice(images.held_pictures(features.preprocess_param), BATCH_SIZE))
            network = embedded.network
            fps = len(pictures) / _fastest(lambda: detector.distances(network.embed(pictures)).cpu())
    found = np.concatenate(scores).reshape(len(images.held), 1 + DEFECTS_EACH)
    return SyntheticScores(ok=found[:, 0], defects=found[:, 1:]), fps


def _raw_scores(maps: Tensor, features: TrainingFeatures, param: DLModelParam) -> NDArray[np.float64]:
    """(B, h, w) -> (B,): the scores by the candidate's rule, of the positions that count."""
    view, size = features.preprocess_param.view, (param.image_height, param.image_width)
    domain = None if view is None else domain_score(view, (maps.shape[1], maps.shape[2]), size, maps.device)
    counted = maps if domain is None else domain.positions(maps)
    return np.asarray(param.score_rule.apply(counted).double().cpu().numpy())


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
