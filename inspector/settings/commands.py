"""The options of the `inspector` commands, besides the settings: frozen and checked as a whole.

`--help` and the clients' checks need pydantic alone, so nothing here loads pydantic-settings.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from inspector.commandline.option import Argument

AUTO_REPLICATION = 3
"""Copies that `--replication auto` makes where there are brokers enough."""

MAX_WORD = 65_535
"""Of a register of Modbus."""

Role = Literal["camera", "inspector", "gate", "archive", "dashboard", "trainer", "admin"]
"""Who has rights on the topics."""

Ids = tuple[str, str]
"""Of a line and of a camera on it."""

_CAMERA = re.compile(r"([A-Za-z0-9_-]{1,64})/([A-Za-z0-9_-]{1,64})")


def camera_ids(camera: str, line: str | None = None) -> Ids:
    """Return line and camera of `LINE/CAMERA`, or of a camera's id and `--line`.

    Raises:
        ValueError: Not two ids.
    """
    name = camera if line is None else f"{line}/{camera}"
    found = _CAMERA.fullmatch(name)
    if found is None:
        raise ValueError(
            f"{name!r} is not a camera; give --camera LINE/CAMERA, or --line LINE --camera CAMERA; letters, digits, _ and -"
        )
    return found[1], found[2]


class CommandOptions(BaseModel):
    """Base of what a command is told."""

    # Built when used: most commands, and every help, do without most of these.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class ClientOptions(CommandOptions):
    """What every client is told of the broker."""

    title: ClassVar[str] = "broker"

    config: Annotated[Path | None, Argument("FILE")] = Field(None, description="settings file (TOML) of the inspector")
    bootstrap: Annotated[str | None, Argument("HOST:PORT")] = Field(
        None, description="address of a broker, instead of kafka.bootstrap_servers of the settings"
    )


class RunOptions(CommandOptions):
    """Run the service: read frames, judge them and publish results, until SIGTERM or SIGINT.

    Every setting of the file is also an option. The command line
    overrides the environment (INSPECTOR_KAFKA__BOOTSTRAP_SERVERS), which overrides the file, which overrides the
    defaults.
    """

    config: Annotated[Path | None, Argument("FILE")] = Field(
        None, description="settings file (TOML); `inspector config --example` prints one"
    )


class ConfigOptions(CommandOptions):
    """Print a commented settings file, or check one."""

    title: ClassVar[str] = "give one of these"

    example: bool = Field(False, description="print a valid file with every setting and its default")
    check: Annotated[Path | None, Argument("FILE")] = Field(
        None,
        description="check this file, the environment and all files and models that they name, and print what is wrong",
    )
    connect: bool = Field(
        False, description="with --check: also connect to the brokers, and check login, topics and rights"
    )

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if self.example == (self.check is not None):
            raise ValueError("give either --example or --check FILE")
        if self.connect and self.check is None:
            raise ValueError("--connect needs --check FILE")
        return self


class ReplayOptions(ClientOptions):
    """Act as a camera: send the JPEG and PNG files of a folder as frames."""

    folder: Annotated[Path, Argument("DIR", is_positional=True)] = Field(
        description="folder of images, including its sub-folders"
    )
    camera: Annotated[str, Argument("LINE/CAMERA")] = Field(description="camera to act as; with --line, only its id")
    line: Annotated[str | None, Argument("LINE")] = Field(
        None, description="the camera's line, if --camera is only an id"
    )
    rate: Annotated[float, Argument("FPS")] = Field(
        description="frames per second; 0: as fast as the broker accepts them"
    )
    count: int | None = Field(None, description="number of frames to send (default: each file once)")
    cycle: bool = Field(False, description="start again after the last file, until --count is reached or forever")
    budget_ms: Annotated[int | None, Argument("MS")] = Field(
        None, description="time from capture to the deadline of the verdict (default: the inspector's setting)"
    )
    first_seq: int = Field(0, description="seq of the first frame")
    json_output: bool = Field(
        False, validation_alias="json", description="print one JSON object for each acknowledged frame, and a summary"
    )

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        for name, least in (("rate", 0), ("count", 1), ("budget_ms", 1), ("first_seq", 0)):
            value = getattr(self, name)
            if value is not None and not least <= value < float("inf"):
                raise ValueError(f"--{name.replace('_', '-')} must be at least {least}, not {value}")
        camera_ids(self.camera, self.line)
        return self

    @property
    def ids(self) -> Ids:
        """Of the camera to be."""
        return camera_ids(self.camera, self.line)


class ResultsOptions(ClientOptions):
    """Print the verdicts on the results topic: existing ones, or new ones as they arrive (--follow)."""

    follow: bool = Field(False, description="print new verdicts as they arrive, until interrupted")
    from_beginning: bool = Field(False, description="with --follow: print the existing verdicts first")
    count: int | None = Field(None, description="stop after N verdicts")
    camera: Annotated[str | None, Argument("LINE/CAMERA")] = Field(
        None, description="print only the verdicts of this camera"
    )
    json_output: bool = Field(False, validation_alias="json", description="print one JSON object per line")

    @model_validator(mode="after")
    def _names_a_camera(self) -> Self:
        if self.camera is not None:
            camera_ids(self.camera)
        return self

    @property
    def ids(self) -> Ids | None:
        """Of the one camera whose verdicts are wanted; None: of all."""
        return None if self.camera is None else camera_ids(self.camera)


class GateOptions(ClientOptions):
    """Decide for each part of a line: PASS only if every camera says ok in time, otherwise REJECT.

    The line announces each part and gets one decision, over a text protocol or Modbus TCP ([gate] in
    the settings file; docs/gate.md). Prints each decision, until interrupted.

    Exit status 0: interrupted; 1: refused by the brokers; 2: options or settings are wrong, or a port cannot be opened.
    """

    line: Annotated[str | None, Argument("LINE")] = Field(
        None, description="id of the line, instead of gate.line_id of the settings"
    )
    json_output: bool = Field(False, validation_alias="json", description="print one JSON object per line")


class ArchiveOptions(ClientOptions):
    """Store pictures with their verdicts for the trainer: all nok, all near the threshold, and a sample of ok (docs/archive.md).

    Runs until SIGTERM or SIGINT. With `--create` it only creates the archive, with `--verify` it only compares the
    index with the files.

    Exit status 0: done, or stopped by a signal; 1: refused by the brokers, or --verify found faults; 2: options or
    settings are wrong.
    """

    create: bool = Field(False, description="create the archive at archive.url, unless it exists already, and exit")
    verify_files: bool = Field(
        False, validation_alias="verify", description="compare the index with the files and exit; reads every file"
    )

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if self.create and self.verify_files:
            raise ValueError("give either --create or --verify")
        return self


class LineSimulatorOptions(ClientOptions):
    """Act as a production line: announce parts to a running gate as a PLC does, and count its decisions.

    Exit status 0: the gate let the line run, and no part passed without a verdict or was acted on twice; 1: otherwise,
    or no broker answers; 2: options or settings are wrong.
    """

    line: Annotated[str | None, Argument("LINE")] = Field(
        None, description="id of the line, instead of gate.line_id of the settings"
    )
    over: Literal["tcp", "modbus"] = Field("tcp", description="which port of the gate to use")
    parts: int = Field(100, description="number of parts")
    interval_ms: Annotated[int, Argument("MS")] = Field(500, description="time between parts")
    window_ms: Annotated[int | None, Argument("MS")] = Field(
        None, description="time from the photo eye to the rejector (default: gate.window_ms)"
    )
    pictures: Annotated[Path | None, Argument("DIR")] = Field(
        None, description="also act as the line's cameras, sending the JPEG and PNG files of this folder in turn"
    )
    first_number: int | None = Field(None, description="number of the first part (default: from the clock)")
    reset_after_s: float | None = Field(
        None, description="reset a gate that has been in the fault state for this many seconds"
    )
    json_output: bool = Field(
        False, validation_alias="json", description="print one JSON object per line, and a summary"
    )

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        limits = (
            ("parts", 1, 10_000_000),
            ("interval_ms", 1, 3_600_000),
            ("window_ms", 1, MAX_WORD),
            ("first_number", 0, 2**31),
            ("reset_after_s", 0.01, 3600),
        )
        for name, least, most in limits:
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise ValueError(f"--{name.replace('_', '-')} must be {least} to {most}, not {value}")
        return self


class AuditOptions(ClientOptions):
    """Check the audit records of all releases against each other and against the releases (docs/releases.md).

    No record may be missing, each release must agree with its record, and the last record of each camera must have a
    release.

    Exit status 0: everything agrees; 1: something does not, or the topics cannot be read; 2: options or settings are
    wrong.
    """

    action: Annotated[Literal["verify"], Argument("verify", is_positional=True)] = Field(
        description="read both topics from the beginning and print every contradiction"
    )


class TopicsOptions(ClientOptions):
    """Create the topics that are missing and report where existing ones differ from the settings (apply), or print or grant the rights of each role (acls)."""

    action: Annotated[Literal["apply", "acls"], Argument("{apply,acls}", is_positional=True)] = Field(
        description="apply: create missing topics; acls: print the commands of Kafka's own tool that grant each role "
        "its rights"
    )
    principal: Annotated[dict[Role, str], Argument("ROLE=USER")] = Field(
        default_factory=dict,
        description="acls: the Kafka user of a role (camera, inspector, gate, archive, dashboard, trainer, admin). If "
        "given, only the named roles are handled; otherwise all, each with a user named like the role",
    )
    grant: bool = Field(False, description="acls: grant the rights instead of printing commands")
    replication: Annotated[int | Literal["auto"], Argument("N|auto")] = Field(
        3, description="number of copies of each partition; auto: as many as there are brokers, at most 3"
    )
    min_insync: int | None = Field(
        None,
        description="number of copies that must have a record before it is acknowledged (default: one less than "
        "--replication)",
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        insync = self.min_insync
        copies = AUTO_REPLICATION if self.replication == "auto" else self.replication
        if copies < 1 or (insync is not None and not 1 <= insync <= copies):
            raise ValueError("--replication must be at least 1, and --min-insync between 1 and --replication")
        if self.action != "acls" and (self.principal or self.grant):
            raise ValueError("--principal and --grant can be used with acls only")
        return self
