from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from inspector.anomaly.choices import DetectorName
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.model.access import get_dl_model_param, set_dl_model_param
from inspector.anomaly.model.model import AnomalyModel, apply_dl_model
from inspector.anomaly.model.param import (
    INITIAL_MODELS,
    OWN_PARAMETERS,
    DLModelParam,
    InitialModel,
    InitialModelName,
    create_initial_model,
)
from inspector.anomaly.network.device import available_device, query_available_dl_devices
from inspector.anomaly.types import DLResult, DLSample
from inspector.anomaly.verdict.score import ScoreRule
from tests.models import LEVELS, nok_picture, ok_picture, tiny_model

VALUES: dict[str, tuple[object, tuple[object, ...]]] = {
    # name: a value that may be set, values that may not
    "backbone": ("efficientnet_lite2", ("resnet18", 2, None)),
    "levels": ((3, 5, 7), ((), (4, 3), (3, 3), (0,), (8,), (1.5,), 4, [3, 4])),
    "grid_level": (0, (4, -1, 0.5, "0", True)),
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
READ_ONLY = ("type", "detector", "thresholds", "scale", "num_trainable_params")
AFTER_TRAINING = (
    "standard_deviation_factor",
    "score_rule",
    "batch_size",
    "batch_size_multiplier",
    "device",
    "meta_data",
)


def initial(detector: str = "padim") -> InitialModel:
    return create_initial_model(f"initial_dl_anomaly_{detector}")


def owner_of(name: str) -> DetectorName:
    return next((owner for owner, names in OWN_PARAMETERS.items() if name in names), "padim")


@pytest.fixture
def model() -> AnomalyModel:
    return tiny_model()


def results(model: AnomalyModel) -> list[DLResult]:
    rng = np.random.default_rng(5)
    pictures = [picture(rng) for picture in (ok_picture, nok_picture, ok_picture)]
    return apply_dl_model(model, [DLSample(picture, 64, 64, 3) for picture in pictures])


def scores(model: AnomalyModel) -> list[float]:
    return [result.anomaly_score for result in results(model)]


# ----------------------------------------------------------------------------------------------------- before the training


def test_every_parameter_is_tried() -> None:
    assert set(VALUES) | set(READ_ONLY) >= set(DLModelParam.model_fields)
    assert set(INITIAL_MODELS) == set(get_args(InitialModelName))
    assert set(OWN_PARAMETERS) == set(get_args(DetectorName)) == set(INITIAL_MODELS.values())


@pytest.mark.parametrize("name", VALUES)
def test_before_training_a_parameter_is_set_and_no_other_with_it(name: str) -> None:
    model = initial(owner_of(name))
    before, value = model.param, VALUES[name][0]
    set_dl_model_param(model, name, value)
    assert get_dl_model_param(model, name) == value
    others = set(DLModelParam.model_fields) - {name}
    assert [getattr(model.param, other) for other in others] == [getattr(before, other) for other in others]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, (_, bad) in VALUES.items() for value in bad])
def test_a_value_that_is_none_is_refused_by_name_and_changes_nothing(name: str, value: object) -> None:
    model = initial(owner_of(name))
    before = model.param
    with pytest.raises(ParameterError, match=f"model parameter '{name}' cannot be .*: "):
        set_dl_model_param(model, name, value)
    assert model.param == before


@pytest.mark.parametrize("name", READ_ONLY)
def test_what_can_only_be_read_says_what_to_do(name: str, model: AnomalyModel) -> None:
    for one in (initial(), model):
        with pytest.raises(ParameterError, match=f"'{name}' can only be read; .{{10,}}"):
            set_dl_model_param(one, name, 1)


@pytest.mark.parametrize("name", ["thresholds", "scale", "num_trainable_params"])
def test_what_training_gives_is_not_there_before_it(name: str) -> None:
    with pytest.raises(ParameterError, match=f"'{name}' is there after training only; train the model"):
        get_dl_model_param(initial(), name)


@pytest.mark.parametrize("name", ["", "Type", "image_size", "runtime", "own", "model_fields", "standard_deviation"])
def test_an_unknown_name_is_refused_with_those_that_are_known(name: str, model: AnomalyModel) -> None:
    for one in (initial(), model):
        with pytest.raises(ParameterError, match=f"'{name}' is no model parameter; there are backbone, batch_size,.*"):
            get_dl_model_param(one, name)
        with pytest.raises(ParameterError, match=f"'{name}' is no model parameter; there are .*neighbourhood.*type"):
            set_dl_model_param(one, name, 1)


@pytest.mark.parametrize(
    ("detector", "name"),
    [
        (detector, name)
        for detector in OWN_PARAMETERS
        for owner, names in OWN_PARAMETERS.items()
        for name in names
        if owner != detector
    ],
)
def test_a_parameter_of_another_detector_is_refused(detector: str, name: str) -> None:
    model = initial(detector)
    message = f"'{name}' belongs to detector {owner_of(name)}; this model's is {detector}"
    with pytest.raises(ParameterError, match=message):
        get_dl_model_param(model, name)
    with pytest.raises(ParameterError, match=message):
        set_dl_model_param(model, name, VALUES[name][0])
    with pytest.raises(ValidationError, match=f"{name} belongs to detector {owner_of(name)} and has no effect on"):
        DLModelParam.model_validate({"detector": detector, name: VALUES[name][0]})


