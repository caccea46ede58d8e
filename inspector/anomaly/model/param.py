"""The parameters of a model before it is trained: DLModelParam, and the initial models that hold nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError, ValidationInfo, field_validator, model_validator

from inspector.anomaly.backbones import LevelChoice, Normalization, usual_level_choices
from inspector.anomaly.choices import LITE_NAMES, BackboneName, DetectorName, FeatureNormalization
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.network.base import check_levels
from inspector.anomaly.network.device import DEVICE_PATTERN, available_device
from inspector.anomaly.network.registry import traits_of
from inspector.anomaly.parameters import Parameters
from inspector.anomaly.preprocess.param import MAX_INPUT_SIZE
from inspector.anomaly.verdict.score import ScoreRule
from schemas.refusal import refusals

InitialModelName = Literal[
    "initial_dl_anomaly_padim", "initial_dl_anomaly_patchcore", "initial_dl_anomaly_student", "initial_dl_anomaly_fused"
]

INITIAL_MODEL_NAMES: Final[Mapping[DetectorName, InitialModelName]] = MappingProxyType(
    {
        "padim": "initial_dl_anomaly_padim",
        "patchcore": "initial_dl_anomaly_patchcore",
        "student": "initial_dl_anomaly_student",
        "fused": "initial_dl_anomaly_fused",
    }
)
"""The initial model that is to become each detector."""

INITIAL_MODELS: Final[Mapping[str, DetectorName]] = MappingProxyType(
    {name: detector for detector, name in INITIAL_MODEL_NAMES.items()}
)
"""Which detector each initial model is to become."""

DEFAULT_LEVELS: Final[Mapping[DetectorName, tuple[tuple[int, ...], int]]] = MappingProxyType(
    {
        "padim": ((3, 4, 5, 6), 1),
        "patchcore": ((4, 6), 0),
        "student": ((3, 4, 5, 6), 1),
        "fused": ((2, 3, 4, 5, 6), 2),
    }
)
"""`levels` and `grid_level` of each detector, on the grid of level 4; the student predicts level 3, fused refines its map by 2 and 3."""

DEFAULT_DIMS: Final[Mapping[DetectorName, int]] = MappingProxyType(
    {"padim": 160, "patchcore": 160, "student": 144, "fused": 160}
)
"""`embedding_dims` of each detector; the student is as accurate with fewer, or nearly so, and faster."""

DEFAULT_FEATURE_NORMALIZATION: Final[Mapping[DetectorName, FeatureNormalization]] = MappingProxyType(
    {"padim": "level", "patchcore": "level", "student": "level", "fused": "both"}
)
"""`feature_normalization` of each detector."""

OWN_PARAMETERS: Final[Mapping[DetectorName, tuple[str, ...]]] = MappingProxyType(
    {
        "padim": ("neighbourhood", "neighbour_share", "regularization"),
        "patchcore": ("coreset",),
        "student": ("complexity",),
        "fused": ("neighbourhood", "neighbour_share", "regularization", "coreset"),
    }
)
"""The parameters that belong to some detectors; all others belong to every detector."""


def owners_of(name: str) -> tuple[DetectorName, ...]:
    """Return the detectors that a parameter belongs to; none of a parameter that belongs to all."""
    return tuple(owner for owner, names in OWN_PARAMETERS.items() if name in names)


IMAGE_DIMENSIONS: Final = "image_dimensions"
"""image_width, image_height and image_num_channels as one tuple, as in HALCON."""
_DIMENSIONS: Final = ("image_width", "image_height", "image_num_channels")

_OF_BACKBONE: Final = ("levels", "grid_level", "image_width", "image_height", "image_range_min", "image_range_max")
"""Parameters whose defaults the backbone decides."""

_USUAL_SIDE: Final = 256


def _usual_side(fields: dict[str, Any]) -> int:
    step = traits_of(fields["backbone"]).size_step
    return round(_USUAL_SIDE / step) * step


_InputSize = Annotated[int, Field(ge=1, le=MAX_INPUT_SIZE)]


def default_levels(detector: DetectorName, backbone: BackboneName) -> LevelChoice:
    """Return the levels that a detector takes of a backbone unless it is told otherwise.

    Raises:
        ParameterError: The detector cannot use the backbone, or timm has no such network.
        WeightsError: It is a network of timm, which is not installed.
    """
    if backbone in LITE_NAMES:
        return LevelChoice(*DEFAULT_LEVELS[detector])
    choices = usual_level_choices(traits_of(backbone).strides)
    if detector not in choices:
        raise ParameterError(
            f"detector {detector} needs levels of different strides, but those of {backbone} are all the same; choose "
            f"{' or '.join(choices)}, or a convolutional backbone"
        )
    return choices[detector]


def _is_backbone(name: object) -> bool:
    try:
        return bool(_BACKBONE.validate_python(name))
    except ValidationError:
        return False  # the field says why


_BACKBONE: Final[TypeAdapter[str]] = TypeAdapter(BackboneName)


class DLModelParam(Parameters):
    """All parameters of a model before it is trained; `set_dl_model_param` changes one of them.

    A parameter of another detector (`OWN_PARAMETERS`) must keep its default, because it would have no effect.

    Attributes:
        type: As in HALCON; there is only one.
        detector: What is trained on the backbone's features.
        backbone: The frozen network.
        weights: Of a network of timm: safetensors file of its weights; None for those that timm publishes.
        levels: The levels used, numbered from 1, increasing; `default_levels` unless given together with `grid_level`.
        grid_level: Index into `levels` of the one that gives the grid of positions.
        feature_normalization: Of the features before the projection: `level` by their root mean square over all positions,
            `vector` each position's vector by its norm, so that contrast alone makes no difference; fused: `both`, the
            Gaussians see vectors and the bank levels. `DEFAULT_FEATURE_NORMALIZATION` of the detector unless given.
        embedding_dims: Dimensions of a position after the random projection, with `both` of each; `DEFAULT_DIMS` of the detector unless given.
        image_width: Of the network's input in pixels, a multiple of the backbone's `size_step`; larger for small defects.
        image_height: The same.
        image_num_channels: 1 turns colour to gray.
        image_range_min: Smallest value of the network's input; what the backbone was trained with unless given.
        image_range_max: Largest value of the network's input; the same.
        complexity: student: its width; a larger one learns more and takes longer.
        score_rule: How a map becomes the image's score.
        neighbourhood: padim, fused: side of the square of positions that a Gaussian learns from; odd.
        neighbour_share: padim, fused: weight of that square against the position itself.
        regularization: padim, fused: divided by the root of the number of training images, the share of the mean variance added to every variance.
        coreset: patchcore, fused: patches in the memory bank.
        batch_size: Images that `apply_dl_model` computes at once.
        batch_size_multiplier: Without effect, as HALCON's chapter says of anomaly detection.
        device: Where the model runs: cpu, cuda or cuda:N.
        meta_data: The user's notes, stored in the bundle.
    """

    type: Literal["anomaly_detection"] = "anomaly_detection"
    detector: DetectorName = "padim"
    backbone: BackboneName = "efficientnet_lite0"
    weights: str | None = None
    levels: tuple[int, ...] = (3, 4, 5, 6)
    grid_level: int = Field(default=1, ge=0)
    feature_normalization: FeatureNormalization = "level"
    embedding_dims: int = Field(default=160, ge=8)
    image_width: _InputSize = Field(default_factory=_usual_side)
    image_height: _InputSize = Field(default_factory=_usual_side)
    image_num_channels: Literal[1, 3] = 3
    image_range_min: float = Field(
        default_factory=lambda fields: traits_of(fields["backbone"]).normalization.image_range[0]
    )
    image_range_max: float = Field(
        default_factory=lambda fields: traits_of(fields["backbone"]).normalization.image_range[1]
    )
    complexity: int = Field(default=10, ge=1)
    score_rule: ScoreRule = ScoreRule()
    neighbourhood: int = Field(default=3, ge=1)
    neighbour_share: float = Field(default=0.2, ge=0.0, le=1.0)
    regularization: float = Field(default=1.0, gt=0.0)
    coreset: int = Field(default=4000, ge=1)
    batch_size: int = Field(default=8, ge=1)
    batch_size_multiplier: int = Field(default=1, ge=1)
    device: str = Field(default="cpu", pattern=DEVICE_PATTERN)
    meta_data: dict[str, str] = Field(default_factory=dict)

    @field_validator("levels")
    @classmethod
    def _rising(cls, value: tuple[int, ...], fields: ValidationInfo) -> tuple[int, ...]:
        if "backbone" in fields.data:
            check_levels(value, traits_of(fields.data["backbone"]).strides)
        return value

    @field_validator("image_width", "image_height")
    @classmethod
    def _multiple_of_step(cls, value: int, fields: ValidationInfo) -> int:
        step = traits_of(fields.data["backbone"]).size_step if "backbone" in fields.data else 1
        if value % step:
            raise ValueError(f"must be a multiple of {step} for this backbone, got {value}")
        return value

    @field_validator("neighbourhood")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("the side of the square must be odd, so that it has a middle")
        return value

    @field_validator("meta_data")
    @classmethod
    def _own_copy_of_text(cls, value: dict[str, str]) -> dict[str, str]:
        for text in (*value, *value.values()):
            try:
                text.encode()
            except UnicodeEncodeError as exc:
                raise ValueError(f"{text!r} cannot be stored in a file: {exc.reason}") from exc
        return dict(value)

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_detector(cls, values: object) -> object:
        if not isinstance(values, dict) or values.get("detector", "padim") not in DEFAULT_LEVELS:
            return values
        detector = values.get("detector", "padim")
        given = {
            "embedding_dims": DEFAULT_DIMS[detector],
            "feature_normalization": DEFAULT_FEATURE_NORMALIZATION[detector],
            **values,
        }
        backbone = values.get("backbone", "efficientnet_lite0")
        if "levels" not in given and "grid_level" not in given and _is_backbone(backbone):
            given["levels"], given["grid_level"] = default_levels(detector, backbone)
        return given

    @model_validator(mode="after")
    def _fits_together(self) -> DLModelParam:
        if self.grid_level >= len(self.levels):
            raise ValueError(f"grid_level {self.grid_level} is an index into levels, which are {self.levels}")
        if self.feature_normalization == "both" and self.detector != "fused":
            raise ValueError(
                f"feature_normalization both is for fused, which has two parts; give level or vector to {self.detector}"
            )
        if self.weights is not None and self.backbone in LITE_NAMES:
            raise ValueError(
                f"weights were given for {self.backbone}, which has its own; they can be given for a backbone "
                "timm:NAME only"
            )
        strides = [traits_of(self.backbone).strides[level] for level in self.levels]
        # Strides never fall from one level to the next, so the last one before the grid's is the nearest to it.
        if self.detector == "student" and (
            not self.grid_level or strides[self.grid_level - 1] == strides[self.grid_level]
        ):
            raise ValueError(
                "a student predicts the levels before the grid level, so each of them must be finer; give grid_level "
                f"and levels such as {DEFAULT_LEVELS['student'][1]} and {DEFAULT_LEVELS['student'][0]}"
            )
        if self.image_range_min >= self.image_range_max:
            raise ValueError(
                f"image_range_min {self.image_range_min:g} must be less than image_range_max {self.image_range_max:g}"
            )
        for name in sorted(set().union(*OWN_PARAMETERS.values())):
            owners = owners_of(name)
            if self.detector not in owners and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} belongs to {' and '.join(owners)} and has no effect on {self.detector}")
        return self

    @property
    def image_dimensions(self) -> tuple[int, int, int]:
        """image_width, image_height and image_num_channels."""
        return self.image_width, self.image_height, self.image_num_channels

    @property
    def normalization(self) -> Normalization:
        """How the inputs of the backbone were normalised in its training."""
        return traits_of(self.backbone).normalization

    @property
    def size_step(self) -> int:
        """Width and height of the network's input are multiples of this."""
        return traits_of(self.backbone).size_step

    @property
    def mean_values_normalization(self) -> tuple[float, float, float]:
        """The backbone's, for `create_dl_preprocess_param_from_model`."""
        return self.normalization.mean

    @property
    def deviation_values_normalization(self) -> tuple[float, float, float]:
        """The backbone's, for `create_dl_preprocess_param_from_model`."""
        return self.normalization.deviation

    @property
    def own(self) -> dict[str, int | float]:
        """The parameters of this detector alone, by name; an `AnomalyModel` keeps them as `fitted_with`."""
        return {name: getattr(self, name) for name in OWN_PARAMETERS[self.detector]}


