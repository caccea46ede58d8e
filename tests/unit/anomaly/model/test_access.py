"""The parameters of a trained model: what is read, what may be set, and what that does."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from inspector.anomaly.choices import DetectorName
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.model.access import get_dl_model_param, set_dl_model_param
from inspector.anomaly.model.model import AnomalyModel
from inspector.anomaly.model.param import (
    DLModelParam,
)
from inspector.anomaly.types import Thresholds
from inspector.anomaly.verdict.score import ScoreRule
from tests.model_params import AFTER_TRAINING, VALUES, initial, results, scores
from tests.models import LEVELS, tiny_model


@pytest.fixture
def model() -> AnomalyModel:
    return tiny_model()


@pytest.mark.parametrize("name", sorted(set(VALUES) - set(AFTER_TRAINING) - {"complexity", "coreset"}))
def test_what_is_learnt_cannot_be_set_after_training(name: str, model: AnomalyModel) -> None:
    with pytest.raises(
        ParameterError,
        match=f"'{name}' can be set only before training; set it on an initial model .*; on a trained model you can "
        "set anomaly_classification_threshold, ",
    ):
        set_dl_model_param(model, name, VALUES[name][0])


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name in AFTER_TRAINING if name in VALUES for value in VALUES[name][1]]
)
def test_after_training_values_are_checked_alike(name: str, value: object, model: AnomalyModel) -> None:
    before = vars(model).copy()
    with pytest.raises(ParameterError, match=f"model parameter '{name}' cannot be .*: "):
        set_dl_model_param(model, name, value)
    assert vars(model) == before


def test_a_trained_model_says_what_it_is(model: AnomalyModel) -> None:
    expected: dict[str, object] = {
        "type": "anomaly_detection",
        "detector": "padim",
        "backbone": "efficientnet_lite0",
        "levels": LEVELS,
        "grid_level": 0,
        "embedding_dims": 32,
        "image_width": 64,
        "image_height": 64,
        "image_num_channels": 3,
        "image_range_min": -127 / 128,
        "image_range_max": 1.0,
        "score_rule": ScoreRule(top_share=0.02),
        "standard_deviation_factor": None,
        "batch_size": 8,
        "batch_size_multiplier": 1,
        "device": "cpu",
        "meta_data": {},
        "image_dimensions": (64, 64, 3),
        "thresholds": model.thresholds,
        "anomaly_classification_threshold": 0.5,
        "anomaly_segmentation_threshold": 0.5,
        "scale": model.scale,
        # 8 x 8 positions, each with a mean of 32 numbers and a matrix of 32 x 32.
        "num_trainable_params": 64 * (32 + 32 * 32),
    }
    assert {name: get_dl_model_param(model, name) for name in expected} == expected


def test_the_detectors_own_parameters_are_read_where_they_were_recorded(model: AnomalyModel) -> None:
    with pytest.raises(ParameterError, match="model tiny does not record which neighbourhood it was trained with"):
        get_dl_model_param(model, "neighbourhood")
    model.fitted_with = DLModelParam(neighbourhood=5).own
    assert get_dl_model_param(model, "neighbourhood") == 5
    with pytest.raises(
        ParameterError, match="'coreset' belongs to patchcore and fused; this model's detector is padim"
    ):
        get_dl_model_param(model, "coreset")


def test_another_runtime_does_not_say_its_backbone_and_cannot_be_moved(model: AnomalyModel) -> None:
    class Elsewhere:
        device = torch.device("cpu")

        def features(self, batch: torch.Tensor) -> list[torch.Tensor]:
            raise NotImplementedError

    model.network.runtime = Elsewhere()
    with pytest.raises(ParameterError, match="model tiny does not run in torch, so its backbone is not known"):
        get_dl_model_param(model, "backbone")
    with pytest.raises(ParameterError, match="does not run in torch and cannot be moved; load it again on cpu"):
        set_dl_model_param(model, "device", "cpu")


@pytest.mark.parametrize("name", ["standard_deviation_factor", "score_rule"])
def test_another_score_rule_takes_the_thresholds_with_it(name: str, model: AnomalyModel) -> None:
    rule = ScoreRule(kind="standard_deviation", standard_deviation_factor=1.0)
    model.identity = type(model.identity)("tiny", "1", "ab" * 32)
    before = results(model)
    set_dl_model_param(model, name, rule if name == "score_rule" else 1)
    assert get_dl_model_param(model, "standard_deviation_factor") == 1.0
    assert get_dl_model_param(model, "score_rule") == rule
    assert model.thresholds is None
    assert (model.name, model.digest) == ("tiny", ""), "it is no longer what its bundle says"
    after = results(model)
    for found, was in zip(after, before, strict=True):
        assert found.anomaly_score != was.anomaly_score
        np.testing.assert_array_equal(found.anomaly_image, was.anomaly_image)


def test_the_same_rule_again_keeps_the_thresholds(model: AnomalyModel) -> None:
    thresholds = model.thresholds
    set_dl_model_param(model, "score_rule", ScoreRule(top_share=0.02))
    assert thresholds is not None
    assert model.thresholds == thresholds


@pytest.mark.parametrize("factor", [-0.1, math.nan, math.inf, "1", None, True])
def test_a_factor_that_is_none_is_refused_and_keeps_the_thresholds(factor: object, model: AnomalyModel) -> None:
    for one in (initial(), model):
        with pytest.raises(
            ParameterError, match=r"'standard_deviation_factor' cannot be .*; it is a finite number of at least 0"
        ):
            set_dl_model_param(one, "standard_deviation_factor", factor)
    assert model.rule == ScoreRule(top_share=0.02)
    assert model.thresholds is not None


def test_the_factor_of_an_initial_model_chooses_its_rule() -> None:
    model = initial()
    set_dl_model_param(model, "standard_deviation_factor", 3.0)
    assert model.param.score_rule == ScoreRule(kind="standard_deviation", standard_deviation_factor=3.0)
    assert get_dl_model_param(model, "standard_deviation_factor") == 3.0


def test_the_batch_size_is_that_of_apply(model: AnomalyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    launch = AnomalyModel.launch

    def spy(self: AnomalyModel, images: Any) -> Any:
        sizes.append(len(images))
        return launch(self, images)

    monkeypatch.setattr(AnomalyModel, "launch", spy)
    results(model)
    set_dl_model_param(model, "batch_size", 2)
    results(model)
    set_dl_model_param(model, "batch_size_multiplier", 5)
    results(model)
    assert sizes == [3, 2, 1, 2, 1]


# ---------------------------------------------------------------------------------------------------------- the thresholds


@pytest.mark.parametrize("name", ["classification", "segmentation"])
def test_a_threshold_is_set_and_the_other_stays(name: str, model: AnomalyModel) -> None:
    model.thresholds = Thresholds(classification=0.4, segmentation=0.6, min_area=7)
    model.identity = replace(model.identity, digest="ab" * 32)
    before = scores(model)
    set_dl_model_param(model, f"anomaly_{name}_threshold", 0.25)
    assert model.thresholds == Thresholds.model_validate(
        {"classification": 0.4, "segmentation": 0.6, "min_area": 7} | {name: 0.25}
    )
    assert get_dl_model_param(model, f"anomaly_{name}_threshold") == 0.25
    assert model.digest == "", "it is no longer what its bundle says"
    assert scores(model) == before, "a threshold that is given is a score as the model gives it"


def test_the_first_threshold_of_a_model_stands_for_both_until_the_other_is_set(model: AnomalyModel) -> None:
    set_dl_model_param(model, "thresholds", None)
    assert get_dl_model_param(model, "thresholds") is None
    assert get_dl_model_param(model, "anomaly_classification_threshold") is None
    assert get_dl_model_param(model, "anomaly_segmentation_threshold") is None
    set_dl_model_param(model, "anomaly_segmentation_threshold", 0.7)
    assert model.thresholds == Thresholds(classification=0.7, segmentation=0.7)
    set_dl_model_param(model, "anomaly_classification_threshold", 0.6)
    assert model.thresholds == Thresholds(classification=0.6, segmentation=0.7)


def test_all_thresholds_are_set_at_once(model: AnomalyModel) -> None:
    wanted = Thresholds(classification=0.3, segmentation=0.2, min_area=9)
    set_dl_model_param(model, "thresholds", wanted)
    assert get_dl_model_param(model, "thresholds") == wanted


def test_the_thresholds_that_it_has_keep_the_digest(model: AnomalyModel) -> None:
    model.identity = replace(model.identity, digest="ab" * 32)
    set_dl_model_param(model, "anomaly_classification_threshold", 0.5)
    assert model.digest == "ab" * 32


@pytest.mark.parametrize("value", [0.0, 1.0, 1.5, math.nan, "0.5", None, True])
@pytest.mark.parametrize("name", ["anomaly_classification_threshold", "anomaly_segmentation_threshold"])
def test_a_threshold_that_no_score_can_tell_is_refused(name: str, value: object, model: AnomalyModel) -> None:
    before = model.thresholds
    with pytest.raises(ParameterError, match=f"'{name}' cannot be .*: it is a score between 0 and 1, exclusive"):
        set_dl_model_param(model, name, value)
    assert model.thresholds == before


def test_thresholds_of_another_type_are_refused(model: AnomalyModel) -> None:
    with pytest.raises(ParameterError, match=r"'thresholds' cannot be \(0.5, 0.5\): it is of type Thresholds, or None"):
        set_dl_model_param(model, "thresholds", (0.5, 0.5))


@pytest.mark.parametrize("name", ["thresholds", "anomaly_classification_threshold", "anomaly_segmentation_threshold"])
def test_before_training_there_are_no_thresholds_to_set(name: str) -> None:
    with pytest.raises(ParameterError, match=f"'{name}' exists only after training; train the model"):
        set_dl_model_param(initial(), name, 0.5)


# -------------------------------------------------------------------------------------------------------- image_dimensions


def test_the_dimensions_are_set_as_one_before_training() -> None:
    model = initial()
    set_dl_model_param(model, "image_dimensions", (320, 192, 1))
    assert get_dl_model_param(model, "image_dimensions") == (320, 192, 1)
    names = ("image_width", "image_height", "image_num_channels")
    assert tuple(get_dl_model_param(model, name) for name in names) == (320, 192, 1)


@pytest.mark.parametrize("value", [(320, 192), (320, 192, 2), (320, 100, 3), (320, 192, 3, 1), 320, "320", None])
def test_dimensions_that_are_none_are_refused_by_name(value: object) -> None:
    model = initial()
    before = model.param
    with pytest.raises(ParameterError, match=r"'image_dimensions' cannot be .*: "):
        set_dl_model_param(model, "image_dimensions", value)
    assert model.param == before


def test_the_dimensions_of_a_trained_model_can_only_be_read(model: AnomalyModel) -> None:
    with pytest.raises(ParameterError, match="'image_dimensions' can be set only before training"):
        set_dl_model_param(model, "image_dimensions", (64, 64, 3))


# ------------------------------------------------------------------------------------------------------------- the device


@pytest.mark.parametrize("detector", ["padim", "patchcore"])
def test_a_move_keeps_every_result(detector: DetectorName) -> None:
    model = tiny_model(detector=detector)
    before, thresholds, network = results(model), model.thresholds, model.network
    set_dl_model_param(model, "device", "cpu")
    assert model.network is not network, "it was built anew"
    for found, was in zip(results(model), before, strict=True):
        assert found.anomaly_score == was.anomaly_score
        np.testing.assert_array_equal(found.anomaly_image, was.anomaly_image)
    assert model.thresholds == thresholds


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_a_gpu_that_is_not_there_is_refused(device: str, model: AnomalyModel) -> None:
    network = model.network
    for one in (initial(), model):
        with pytest.raises(ParameterError, match=f"device '{device}' was requested, but torch finds no CUDA device"):
            set_dl_model_param(one, "device", device)
        assert get_dl_model_param(one, "device") == "cpu"
    assert model.network is network


def test_a_move_that_fails_leaves_the_model_as_it_was(model: AnomalyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    before = scores(model)

    def full(*args: object) -> None:
        raise torch.OutOfMemoryError

    with monkeypatch.context() as patch:
        patch.setattr("inspector.anomaly.model.model.TorchRuntime.__init__", full)
        with pytest.raises(torch.OutOfMemoryError):
            set_dl_model_param(model, "device", "cpu")
    assert scores(model) == before


@pytest.mark.gpu
@pytest.mark.parametrize("detector", ["padim", "patchcore"])
def test_a_move_to_a_gpu_and_back_keeps_the_results(detector: DetectorName) -> None:
    model = tiny_model(detector=detector)
    before = results(model)
    set_dl_model_param(model, "device", "cuda:0")
    assert get_dl_model_param(model, "device") == "cuda:0"
    for found, was in zip(results(model), before, strict=True):
        assert found.anomaly_score == pytest.approx(was.anomaly_score, rel=1e-3)
        np.testing.assert_allclose(found.anomaly_image, was.anomaly_image, rtol=1e-2, atol=1e-3)
    set_dl_model_param(model, "device", "cpu")
    assert scores(model) == [result.anomaly_score for result in before]
