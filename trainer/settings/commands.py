"""Settings of the trainer's commands: frozen, checked as a whole before an image is opened. Loads no torch.

The command line overrides the environment (`TRAINER_FIT__SEED=1`), which overrides the defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inspector.commandline.command import Command, parse_command
from inspector.commandline.option import Argument
from schemas.refusal import Place, refusals
from trainer.errors import SettingsError
from trainer.formats.known import READABLE
from trainer.settings.backtest import BacktestSettings
from trainer.settings.check import CheckSettings
from trainer.settings.fit import ChoiceSettings, FitSettings
from trainer.settings.rates import Percent
from trainer.settings.release import CompareSettings, ReleaseSettings, ReleasesSettings, RollbackSettings
from trainer.settings.source import DEVICE_HELP, SourceSettings, SplitSettings
from trainer.settings.thresholds import ThresholdSettings
from trainer.wording import is_printable, printable

__all__ = [
    "ApplySettings",
    "BacktestSettings",
    "CheckSettings",
    "CommandSettings",
    "CompareSettings",
    "FitSettings",
    "ReleaseSettings",
    "ReleasesSettings",
    "RollbackSettings",
    "ShowSettings",
    "SignSettings",
    "WorkflowSettings",
    "parse_settings",
]

ABOUT: Final = "Train a model on images of ok parts, try it, and release it to the inspectors."

WORKFLOW_TRAINING_PERCENT, WORKFLOW_VALIDATION_PERCENT = 60, 20
"""The chapter's example takes 50 and 10, of many images; what is left over is tested on."""


class ApplySettings(BaseModel):
    """Score images with a trained model, without Kafka.

    Each verdict is printed at once. At the end it prints how many images were scored, rejected and left out, and why.
    Hidden files, masks and files whose names are not those of pictures are only counted: they do not change the exit
    status.

    Exit status: 0 every picture was scored, whatever the verdicts; 1 refused, or none could be scored (the message says why);
    2 wrong usage; 3 some pictures were left out: unreadable, in an unsupported format, or unsuitable for the model; 130
    interrupted; 141 the program that read the output has closed it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    bundle: Annotated[Path, Argument("BUNDLE", is_positional=True)] = Field(description="folder of the model bundle")
    images: Annotated[list[Path], Argument("IMAGE", is_positional=True)] = Field(
        min_length=1, description=f"images, or folders of images ({READABLE})"
    )
    pictures: Path | None = Field(None, description="folder for one PNG per image, with heat map and outlined regions")
    csv: Annotated[Path | None, Argument("FILE")] = Field(
        None, description="CSV file to write, with one row for each file found"
    )
    threshold: float | None = Field(
        None, gt=0, lt=1, description="reject images with this score or more, instead of using the bundle's threshold"
    )
    device: str = Field("cpu", description=DEVICE_HELP)
    json_output: bool = Field(
        False,
        validation_alias="json",
        description="print JSON lines instead of the table: one per image, then a summary",
    )


class ShowSettings(SourceSettings):
    """Draw a model's verdicts on labelled images as PNG files: single images, a grid, the evaluation and the training error.

    It draws the test images of the folders or the manifest. If there are none, it draws all images, even those that the
    model may have been trained on; to avoid that, give a folder of other images, or a manifest with the column split.

    Exit status: 0 done, 1 refused (the message says why), 2 wrong usage, 130 interrupted.
    """

    bundle: Annotated[Path, Argument("BUNDLE", is_positional=True)] = Field(description="folder of the model bundle")
    out: Path = Field(description="folder to write the pictures to")
    device: str = Field("cpu", description=DEVICE_HELP)


class WorkflowSettings(ThresholdSettings, ChoiceSettings, SplitSettings, SourceSettings):
    """Run the workflow of HALCON's chapter on anomaly detection step by step, and print the result of each step.

    Exit status: 0 done, 1 refused (the message says why), 2 wrong usage, 130 interrupted.
    """

    out: Path = Field(description="folder to write to; it must be empty or not exist")
    training_percent: Percent | None = Field(
        None, description=f"percentage of the ok images used for training (default: {WORKFLOW_TRAINING_PERCENT})"
    )
    validation_percent: Percent | None = Field(
        None,
        description="percentage of the ok images used only to set the thresholds (default: "
        f"{WORKFLOW_VALIDATION_PERCENT})",
    )
    max_num_epochs: int | None = Field(None, ge=1, description="student: passes over the images")
    seed: int = Field(0, ge=0, lt=2**31, description="seed of all random choices")
    device: str = Field("cpu", description=DEVICE_HELP)


class SignSettings(BaseModel):
    """Sign a bundle, for inspectors that accept signed bundles only (docs/access.md).

    Keys are Ed25519 in PEM: `openssl genpkey -algorithm ed25519 -out KEY` makes one, `openssl pkey -in KEY -pubout` its public key,
    which goes into the inspector's trusted_keys. A bundle that is written again must be signed again.

    Exit status: 0 signed, 1 refused (the message says why), 2 wrong usage.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundle: Annotated[Path, Argument("BUNDLE", is_positional=True)] = Field(description="folder of the model bundle")
    key: Annotated[Path, Argument("FILE")] = Field(description="the private key, without a passphrase")


CommandSettings = (
    CheckSettings
    | FitSettings
    | ApplySettings
    | BacktestSettings
    | ShowSettings
    | WorkflowSettings
    | SignSettings
    | ReleaseSettings
    | RollbackSettings
    | ReleasesSettings
    | CompareSettings
)


SETTINGS: Final[Mapping[str, type[CommandSettings]]] = MappingProxyType(
    {
        "check": CheckSettings,
        "fit": FitSettings,
        "apply": ApplySettings,
        "backtest": BacktestSettings,
        "show": ShowSettings,
        "workflow": WorkflowSettings,
        "sign": SignSettings,
        "release": ReleaseSettings,
        "rollback": RollbackSettings,
        "releases": ReleasesSettings,
        "compare": CompareSettings,
    }
)
"""What each command is told."""


_WRITTEN: Final = ("out", "pictures", "cache", "checkpoint", "bundle")
"""Folders that reports and answers name."""


def parse_settings(arguments: list[str]) -> CommandSettings:
    """Settings of the command that the arguments name.

    Raises:
        SettingsError: A value is out of range or contradicts another; every one is named.
        SystemExit: Wrong usage, or help was asked for; both are printed.
    """
    commands = {name: Command(settings, can_negate=True) for name, settings in SETTINGS.items()}
    given = parse_command("trainer", ABOUT, commands, arguments or ["--help"])
    from trainer.settings.environment import read_environment, variable  # noqa: PLC0415 - help needs neither

    settings = SETTINGS[given.command]
    environment = read_environment(given.command, settings)

    def spelt(place: Place) -> str:
        is_from_environment = place and place[0] in environment and place[0] not in given.values
        return variable(given.command, str(place[0])) if is_from_environment else given.spelt(place)

    try:
        checked = settings.model_validate(environment | given.values)
    except ValidationError as error:
        sentences = refusals(error, name=spelt, unknown=lambda _: "is no setting", echoes_input=True)
        raise SettingsError("; ".join(sentences)) from error
    for name in _WRITTEN:
        path = getattr(checked, name, None)
        if path is not None and not is_printable(str(path)):
            raise SettingsError(
                f"{spelt((name,))}: the name {printable(path)} is not UTF-8 or holds control characters; give another folder"
            )
    return checked
