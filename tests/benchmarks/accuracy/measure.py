"""One cell of accuracy: train on the ok images of a set, apply to its test images, measure. By the procedures that `trainer fit` uses."""

from __future__ import annotations

import copy
from functools import lru_cache

import torch

from inspector.anomaly.model.model import AnomalyModel
from inspector.anomaly.model.param import DLModelParam, InitialModel
from inspector.anomaly.types import Thresholds
from inspector.anomaly.verdict.score import ScoreRule
from tests.benchmarks.accuracy.cells import STORED, Cell, Variant
from tests.benchmarks.accuracy.sets import divided
from trainer.dataset.dataset import DLDataset, trained_geometry
from trainer.evaluation.evaluate import evaluate_dl_model
from trainer.training.network import default_input_size
from trainer.training.train import DLTrainResult, train_dl_model
from trainer.training.train_param import create_dl_train_param

Figures = dict[str, float | None]


def measure(cell: Cell) -> Figures:
    """Return the figures of a cell; those that the set cannot give (no masks) are None.

    Raises:
        DatasetError: The set is not there.
    """
    dataset = divided(cell.set, cell.seed)
    # A score rule is no part of the training, nor is what is changed in the trained detector.
    own = tuple((parameter, value) for parameter, value in cell.variant.own if parameter not in STORED)
    learnt = cell.variant.model_copy(update={"rule": None, "own": own})
    model = _with_stored(_trained_before(cell.set, learnt, cell.seed).model, cell.variant)
    model.rule = _model_param(dataset, learnt.model_copy(update={"rule": cell.variant.rule})).score_rule
    # Nothing here depends on thresholds; the procedure wants some to judge.
    model.thresholds = Thresholds(classification=0.5, segmentation=0.5)
    found = evaluate_dl_model(dataset, model, "split", "test")
    recall = {f"recall_at_{at.max_rate:g}": at.recall.rate for at in found.recall_at}
    return {"image_auroc": found.image_auroc, "pixel_auroc": found.pixel_auroc, "aupro": found.aupro, **recall}


def _with_stored(model: AnomalyModel, variant: Variant) -> AnomalyModel:
    """The same model with numbers of the variant in place of those that its detector stores."""
    numbers = {name: torch.tensor(float(value)) for name, value in variant.own if name in STORED}
    if not numbers:
        return model
    changed = copy.copy(model)
    changed.detector = type(model.detector).from_tensors(model.detector.tensors() | numbers, torch.device("cpu"))
    return changed


def trained(name: str, variant: Variant, seed: int) -> DLTrainResult:
    """A model of a variant, without thresholds."""
    dataset = divided(name, seed)
    initial = InitialModel(_model_param(dataset, variant))
    return train_dl_model(dataset, initial, create_dl_train_param(initial, seed=seed))


@lru_cache(maxsize=3)
def _trained_before(name: str, variant: Variant, seed: int) -> DLTrainResult:
    return trained(name, variant, seed)


def _model_param(dataset: DLDataset, variant: Variant) -> DLModelParam:
    width, height = default_input_size(trained_geometry(dataset.samples), short_side=variant.short_side)
    values: dict[str, object] = {"detector": variant.detector, "backbone": variant.backbone}
    if variant.normalization is not None:
        values["feature_normalization"] = variant.normalization
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
