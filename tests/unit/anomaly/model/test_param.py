"""The parameters of a model before its training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from inspector.anomaly.backbones import BackboneTraits, Normalization
from inspector.anomaly.choices import DetectorName
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.model.access import get_dl_model_param, set_dl_model_param
from inspector.anomaly.model.model import AnomalyModel, apply_dl_model
from inspector.anomaly.model.param import (
    INITIAL_MODELS,
    OWN_PARAMETERS,
    DLModelParam,
    InitialModelName,
    create_initial_model,
    owners_of,
)
from inspector.anomaly.network.registry import traits_of
from inspector.anomaly.preprocess.param import create_dl_preprocess_param_from_model
from tests.model_params import READ_ONLY, VALUES, initial, owner_of
from tests.models import tiny_model


@pytest.fixture
def model() -> AnomalyModel:
    return tiny_model()


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
        with pytest.raises(ParameterError, match=f"'{name}' is read-only; .{{10,}}"):
            set_dl_model_param(one, name, 1)


@pytest.mark.parametrize(
    "name",
    [
        "thresholds",
        "anomaly_classification_threshold",
        "anomaly_segmentation_threshold",
        "scale",
        "num_trainable_params",
    ],
)
def test_what_training_gives_is_not_there_before_it(name: str) -> None:
    with pytest.raises(ParameterError, match=f"'{name}' exists only after training; train the model"):
        get_dl_model_param(initial(), name)


@pytest.mark.parametrize("name", ["", "Type", "image_sizes", "runtime", "own", "model_fields", "standard_deviation"])
def test_an_unknown_name_is_refused_with_those_that_are_known(name: str, model: AnomalyModel) -> None:
    for one in (initial(), model):
        with pytest.raises(
            ParameterError, match=f"'{name}' is not a model parameter; the parameters are anomaly_classification_.*"
        ):
            get_dl_model_param(one, name)
        with pytest.raises(
            ParameterError, match=f"'{name}' is not a model parameter; the parameters are .*neighbourhood.*type"
        ):
            set_dl_model_param(one, name, 1)


@pytest.mark.parametrize(
    ("detector", "name"),
    [
        (detector, name)
        for detector in OWN_PARAMETERS
        for name in sorted(set().union(*OWN_PARAMETERS.values()))
        if detector not in owners_of(name)
    ],
)
def test_a_parameter_of_another_detector_is_refused(detector: str, name: str) -> None:
    model = initial(detector)
    owners = " and ".join(owners_of(name))
    message = f"'{name}' belongs to {owners}; this model's detector is {detector}"
    with pytest.raises(ParameterError, match=message):
        get_dl_model_param(model, name)
    with pytest.raises(ParameterError, match=message):
        set_dl_model_param(model, name, VALUES[name][0])
    with pytest.raises(ValidationError, match=f"{name} belongs to {owners} and has no effect on {detector}"):
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
    assert (get_dl_model_param(model, "image_range_min"), get_dl_model_param(model, "image_range_max")) == (
        -127 / 128,
        1,
    )
    assert get_dl_model_param(model, "standard_deviation_factor") is None
    assert get_dl_model_param(initial("student"), "complexity") == 10
    assert get_dl_model_param(initial("student"), "embedding_dims") == 144
    assert get_dl_model_param(initial("padim"), "embedding_dims") == 160


def test_the_range_follows_the_backbone_until_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = Normalization(mean=(100.0, 110.0, 120.0), deviation=(50.0, 55.0, 60.0))

    def traits(name: str) -> BackboneTraits:
        known = traits_of(name)
        return replace(known, normalization=wide) if name == "efficientnet_lite2" else known

    monkeypatch.setattr("inspector.anomaly.model.param.traits_of", traits)
    model = initial()
    set_dl_model_param(model, "backbone", "efficientnet_lite2")
    assert (model.param.image_range_min, model.param.image_range_max) == wide.image_range
    assert create_dl_preprocess_param_from_model(model).normalization == wide
    stretched = create_dl_preprocess_param_from_model(model, normalization_type="all_channels")
    assert (stretched.image_range_min, stretched.image_range_max) == wide.image_range
    set_dl_model_param(model, "image_range_max", 5.0)
    set_dl_model_param(model, "backbone", "efficientnet_lite0")
    assert (model.param.image_range_min, model.param.image_range_max) == (-127 / 128, 5.0)


def test_a_file_of_weights_belongs_to_a_model_that_is_not_trained(model: AnomalyModel) -> None:
    assert get_dl_model_param(initial(), "weights") is None
    with pytest.raises(
        ParameterError, match="'weights' exists only before training; a trained model contains the weights"
    ):
        get_dl_model_param(model, "weights")
    with pytest.raises(
        ParameterError, match="'weights' cannot be 'x': weights were given for efficientnet_lite0, which has"
    ):
        set_dl_model_param(initial(), "weights", "x")


def test_an_unknown_backbone_is_refused_first() -> None:
    with pytest.raises(ValidationError, match=r"must be efficientnet_lite0, .* or timm:NAME, got 'resnet18'") as caught:
        DLModelParam(backbone="resnet18")
    assert caught.value.errors()[0]["loc"] == ("backbone",)


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
    with pytest.raises(
        ParameterError, match="this patchcore model is not trained; use the `model` that train_dl_model returns"
    ):
        apply_dl_model(initial("patchcore"), [])


def test_an_initial_model_of_another_name_is_refused() -> None:
    with pytest.raises(
        ParameterError,
        match="'initial_dl_anomaly_large' is not an initial model; the initial models are initial_dl_anom",
    ):
        create_initial_model("initial_dl_anomaly_large")
