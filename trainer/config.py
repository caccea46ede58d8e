"""Settings of the trainer's commands: frozen, checked as a whole before an image is opened.

The command line comes before the environment (`TRAINER_FIT__SEED=1`), that before the defaults.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    CliImplicitFlag,
    CliPositionalArg,
    CliSubCommand,
    SettingsConfigDict,
    get_subcommand,
)
from pydantic_settings import (
    SettingsError as InvalidEnvironmentError,
)

from trainer.errors import SettingsError

DetectorName = Literal["patchcore", "padim"]

SIDE_STEP = 32
SIDE_MAX = 1024
Side = Annotated[int, Field(ge=SIDE_STEP, le=SIDE_MAX, multiple_of=SIDE_STEP)]


class FitSettings(BaseModel):
    """Fit a model on ok images, calibrate and judge it, write its bundle and report.

    Exit status: 0 done, 1 refused (the message says why), 2 wrong usage, 130 interrupted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    images: Path = Field(description="folder of images, MVTec AD layout or nothing but ok images")
    out: Path = Field(description="folder of the model bundle to write")
    anomaly_dir: Path | None = Field(None, description="folder of masks, unless it is IMAGES/ground_truth")
    all_ok: CliImplicitFlag[bool] = Field(False, description="every image is ok, whatever its folder is called")
    detector: DetectorName = Field("padim", description="a Gaussian for each position, or a memory bank")
    width: Side | None = Field(None, description="model input, a multiple of 32; chosen from the images by default")
    height: Side | None = Field(None, description="as width, and given together with it")
    coreset: int | None = Field(None, ge=1, le=100_000, description="patches in the memory bank (patchcore)")
    max_train: int | None = Field(None, ge=2, description="most images to fit on; the others calibrate")
    max_false_rejects: float = Field(0.05, gt=0, lt=1, description="share of ok parts that may be rejected")
    seed: int = Field(0, ge=0, lt=2**31, description="decides every random choice")
    name: str | None = Field(
        None, pattern=r"^[A-Za-z0-9._-]{1,64}$", description="name of the model; that of the bundle's folder by default"
    )
    overwrite: CliImplicitFlag[bool] = Field(False, description="replace a bundle that is there already")
    json_output: CliImplicitFlag[bool] = Field(
        False, validation_alias="json", description="print one JSON object instead of the table"
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if (self.width is None) != (self.height is None):
            raise ValueError("--width and --height go together")
        if self.coreset is not None and self.detector != "patchcore":
            raise ValueError(f"--coreset is a setting of patchcore, not of {self.detector}")
        return self


class ApplySettings(BaseModel):
    """Score images with a bundle, without a broker.

    Exit status: 0 every image was scored, 1 some could not be (each is named with
    its reason) or the bundle could not be read, 2 wrong usage, 130 interrupted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    bundle: CliPositionalArg[Path] = Field(description="folder of the model bundle")
    images: CliPositionalArg[list[Path]] = Field(
        min_length=1, validation_alias="IMAGE", description="images, or folders of images"
    )
    pictures: Path | None = Field(
        None, description="folder to write a PNG with heat map and outlines to, for each image"
    )
    device: str = Field("cpu", description="where the network runs: cpu, cuda, cuda:1")
    json_output: CliImplicitFlag[bool] = Field(
        False, validation_alias="json", description="print one JSON object instead of the table"
    )


class TrainerSettings(BaseSettings):
    """Learn a camera's ok parts from images, and try the model that comes of it."""

    model_config = SettingsConfigDict(
        env_prefix="TRAINER_",
        env_nested_delimiter="__",
        cli_prog_name="trainer",
        cli_kebab_case=True,
        cli_enforce_required=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        frozen=True,
    )

    fit: CliSubCommand[FitSettings]
    apply: CliSubCommand[ApplySettings]


def parse_settings(arguments: list[str]) -> FitSettings | ApplySettings:
    """Settings of the command that the arguments name.

    Raises:
        SettingsError: A value is out of range or contradicts another; every one is named.
        SystemExit: Wrong usage, or help was asked for; both are printed.
    """
    try:
        settings = TrainerSettings(_cli_parse_args=arguments or ["--help"])
        command = get_subcommand(settings)
    except ValidationError as error:
        raise SettingsError("; ".join(_sentences(error))) from error
    except InvalidEnvironmentError as error:
        raise SettingsError(str(error)) from error
    if not isinstance(command, FitSettings | ApplySettings):
        raise SettingsError("give a command: fit or apply")
    return command


def _sentences(error: ValidationError) -> list[str]:
    sentences = []
    for item in error.errors(include_url=False):
        place = item["loc"][1:]  # without the name of the command
        message = item["msg"].removeprefix("Value error, ")
        if not place:
            sentences.append(message)
            continue
        option = "--" + str(place[0]).replace("_", "-")
        sentences.append(f"{option}: {message[0].lower()}{message[1:]}, got {item['input']!r}")
    return sentences