@pytest.mark.parametrize("detector", OWN_PARAMETERS)
def test_the_parameters_survive_their_json(detector: DetectorName) -> None:
    param = DLModelParam(detector=detector, levels=(3, 4), grid_level=1, meta_data={"a": "b"})
    assert DLModelParam.model_validate_json(param.model_dump_json()) == param
    assert set(param.own) == set(OWN_PARAMETERS[detector])


def test_the_defaults_are_those_that_are_documented() -> None:
    model = initial()
    assert get_dl_model_param(model, "type") == "anomaly_detection"
    assert get_dl_model_param(model, "image_num_channels") == 3
    assert (get_dl_model_param(model, "image_range_min"), get_dl_model_param(model, "image_range_max")) == (-2, 2)
    assert get_dl_model_param(model, "standard_deviation_factor") is None
    assert get_dl_model_param(initial("student"), "complexity") == 10
    assert get_dl_model_param(initial("student"), "embedding_dims") == 144
    assert get_dl_model_param(initial("padim"), "embedding_dims") == 160


def test_levels_and_the_grid_are_checked_together() -> None:
    model = initial()
    set_dl_model_param(model, "grid_level", 1)
    with pytest.raises(ParameterError, match=r"'levels' cannot be \(5,\): grid_level 1 is an index into levels"):
        set_dl_model_param(model, "levels", (5,))


def test_a_dictionary_that_was_read_or_set_is_a_copy(model: AnomalyModel) -> None:
    for one in (initial(), model):
        given = {"line": "4"}
        set_dl_model_param(one, "meta_data", given)
        given["line"] = "5"
        read: Any = get_dl_model_param(one, "meta_data")
        read["line"] = "6"
        assert get_dl_model_param(one, "meta_data") == {"line": "4"}


def test_an_untrained_model_cannot_be_applied() -> None:
    with pytest.raises(ParameterError, match="this patchcore model is not trained; apply what train_dl_model returns"):
        apply_dl_model(initial("patchcore"), [])


def test_an_initial_model_of_another_name_is_refused() -> None:
    with pytest.raises(
        ParameterError, match="'initial_dl_anomaly_large' is no initial model; there are initial_dl_anom"
    ):
        create_initial_model("initial_dl_anomaly_large")


# ------------------------------------------------------------------------------------------------------ after the training


@pytest.mark.parametrize("name", sorted(set(VALUES) - set(AFTER_TRAINING) - {"complexity", "coreset"}))
def test_what_is_learnt_cannot_be_set_after_training(name: str, model: AnomalyModel) -> None:
    with pytest.raises(
        ParameterError,
        match=f"'{name}' can be set before training only; set it on an initial model .*; a trained one takes batch_size, ",
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
        "image_range_min": -2.0,
        "image_range_max": 2.0,
        "score_rule": ScoreRule(top_share=0.02),
        "standard_deviation_factor": None,
        "batch_size": 8,
        "batch_size_multiplier": 1,
        "device": "cpu",
        "meta_data": {},
        "thresholds": model.thresholds,
        "scale": model.scale,
        # 8 x 8 positions, each with a mean of 32 numbers and a matrix of 32 x 32.
        "num_trainable_params": 64 * (32 + 32 * 32),
    }
    assert {name: get_dl_model_param(model, name) for name in expected} == expected


def test_the_detectors_own_parameters_are_read_where_they_were_recorded(model: AnomalyModel) -> None:
    with pytest.raises(ParameterError, match="model tiny does not record with which neighbourhood it was trained"):
        get_dl_model_param(model, "neighbourhood")
    model.fitted_with = DLModelParam(neighbourhood=5).own
    assert get_dl_model_param(model, "neighbourhood") == 5
    with pytest.raises(ParameterError, match="'coreset' belongs to detector patchcore; this model's is padim"):
        get_dl_model_param(model, "coreset")


def test_another_runtime_does_not_say_its_backbone_and_cannot_be_moved(model: AnomalyModel) -> None:
    class Elsewhere:
        device = torch.device("cpu")

        def features(self, batch: torch.Tensor) -> list[torch.Tensor]:
            raise NotImplementedError

    model.network.runtime = Elsewhere()
    with pytest.raises(ParameterError, match="model tiny does not run in torch and does not say"):
        get_dl_model_param(model, "backbone")
    with pytest.raises(ParameterError, match="does not run in torch and cannot be moved; load it on cpu anew"):
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


# ------------------------------------------------------------------------------------------------------------- the device


def test_the_devices_that_are_there_can_be_used() -> None:
    names = query_available_dl_devices()
    assert names[0] == "cpu"
    assert len(names) == 1 + (torch.cuda.device_count() if torch.cuda.is_available() else 0)
    for name in names:
        assert str(available_device(name)) == name


def test_every_gpu_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert query_available_dl_devices() == ("cpu", "cuda:0", "cuda:1")


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
        with pytest.raises(ParameterError, match=f"device '{device}' was asked for, but torch finds no CUDA device"):
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
