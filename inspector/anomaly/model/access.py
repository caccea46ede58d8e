"""get_dl_model_param and set_dl_model_param: one parameter of a model by its name, before and after training.

Before training a model consists of its `DLModelParam`, and nearly all of that may be set. After training, values are read from the
model's parts, and only parameters that do not affect what was learnt may be set, as in HALCON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, overload

from inspector.anomaly.detectors.refine import DETAIL_COUNTED, FINE_COUNTED
from inspector.anomaly.detectors.student import COUNTED
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.model.model import AnomalyModel
from inspector.anomaly.model.param import (
    IMAGE_DIMENSIONS,
    INITIAL_MODELS,
    OWN_PARAMETERS,
    DLModelParam,
    InitialModel,
    owners_of,
    replaced,
)
from inspector.anomaly.network.device import available_device
from inspector.anomaly.network.runtime import TorchRuntime
from inspector.anomaly.types import ScoreScale, Thresholds
from inspector.anomaly.verdict.score import ScoreRule

ParamValue: TypeAlias = (
    str | int | float | tuple[int, ...] | dict[str, str] | ScoreRule | ScoreScale | Thresholds | None
)

_FACTOR: Final = "standard_deviation_factor"
_NOT_LEARNT: Final = (COUNTED, FINE_COUNTED, DETAIL_COUNTED)
"""Tensors of a detector that say where, not what."""

_THRESHOLDS: Final[Mapping[str, Literal["classification", "segmentation"]]] = MappingProxyType(
    {"anomaly_classification_threshold": "classification", "anomaly_segmentation_threshold": "segmentation"}
)
"""Field of `Thresholds` by the name of the parameter."""

_AFTER_TRAINING: Final = frozenset(
    {_FACTOR, "score_rule", "batch_size", "batch_size_multiplier", "device", "meta_data", "thresholds", *_THRESHOLDS}
)
"""What may be set on a trained model."""

_READ_ONLY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "type": "there is no other",
        "detector": f"read another initial model ({', '.join(INITIAL_MODELS)})",
        "scale": "compute_dl_anomaly_thresholds chooses it",
        "num_trainable_params": "it follows from the training",
    }
)
"""Parameters that are read-only, and what to do instead."""

_ONLY_UNTRAINED: Final = frozenset({"weights"})
_ONLY_TRAINED: Final = frozenset({"thresholds", *_THRESHOLDS, "scale", "num_trainable_params"})


def _runtime(model: AnomalyModel) -> TorchRuntime:
    runtime = model.network.runtime
    if not isinstance(runtime, TorchRuntime):
        raise ParameterError(f"model {model.name} does not run in torch, so its backbone is not known")
    return runtime


_OF_TRAINED: Final[Mapping[str, Callable[[AnomalyModel], ParamValue]]] = MappingProxyType(
    {
        "type": lambda model: model.preprocess_param.model_type,
        "detector": lambda model: model.detector.kind,
        "backbone": lambda model: _runtime(model).backbone.name,
        "levels": lambda model: _runtime(model).backbone.levels,
        "grid_level": lambda model: model.network.embedding.grid_level,
        "feature_normalization": lambda model: model.network.embedding.normalization,
        "embedding_dims": lambda model: model.network.embedding.part_dims,
        "image_width": lambda model: model.preprocess_param.image_width,
        "image_height": lambda model: model.preprocess_param.image_height,
        "image_num_channels": lambda model: model.preprocess_param.image_num_channels,
        IMAGE_DIMENSIONS: lambda model: (*model.input_size, model.preprocess_param.image_num_channels),
        "image_range_min": lambda model: model.preprocess_param.image_range_min,
        "image_range_max": lambda model: model.preprocess_param.image_range_max,
        "score_rule": lambda model: model.rule,
        _FACTOR: lambda model: model.rule.standard_deviation_factor,
        "batch_size": lambda model: model.batch_size,
        "batch_size_multiplier": lambda model: model.batch_size_multiplier,
        "device": lambda model: str(model.network.runtime.device),
        "meta_data": lambda model: dict(model.meta_data),
        "thresholds": lambda model: model.thresholds,
        "anomaly_classification_threshold": lambda model: model.thresholds and model.thresholds.classification,
        "anomaly_segmentation_threshold": lambda model: model.thresholds and model.thresholds.segmentation,
        "scale": lambda model: model.scale,
        "num_trainable_params": lambda model: sum(
            tensor.numel() for name, tensor in model.detector.tensors().items() if name not in _NOT_LEARNT
        ),
    }
)


@overload
def get_dl_model_param(
    model: InitialModel | AnomalyModel,
    name: Literal[
        "grid_level", "embedding_dims", "image_width", "image_height", "image_num_channels", "batch_size",
        "batch_size_multiplier", "num_trainable_params", "complexity", "neighbourhood", "coreset",
    ],
) -> int: ...  # fmt: skip
@overload
def get_dl_model_param(
    model: InitialModel | AnomalyModel,
    name: Literal["image_range_min", "image_range_max", "neighbour_share", "regularization"],
) -> float: ...
@overload
def get_dl_model_param(
    model: InitialModel | AnomalyModel, name: Literal["type", "detector", "backbone", "feature_normalization", "device"]
) -> str: ...
@overload
def get_dl_model_param(
    model: InitialModel | AnomalyModel, name: Literal["image_dimensions"]
) -> tuple[int, int, int]: ...
@overload
def get_dl_model_param(
    model: InitialModel | AnomalyModel,
    name: Literal["anomaly_classification_threshold", "anomaly_segmentation_threshold"],
) -> float | None: ...
@overload
def get_dl_model_param(model: InitialModel | AnomalyModel, name: str) -> ParamValue: ...
def get_dl_model_param(model: InitialModel | AnomalyModel, name: str) -> ParamValue:
    """Return one parameter of a model.

    Args:
        model: Before or after training.
        name: A field of `DLModelParam` that belongs to the model's detector; `image_dimensions`, its width, height and
            number of channels; `standard_deviation_factor` (None unless the score rule has one). Of a trained model also
            `thresholds`, `anomaly_classification_threshold` and `anomaly_segmentation_threshold` (None: uncalibrated),
            `scale`, and `num_trainable_params`, the numbers that its detector learnt (the backbone's are not trained).

    Raises:
        ParameterError: There is no such parameter, it belongs to another detector, it exists only after training,
            before training only, or the bundle does not record it.
    """
    _check_name(model, name)
    if isinstance(model, AnomalyModel):
        if name in _ONLY_UNTRAINED:
            raise ParameterError(
                f"model parameter {name!r} exists only before training; a trained model contains the weights"
            )
        if name in _OF_TRAINED:
            return _OF_TRAINED[name](model)
        if name not in model.fitted_with:
            raise ParameterError(f"model {model.name} does not record which {name} it was trained with; train it again")
        return model.fitted_with[name]
    if name in _ONLY_TRAINED:
        raise ParameterError(f"model parameter {name!r} exists only after training; train the model")
    if name == _FACTOR:
        return model.param.score_rule.standard_deviation_factor
    if name == IMAGE_DIMENSIONS:
        return model.param.image_dimensions
    value: ParamValue = getattr(model.param, name)
    return dict(value) if isinstance(value, dict) else value


def set_dl_model_param(model: InitialModel | AnomalyModel, name: str, value: object) -> None:
    """Change one parameter of a model in place. The model must not be used elsewhere meanwhile.

    `standard_deviation_factor` chooses the score rule of that name. On a trained model another score rule (by either name)
    changes the scores, so its thresholds are no longer valid: they become None, and the model gives no verdict until it
    is calibrated again. Thresholds are scores by the model's present scale. If one of the two is set on a model without
    thresholds, it is used for the other too until that is set, and every pixel counts in a region until `thresholds`
    sets another area. A model whose thresholds were changed differs from its bundle, so its digest becomes empty.

    `device` moves a trained model; its results stay the same, to the rounding of another device's kernels.

    Args:
        model: Before training: any parameter but the type and the detector. After: `anomaly_classification_threshold`,
            `anomaly_segmentation_threshold`, `thresholds` (both and the least area, or None for none),
            `standard_deviation_factor`, `score_rule`, `batch_size`, `batch_size_multiplier` (accepted, without effect),
            `device` and `meta_data`.
        name: See `get_dl_model_param`.
        value: Of the type that `DLModelParam` states; numbers as text are refused.

    Raises:
        ParameterError: There is no such parameter, it belongs to another detector, it can only be read, only be set
            before training, or cannot have this value; names the parameter and what to do. The model is as before.
    """
    _check_name(model, name)
    if name in _READ_ONLY:
        raise ParameterError(f"model parameter {name!r} is read-only; {_READ_ONLY[name]}")
    is_trained = isinstance(model, AnomalyModel)
    if is_trained and name not in _AFTER_TRAINING:
        raise ParameterError(
            f"model parameter {name!r} can be set only before training; set it on an initial model "
            f"({', '.join(INITIAL_MODELS)}) and train that; on a trained model you can set "
            f"{', '.join(sorted(_AFTER_TRAINING))}"
        )
    if name == "thresholds" or name in _THRESHOLDS:
        if not isinstance(model, AnomalyModel):
            raise ParameterError(f"model parameter {name!r} exists only after training; train the model")
        model.calibrate(_thresholds_of(model, name, value))
        return
    if name == _FACTOR:
        name, value = "score_rule", _rule_of(value)
    # One check for both: a trained model's values go through the parameters of an untrained one.
    param = replaced(DLModelParam() if isinstance(model, AnomalyModel) else model.param, name, value)
    if name == "device":
        available_device(param.device)
    if isinstance(model, AnomalyModel):
        _set_trained(model, name, param)
    else:
        model.param = param


def _rule_of(factor: object) -> ScoreRule:
    try:
        return ScoreRule.model_validate(
            {"kind": "standard_deviation", "standard_deviation_factor": factor}, strict=True
        )
    except ValueError as exc:
        raise ParameterError(
            f"model parameter {_FACTOR!r} cannot be {factor!r}; it is a finite number of at least 0"
        ) from exc


def _thresholds_of(model: AnomalyModel, name: str, value: object) -> Thresholds | None:
    if name not in _THRESHOLDS:
        if value is None or isinstance(value, Thresholds):
            return value
        raise ParameterError(f"model parameter {name!r} cannot be {value!r}: it is of type Thresholds, or None")
    # HALCON's default for both is one value, and a model with half its thresholds gives no verdict.
    before = {"classification": value, "segmentation": value} if model.thresholds is None else dict(model.thresholds)
    try:
        return Thresholds.model_validate(before | {_THRESHOLDS[name]: value}, strict=True)
    except ValueError as exc:
        raise ParameterError(
            f"model parameter {name!r} cannot be {value!r}: it is a score between 0 and 1, exclusive"
        ) from exc


def _set_trained(model: AnomalyModel, name: str, param: DLModelParam) -> None:
    if name == "device":
        model.move_to(available_device(param.device))
    elif name == "meta_data":
        model.meta_data = param.meta_data
    elif name == "batch_size":
        model.batch_size = param.batch_size
    elif name == "batch_size_multiplier":
        model.batch_size_multiplier = param.batch_size_multiplier
    elif param.score_rule != model.rule:
        model.rule = param.score_rule
        model.calibrate(None)
        model.identity = replace(model.identity, digest="")


def _check_name(model: InitialModel | AnomalyModel, name: str) -> None:
    detector = model.detector.kind if isinstance(model, AnomalyModel) else model.param.detector
    owners = owners_of(name)
    if owners and detector not in owners:
        raise ParameterError(
            f"model parameter {name!r} belongs to {' and '.join(owners)}; this model's detector is {detector}"
        )
    known = {*_OF_TRAINED, *_ONLY_UNTRAINED, *OWN_PARAMETERS[detector]}
    if name not in known:
        raise ParameterError(f"{name!r} is not a model parameter; the parameters are {', '.join(sorted(known))}")
