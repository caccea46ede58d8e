"""Every parameter of a model, with a value that may be set and some that may not, and what a model says before and after."""

from __future__ import annotations

import math

import numpy as np

from inspector.anomaly.choices import DetectorName
from inspector.anomaly.model.model import AnomalyModel, apply_dl_model
from inspector.anomaly.model.param import (
    InitialModel,
    create_initial_model,
    owners_of,
)
from inspector.anomaly.types import DLResult, DLSample
from inspector.anomaly.verdict.score import ScoreRule
from tests.models import nok_picture, ok_picture

VALUES: dict[str, tuple[object, tuple[object, ...]]] = {
    # name: a value that may be set, values that may not
    "backbone": ("efficientnet_lite2", ("resnet18", 2, None)),
    "weights": (None, (1, b"a")),
    "levels": ((3, 5, 7), ((), (4, 3), (3, 3), (0,), (8,), (1.5,), 4, [3, 4])),
    "grid_level": (0, (4, -1, 0.5, "0", True)),
    "feature_normalization": ("vector", ("channel", 1, None)),
    "embedding_dims": (64, (7, 0, "64", 64.5)),
    "image_width": (320, (0, 31, 33, 2048, -32, "320", 320.5, None)),
    "image_height": (32, (0, 16, 100, 1056)),
    "image_num_channels": (1, (0, 2, 4, "3")),
    "image_range_min": (-127.0, (2.0, 3.0, math.nan, -math.inf, "-2")),
    "image_range_max": (128, (-2.0, -3.0, math.nan, math.inf)),
    "score_rule": (ScoreRule(kind="maximum"), ("maximum", 0.01, None)),
    "batch_size": (32, (0, -1, 1.5, "8", None)),
    "batch_size_multiplier": (4, (0, "2")),
    "device": ("cpu", ("gpu", "", "cuda:x", "meta", 0, None)),
    "meta_data": ({"line": "4"}, ({"line": 4}, {1: "line"}, "line 4", {"a": "\ud800"}, None)),
    "complexity": (30, (0, -1, 1.5)),
    "neighbourhood": (5, (0, 2, -1)),
    "neighbour_share": (0, (-0.1, 1.1, math.nan)),
    "regularization": (0.1, (0, -1.0, math.nan)),
    "coreset": (500, (0, 1e3, "all")),
}
READ_ONLY = ("type", "detector", "scale", "num_trainable_params")
AFTER_TRAINING = (
    "standard_deviation_factor",
    "score_rule",
    "batch_size",
    "batch_size_multiplier",
    "device",
    "meta_data",
    "thresholds",
    "anomaly_classification_threshold",
    "anomaly_segmentation_threshold",
)


def initial(detector: str = "padim") -> InitialModel:
    return create_initial_model(f"initial_dl_anomaly_{detector}")


def owner_of(name: str) -> DetectorName:
    return next(iter(owners_of(name)), "padim")


def results(model: AnomalyModel) -> list[DLResult]:
    rng = np.random.default_rng(5)
    pictures = [picture(rng) for picture in (ok_picture, nok_picture, ok_picture)]
    return apply_dl_model(model, [DLSample(picture, 64, 64, 3) for picture in pictures])


def scores(model: AnomalyModel) -> list[float]:
    return [result.anomaly_score for result in results(model)]