@dataclass(slots=True)
class InitialModel:
    """A model before its training: it has parameters but no weights. `read_dl_model` makes one from its name."""

    param: DLModelParam


def create_initial_model(name: str, *, device: str = "cpu") -> InitialModel:
    """Return an initial model with the default parameters.

    Raises:
        ParameterError: The initial model or the device does not exist.
    """
    detector = INITIAL_MODELS.get(name)
    if detector is None:
        raise ParameterError(f"{name!r} is not an initial model; the initial models are {', '.join(INITIAL_MODELS)}")
    available_device(device)
    return InitialModel(DLModelParam(detector=detector, device=device))


def replaced(param: DLModelParam, name: str, value: object) -> DLModelParam:
    """Return `param` with one parameter replaced, or `image_dimensions`, and all checked; no number is made of a text.

    Raises:
        ParameterError: The value is not one for this parameter, or contradicts another; names it.
    """
    given = {name: value}
    if name == IMAGE_DIMENSIONS:
        if not isinstance(value, tuple | list) or len(value) != len(_DIMENSIONS):
            raise ParameterError(
                f"model parameter {name!r} cannot be {value!r}: it is a tuple of {', '.join(_DIMENSIONS)}"
            )
        given = dict(zip(_DIMENSIONS, value, strict=True))
    values = {field: getattr(param, field) for field in DLModelParam.model_fields} | given
    if name == "backbone":
        usual = DLModelParam(detector=param.detector, backbone=param.backbone)
        for field in _OF_BACKBONE:  # these follow the backbone until they are set
            if getattr(param, field) == getattr(usual, field):
                del values[field]
    try:
        return DLModelParam.model_validate(values, strict=True)
    except ValidationError as exc:
        problem = refusals(exc, name=lambda _: "")[0]
        raise ParameterError(f"model parameter {name!r} cannot be {value!r}: {problem}") from exc
