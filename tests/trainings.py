"""Small trainings for tests: untrained models, their parameters, images on disk and in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from inspector.anomaly.choices import DetectorName
from inspector.anomaly.model.model import AnomalyModel
from inspector.anomaly.model.param import DLModelParam, InitialModel
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.preprocess.samples import gen_dl_samples_from_images
from inspector.anomaly.types import DLSample
from tests.models import ok_picture
from trainer.dataset.dataset import DLDataset
from trainer.training.embed import TrainingFeatures, embed_training_images
from trainer.training.images import sample_images
from trainer.training.train import DLTrainResult, train_dl_model
from trainer.training.train_param import DLTrainParam, create_dl_train_param

DETECTORS: tuple[DetectorName, ...] = ("padim", "patchcore", "student", "fused")
IMAGES = 14
SIDE = 64
PARAM = DLPreprocessParam(image_width=SIDE, image_height=SIDE)


def ignore(stage: str, done: int, total: int) -> None:
    """Nobody watches."""


def initial(detector: DetectorName = "padim", **values: Any) -> InitialModel:
    levels: dict[str, Any] = {"levels": (2, 3, 4), "grid_level": 2} if detector == "student" else {"levels": (3, 4)}
    own: dict[str, Any] = {"student": {"complexity": 2}, "patchcore": {"coreset": 30}}.get(detector, {})
    common = {"image_width": SIDE, "image_height": SIDE, "embedding_dims": 12, "detector": detector}
    return InitialModel(DLModelParam.model_validate(common | levels | own | values))


def param_of(model: InitialModel, **values: Any) -> DLTrainParam:
    if model.param.detector == "student":
        values = {"max_num_epochs": 3} | values
    return create_dl_train_param(model, **values)


def pictures(count: int = IMAGES, seed: int = 1) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [ok_picture(rng) for _ in range(count)]


def samples(count: int = IMAGES) -> list[DLSample]:
    return gen_dl_samples_from_images(pictures(count))


def train(dataset: DLDataset, detector: DetectorName = "padim", **options: Any) -> DLTrainResult:
    model = initial(detector)
    return train_dl_model(dataset, model, param_of(model), **options)


def tensors(model: AnomalyModel) -> dict[str, torch.Tensor]:
    return {"projection": model.network.embedding.projection, **model.detector.tensors()}


def same(one: AnomalyModel, other: AnomalyModel) -> bool:
    first, second = tensors(one), tensors(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def features_of(
    model: InitialModel,
    train_param: DLTrainParam,
    given: list[DLSample],
    preprocess_param: DLPreprocessParam = PARAM,
    **options: Any,
) -> TrainingFeatures:
    images = sample_images(given, preprocess_param)
    return embed_training_images(images, model.param, train_param, progress=ignore, **options)
