"""One cell: train on the ok images of a set, apply to its test images, measure. By the procedures that `trainer fit` uses."""

from __future__ import annotations

import statistics
import time
from functools import lru_cache
from pathlib import Path

import torch

from inspector.anomaly.image import decode_image
from inspector.anomaly.model import AnomalyModel
from inspector.anomaly.model_param import DLModelParam, InitialModel
from inspector.anomaly.score import ScoreRule
from inspector.anomaly.types import Thresholds
from tests.benchmarks.accuracy.cells import Cell, Variant
from trainer.dataset import READ_LIMITS, DLDataset, read_dl_dataset_anomaly, trained_geometry
from trainer.evaluate import evaluate_dl_model
from trainer.features import default_input_size
from trainer.split import split_dl_dataset
from trainer.train import DLTrainResult, train_dl_model
from trainer.train_param import create_dl_train_param

DATA = Path(__file__).parents[4] / "shared" / "data"
BATCH = 8
REPEATS = 5
TIMED_IMAGES = 32

Figures = dict[str, float | None]


def measure(cell: Cell) -> Figures:
    """Return the figures of a cell; those that the set cannot give (no masks) are None.

    Raises:
        DatasetError: The set is not there.
    """
    dataset = _divided(cell.set, cell.seed)
    if cell.piece == "timing":
        result = _trained(cell.set, cell.variant, cell.seed)
        return {"fit_seconds": result.seconds, **_speed(result.model, dataset)}
    # A score rule is no part of the training.
    model = _trained_before(cell.set, cell.variant.model_copy(update={"rule": None}), cell.seed).model
    model.rule = _model_param(dataset, cell.variant).score_rule
    # Nothing here depends on thresholds; the procedure wants some to judge.
    model.thresholds = Thresholds(classification=0.5, segmentation=0.5)
    found = evaluate_dl_model(dataset, model, "split", "test")
    recall = {f"recall_at_{at.max_rate:g}": at.recall.rate for at in found.recall_at}
    return {"image_auroc": found.image_auroc, "pixel_auroc": found.pixel_auroc, "aupro": found.aupro, **recall}


@lru_cache(maxsize=4)
def _divided(name: str, seed: int) -> DLDataset:
    return split_dl_dataset(read_dl_dataset_anomaly(DATA / name), seed=seed).dataset


def _trained(name: str, variant: Variant, seed: int) -> DLTrainResult:
    dataset = _divided(name, seed)
    initial = InitialModel(_model_param(dataset, variant))
    return train_dl_model(dataset, initial, create_dl_train_param(initial, seed=seed))


@lru_cache(maxsize=3)
def _trained_before(name: str, variant: Variant, seed: int) -> DLTrainResult:
    return _trained(name, variant, seed)


def _model_param(dataset: DLDataset, variant: Variant) -> DLModelParam:
    width, height = default_input_size(trained_geometry(dataset.samples), short_side=variant.short_side)
    values: dict[str, object] = {"detector": variant.detector, "backbone": variant.backbone}
    values |= {"image_width": width, "image_height": height}
    values |= {name: int(value) if value == int(value) else value for name, value in variant.own}
    if variant.levels is not None:
        values |= {"levels": variant.levels, "grid_level": variant.grid_level}
    if variant.rule is not None:
        values["score_rule"] = _rule(variant.rule)
    return DLModelParam.model_validate(values)


def _rule(text: str) -> ScoreRule:
    kind, *number = text.split()
    names = {"mean_of_top": "top_share", "standard_deviation": "standard_deviation_factor"}
    return ScoreRule.model_validate({"kind": kind, **({names[kind]: float(number[0])} if number else {})})


def _speed(model: AnomalyModel, dataset: DLDataset) -> Figures:
    """Seconds a frame in batches of eight: from decoded pictures to results, and of that what follows the backbone."""
    param = model.preprocess_param
    paths = [dataset.image_path(sample) for sample in dataset.samples if sample.split == "test"][:TIMED_IMAGES]
    images = [
        decode_image(
            path.read_bytes(), target=param.decode_target, margin=param.decode_margin, limits=READ_LIMITS
        ).image
        for path in paths
    ]
    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    features = [model.network.features(batch) for batch in batches]
    whole, beyond = [], []
    for _ in range(REPEATS):
        started = time.perf_counter()
        for batch in batches:
            model.launch(batch).finish()
        whole.append(time.perf_counter() - started)
        started = time.perf_counter()
        with torch.inference_mode():
            for levels in features:
                model.rule.apply(model.detector.distances(model.network.embedding(levels)))
        beyond.append(time.perf_counter() - started)
    return {
        "frames_per_s": len(images) / statistics.median(whole),
        "beyond_backbone_ms": 1e3 * statistics.median(beyond) / len(images),
    }
