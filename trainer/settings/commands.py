"""Settings of the trainer's commands: frozen, checked as a whole before an image is opened. Loads no torch.

The command line comes before the environment (`TRAINER_FIT__SEED=1`), that before the defaults.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliImplicitFlag,
    CliPositionalArg,
    CliSettingsSource,
    CliSubCommand,
    SettingsConfigDict,
    get_subcommand,
)
from pydantic_settings import (
    SettingsError as InvalidEnvironmentError,
)

from trainer.errors import SettingsError
from trainer.settings.fit import ChoiceSettings, FitSettings
from trainer.settings.help import GroupedHelp
from trainer.settings.source import DEVICE_HELP, Percent, SourceSettings, SplitSettings

__all__ = ["ApplySettings", "CommandSettings", "FitSettings", "ShowSettings", "WorkflowSettings", "parse_settings"]

WORKFLOW_TRAINING_PERCENT, WORKFLOW_VALIDATION_PERCENT = 60, 20
"""The chapter's example takes 50 and 10, of many images; what is left over is tested on."""


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
    device: str = Field("cpu", description=DEVICE_HELP)
    json_output: CliImplicitFlag[bool] = Field(
        False, validation_alias="json", description="print one JSON object instead of the table"
    )


class ShowSettings(SourceSettings):
    """Draw what a bundle makes of labelled images, as PNG files: samples, a grid, the evaluation, the training's error.

    They are of the images that folders or a manifest name for testing. Where these name none, they are of all images, those
    included that the model may have learnt from: then give a folder of others, or a manifest with the column split.

    Exit status: 0 done, 1 refused (the message says why), 2 wrong usage, 130 interrupted.
    """

    bundle: CliPositionalArg[Path] = Field(description="folder of the model bundle")
    out: Path = Field(description="folder to write the pictures to")
    device: str = Field("cpu", description=DEVICE_HELP)


class WorkflowSettings(SourceSettings, SplitSettings, ChoiceSettings):
    """Run the workflow of HALCON's chapter step by step, and say what comes of each.

    Exit status: 0 done, 1 refused (the message says why), 2 wrong usage, 130 interrupted.
    """

    out: Path = Field(description="folder to write to: must not be there, or be empty")
    training_percent: Percent | None = Field(
        None, description=f"share of the ok images to learn from ({WORKFLOW_TRAINING_PERCENT})"
    )
    validation_percent: Percent | None = Field(
        None, description=f"share of the ok images that calibrate only ({WORKFLOW_VALIDATION_PERCENT})"
    )
    max_num_epochs: int | None = Field(None, ge=1, description="student: passes over the images")
    seed: int = Field(0, ge=0, lt=2**31, description="decides every random choice")
    device: str = Field("cpu", description=DEVICE_HELP)


CommandSettings = FitSettings | ApplySettings | ShowSettings | WorkflowSettings


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
    show: CliSubCommand[ShowSettings]
    workflow: CliSubCommand[WorkflowSettings]


def parse_settings(arguments: list[str]) -> CommandSettings:
    """Settings of the command that the arguments name.

    Raises:
        SettingsError: A value is out of range or contradicts another; every one is named.
        SystemExit: Wrong usage, or help was asked for; both are printed.
    """
    try:
        source = CliSettingsSource[object](
            TrainerSettings, cli_parse_args=_quoted(arguments) or ["--help"], formatter_class=GroupedHelp
        )
        settings = TrainerSettings(_cli_settings_source=source)
        command = get_subcommand(settings)
    except ValidationError as error:
        raise SettingsError("; ".join(_sentences(error))) from error
    except InvalidEnvironmentError as error:
        raise SettingsError(str(error)) from error
    if not isinstance(command, CommandSettings):
        raise SettingsError("give a command: fit, apply, show or workflow")
    return command


def _quoted(arguments: Sequence[str]) -> list[str]:
    """The same with paths of lists in quotes: a name may hold a comma or brackets, which would part it."""
    if arguments[:1] == ["apply"]:
        images = _images_of_apply(arguments)
        return [_quote(argument) if index in images else argument for index, argument in enumerate(arguments)]
    quoted = list(arguments)
    for index, argument in enumerate(arguments):
        if index and arguments[index - 1] == "--images":
            quoted[index] = _quote(argument)
        elif argument.startswith("--images="):
            quoted[index] = "--images=" + _quote(argument.removeprefix("--images="))
    return quoted


def _images_of_apply(arguments: Sequence[str]) -> set[int]:
    """Indices of the arguments behind the bundle that are neither options nor their values."""
    places: list[int] = []
    is_value = all_places = False
    for index, argument in enumerate(arguments[1:], start=1):
        if is_value:
            is_value = False
        elif all_places or not argument.startswith("-") or argument == "-":
            places.append(index)
        elif argument == "--":
            all_places = True
        else:
            is_value = "=" not in argument and not "--json".startswith(argument) and argument not in ("-h", "--help")
    return set(places[1:])


def _quote(path: str) -> str:
    # Behind ./ a name is never taken for a number, a list or null.
    return f'"{path}"' if path.startswith(("/", "./")) else f'"./{path}"'


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
