"""How fast the models of one set are, in one run: they take turns, so that a noisy machine slows all of them alike.

On one thread, as the inspector runs each of its device threads; pictures are decoded already.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from inspector.anomaly.model.model import AnomalyModel
from tests.benchmarks.accuracy.cells import Cell
from tests.benchmarks.accuracy.measure import Figures, trained
from tests.benchmarks.accuracy.sets import divided
from trainer.dataset.dataset import DLDataset
from trainer.pictures.files import read_samples

BATCH = 8
TIMED_IMAGES = 32
ROUNDS = 7


def measure_speeds(cells: Sequence[Cell]) -> dict[Cell, Figures]:
    """Train the model of each cell, then time them in turns.

    Args:
        cells: Of one set.

    Returns:
        For each cell seconds of the fit on all cores, frames a second from decoded pictures to results, and milliseconds a
        frame of what follows the backbone: medians of the rounds.

    Raises:
        DatasetError: The set is not there.
    """
    timed = []
    for cell in cells:
        result = trained(cell.set, cell.variant, cell.seed)
        timed.append(_Timed(result.model, divided(cell.set, cell.seed), result.seconds))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(1 + ROUNDS):  # the first warms up
            for model in timed:
                model.round()
    finally:
        torch.set_num_threads(threads)
    return {cell: model.figures() for cell, model in zip(cells, timed, strict=True)}


class _Timed:
    def __init__(self, model: AnomalyModel, dataset: DLDataset, fit_seconds: float) -> None:
        param = model.preprocess_param
        paths = [dataset.image_path(sample) for sample in dataset.samples if sample.split == "test"][:TIMED_IMAGES]
        self._model = model
        self._count = len(paths)
        self._batches = [[sample.image for sample in batch] for batch in read_samples(paths, param, batch_size=BATCH)]
        inputs = [model.network.preprocessed(batch) for batch in self._batches]
        self._features: list[tuple[list[Tensor], Tensor]] = [
            (model.network.runtime.features(one), one) for one in inputs
        ]
        self._fit_seconds = fit_seconds
        self._whole: list[float] = []
        self._beyond: list[float] = []

    def round(self) -> None:
        started = time.perf_counter()
        for batch in self._batches:
            self._model.launch(batch).finish()
        launched = time.perf_counter()
        with torch.inference_mode():
            for levels, pictures in self._features:
                self._model.rule.apply(self._model.detector.distances(self._model.network.embedding(levels, pictures)))
        self._whole.append(launched - started)
        self._beyond.append(time.perf_counter() - launched)

    def figures(self) -> dict[str, float | None]:
        return {
            "fit_seconds": self._fit_seconds,
            "frames_per_s": self._count / statistics.median(self._whole[1:]),
            "beyond_backbone_ms": 1e3 * statistics.median(self._beyond[1:]) / self._count,
        }
