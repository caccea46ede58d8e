"""How a picture becomes a network's input, as parameters: create_dl_preprocess_param, ..._from_model, and their digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, Protocol

from pydantic import Field, ValidationError, ValidationInfo, field_serializer, field_validator, model_validator

from inspector.anomaly.backbones import EFFICIENTNET_LITE, SIZE_STEP, Normalization
from inspector.anomaly.choices import DomainHandling, NormalizationType
from inspector.anomaly.domain.domain import DomainView, ImageDomain
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.parameters import NAME_PATTERN, Parameters
from inspector.anomaly.preprocess.tiling import TileParam, map_size
from schemas.refusal import refusals

OptionValue = bool | int | float | str

MAX_INPUT_SIZE = 1024

_RANGE_OF_OLD_BUNDLES: Final = (-2.0, 2.0)
"""Older programs stored this range beside any constants, rounded; it never had an effect on `constant_values`."""

PIXELS_VERSION: Final = 2
"""Raised whenever the decoder or the preprocessing gives other pixels for the same parameters; part of each digest."""


class PreprocessStep(Parameters):
    """A user's step, run on the decoded picture before anything else; see `preprocess_steps`.

    Attributes:
        name: As registered.
        version: As registered; a model can only be loaded if exactly this version is installed.
        options: Handed to the step.
    """

    name: str = Field(pattern=NAME_PATTERN)
    version: str = Field(pattern=r"^[A-Za-z0-9_.+-]{1,64}$")
    options: Mapping[str, OptionValue] = Field(default_factory=dict)

    @field_validator("options", mode="after")
    @classmethod
    def _read_only(cls, value: Mapping[str, OptionValue]) -> Mapping[str, OptionValue]:
        return MappingProxyType(dict(value))

    @field_serializer("options")
    def _plain(self, value: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
        return dict(value)

    def __hash__(self) -> int:
        return hash((self.name, self.version, tuple(sorted(self.options))))


def _normalization_of(fields: dict[str, Any]) -> Normalization:
    """Of fields that are checked already."""
    return Normalization(fields["mean_values_normalization"], fields["deviation_values_normalization"])


class DLPreprocessParam(Parameters):
    """How a picture becomes the network's input; stored with the model, used alike by trainer and service.

    In this order: the own `preprocess_steps`; the domain (`domain_handling`); an antialiased bilinear resize to the input
    size (aspect not kept, as in HALCON: which pictures a model takes is said by its `ImageGeometry`); colour to gray (BT.601) where
    `image_num_channels` is 1; the normalisation. The network always gets three channels: gray is tripled at the end.

    The decoder halves a picture of any encoding once to three times, as long as neither side of what the network sees
    falls below `decode_margin` times the model's input; with own steps it never does, so that they see every pixel.

    `image_width` and `image_height` are multiples of `size_step`, the backbone's; it is stored where it is not 32.

    Normalisation of a picture x with gray values from 0 to 255, to the range from `image_range_min` to `image_range_max`. A
    backbone expects the inputs that it was trained with, so all of these come from the model
    (`create_dl_preprocess_param_from_model`). Where no model is given they are those of EfficientNet-Lite, (x - 127) / 128;
    a range that is not given is the one that mean and deviation lead to.

    * `none`: 0 becomes the minimum, 255 the maximum, linearly.
    * `all_channels`: in each channel the picture's own smallest value becomes the minimum, its largest the maximum. A
      channel that varies by less than half a gray level becomes the middle of the range.
    * `first_channel`: all channels are stretched as the first one (also where that is flat), and are not cut off where
      they leave the range.
    * `constant_values`: (x - mean) / deviation in each channel; the range follows from that.

    Domain: `full_domain` counts everywhere. `keep_domain` shows the network a picture of the whole size, `crop_domain` only
    the bounding box of the domain. Pixels outside the domain have no influence: they are painted over before the resize
    (with the mean values for `constant_values`, middle gray for `none`, else the mean of the domain in this picture),
    so that the score inside cannot depend on it, and the map is 0 there.

    Tiles: with `tile` the picture is cut into overlapping tiles after the own steps, and each tile is resized and normalised as a
    picture of its own. The decoder reduces nothing then; a domain must be a rectangle, with crop_domain. Stored only where it
    is used, so that programs that know no tiles read every bundle that they can use, and refuse the others.
    """

    model_type: Literal["anomaly_detection"] = "anomaly_detection"
    size_step: int = Field(default=SIZE_STEP, ge=1, le=64, exclude_if=lambda step: step == SIZE_STEP)
    image_width: int = Field(ge=1, le=MAX_INPUT_SIZE)
    image_height: int = Field(ge=1, le=MAX_INPUT_SIZE)
    image_num_channels: Literal[1, 3] = 3
    normalization_type: NormalizationType = "constant_values"
    mean_values_normalization: tuple[float, float, float] = EFFICIENTNET_LITE.mean
    deviation_values_normalization: tuple[float, float, float] = EFFICIENTNET_LITE.deviation
    image_range_min: float = Field(default_factory=lambda fields: _normalization_of(fields).image_range[0])
    image_range_max: float = Field(default_factory=lambda fields: _normalization_of(fields).image_range[1])
    domain_handling: DomainHandling = "full_domain"
    domain: ImageDomain | None = None
    preprocess_steps: tuple[PreprocessStep, ...] = ()
    decode_margin: float = Field(default=1.0, ge=1.0, le=8.0)
    tile: TileParam | None = Field(default=None, exclude_if=lambda tile: tile is None)
    apply_exif: bool = Field(default=False, exclude_if=lambda is_applied: not is_applied)

    @field_validator("image_width", "image_height")
    @classmethod
    def _multiple_of_step(cls, value: int, fields: ValidationInfo) -> int:
        step = fields.data.get("size_step", 1)  # not there where it is refused itself
        if value % step:
            raise ValueError(f"must be a multiple of {step}, got {value}")
        return value

    @field_validator("deviation_values_normalization")
    @classmethod
    def _positive(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(value) <= 0:
            raise ValueError(f"deviations must be positive, got {value}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> DLPreprocessParam:
        low, high = self.image_range_min, self.image_range_max
        if self.normalization_type == "constant_values":
            expected = self.normalization.image_range
            if (low, high) not in (expected, _RANGE_OF_OLD_BUNDLES):
                raise ValueError(
                    f"constant_values gives the range {expected[0]:g} to {expected[1]:g}, got {low:g} to {high:g}; "
                    "leave out the range, or choose another normalization_type"
                )
        elif low >= high:
            raise ValueError(f"image_range_min must be less than image_range_max, got {low:g} and {high:g}")
        if self.domain is not None and self.domain_handling == "full_domain":
            raise ValueError(
                "full_domain would ignore the given domain; choose keep_domain or crop_domain, or leave out the domain"
            )
        if self.domain is None and self.domain_handling != "full_domain":
            raise ValueError(f"{self.domain_handling} needs a domain; give one, or choose full_domain")
        return self

    @model_validator(mode="after")
    def _tiles_fit(self) -> DLPreprocessParam:
        tile = self.tile
        if tile is None:
            return self
        if tile.width * self.image_height != tile.height * self.image_width:
            raise ValueError(
                f"tiles of {tile.width}x{tile.height} pixels would be distorted to the input of "
                f"{self.image_width}x{self.image_height}; give both the same aspect ratio"
            )
        if self.view is not None and not self.view.is_all:
            raise ValueError(
                "tiles can be cut from whole pictures or from a rectangle; use crop_domain with a rectangular domain, "
                "or leave out the domain or the tiles"
            )
        return self

    @property
    def normalization(self) -> Normalization:
        """Mean and deviation, which `constant_values` uses."""
        return Normalization(self.mean_values_normalization, self.deviation_values_normalization)

    @property
    def input_size(self) -> tuple[int, int]:
        """(width, height) of the network's input in pixels."""
        return self.image_width, self.image_height

    @property
    def view(self) -> DomainView | None:
        """How the model looks at its domain; None where everything counts."""
        return None if self.domain is None else DomainView(self.domain, self.domain_handling == "crop_domain")

    @property
    def decode_target(self) -> tuple[int, int] | None:
        """(width, height) that the whole picture needs, for `decode_image`; None for all that there is.

        A crop needs more of the picture than the input's size, so that the crop itself has it.
        """
        if self.preprocess_steps or self.tile is not None:
            return None
        if self.domain is None or self.domain_handling != "crop_domain":
            return self.input_size
        left, top, right, bottom = self.domain.bounds
        return (
            -int(-self.image_width * self.domain.image_width // (right - left)),
            -int(-self.image_height * self.domain.image_height // (bottom - top)),
        )

    def map_size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of the map of a picture of this size: the input's, or with tiles the picture's own within bounds."""
        if self.tile is None:
            return self.input_size
        return map_size(*((width, height) if self.view is None else self.view.box(width, height)[2:]))

    @property
    def of_input(self) -> DLPreprocessParam:
        """What one input goes through: a tile, which has steps and domain behind it; without tiles the picture itself."""
        if self.tile is None:
            return self
        behind = {"tile": None, "preprocess_steps": (), "domain": None, "domain_handling": "full_domain"}
        return self.model_copy(update=behind)

    @property
    def digest(self) -> str:
        """SHA-256 of everything that decides the pixels, hexadecimal: every parameter, the steps' versions, the decoder."""
        document = {"pixels_version": PIXELS_VERSION, **self.model_dump(mode="json")}
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def create_dl_preprocess_param(  # noqa: PLR0913 - as many as the procedure of that name has
    *,
    image_width: int,
    image_height: int,
    image_num_channels: Literal[1, 3] = 3,
    image_range_min: float | None = None,
    image_range_max: float | None = None,
    normalization_type: NormalizationType = "constant_values",
    domain_handling: DomainHandling = "full_domain",
    domain: ImageDomain | None = None,
    preprocess_steps: tuple[PreprocessStep, ...] = (),
    **further: Any,
) -> DLPreprocessParam:
    """Return checked parameters, like HALCON's procedure of this name.

    The defaults suit the EfficientNet-Lite backbones: (x - 127) / 128, hence a range of
    about -1 to 1; HALCON's bare default of -127 to 128 may be given. The procedure's class ids to ignore and for the
    background belong to segmentation and do not exist here.

    Args:
        image_width: Of the network's input, a multiple of `size_step`, which is 32.
        image_height: The same.
        image_num_channels: 1 turns colour to gray.
        image_range_min: See `DLPreprocessParam`; None for what mean and deviation lead to.
        image_range_max: The same.
        normalization_type: See `DLPreprocessParam`.
        domain_handling: See `DLPreprocessParam`.
        domain: With keep_domain and crop_domain.
        preprocess_steps: Own steps, in their order.
        **further: The other fields of `DLPreprocessParam`.

    Raises:
        ParameterError: A parameter is unknown, out of its range, or contradicts another.
    """
    try:
        return DLPreprocessParam.model_validate(
            {
                "image_width": image_width,
                "image_height": image_height,
                "image_num_channels": image_num_channels,
                **({} if image_range_min is None else {"image_range_min": image_range_min}),
                **({} if image_range_max is None else {"image_range_max": image_range_max}),
                "normalization_type": normalization_type,
                "domain_handling": domain_handling,
                "domain": domain,
                "preprocess_steps": preprocess_steps,
                **further,
            }
        )
    except ValidationError as exc:
        raise ParameterError(f"preprocessing parameters: {refusals(exc)[0]}") from exc


class ImageRequirements(Protocol):
    """What a model asks of its pictures."""

    @property
    def image_width(self) -> int: ...  # noqa: D102
    @property
    def image_height(self) -> int: ...  # noqa: D102
    @property
    def size_step(self) -> int: ...  # noqa: D102
    @property
    def image_num_channels(self) -> Literal[1, 3]: ...  # noqa: D102
    @property
    def image_range_min(self) -> float: ...  # noqa: D102
    @property
    def image_range_max(self) -> float: ...  # noqa: D102
    @property
    def mean_values_normalization(self) -> tuple[float, float, float]: ...  # noqa: D102
    @property
    def deviation_values_normalization(self) -> tuple[float, float, float]: ...  # noqa: D102


class HasParam(Protocol):
    """A model that is not trained yet."""

    @property
    def param(self) -> ImageRequirements: ...  # noqa: D102


class HasPreprocessParam(Protocol):
    """A trained model."""

    @property
    def preprocess_param(self) -> ImageRequirements: ...  # noqa: D102


def create_dl_preprocess_param_from_model(
    model: HasParam | HasPreprocessParam | ImageRequirements,
    *,
    normalization_type: NormalizationType = "constant_values",
    domain_handling: DomainHandling = "full_domain",
    domain: ImageDomain | None = None,
    preprocess_steps: tuple[PreprocessStep, ...] = (),
    tile: TileParam | None = None,
    apply_exif: bool = False,
) -> DLPreprocessParam:
    """Return parameters that suit a model, like HALCON's procedure of this name.

    That is its type, size and the step of that, channels and range, and the mean and deviation that its backbone was trained with.

    To apply a trained model, use its own `preprocess_param` instead, which is complete.

    Args:
        model: A trained model, one to be trained, or the parameters of either.
        normalization_type: See `DLPreprocessParam`.
        domain_handling: See `DLPreprocessParam`.
        domain: With keep_domain and crop_domain.
        preprocess_steps: Own steps, in their order.
        tile: For small defects in large pictures; None for whole pictures.
        apply_exif: See `DLPreprocessParam`.

    Raises:
        ParameterError: The model is not one of anomaly detection, or a parameter contradicts another.
    """
    asked: Any = getattr(model, "preprocess_param", None) or getattr(model, "param", None) or model
    missing = [name for name in _REQUIREMENTS if not hasattr(asked, name)]
    if missing:
        raise ParameterError(f"{type(model).__name__} is not a model: it has no {', '.join(missing)}")
    return create_dl_preprocess_param(
        **{name: getattr(asked, name) for name in _REQUIREMENTS},
        model_type=getattr(asked, "type", getattr(asked, "model_type", "anomaly_detection")),
        normalization_type=normalization_type,
        domain_handling=domain_handling,
        domain=domain,
        preprocess_steps=preprocess_steps,
        tile=tile,
        apply_exif=apply_exif,
    )


_REQUIREMENTS: Final = (
    "size_step",
    "image_width",
    "image_height",
    "image_num_channels",
    "image_range_min",
    "image_range_max",
    "mean_values_normalization",
    "deviation_values_normalization",
)
