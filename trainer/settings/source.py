"""Where a command's images come from and how they are divided: options that several commands share. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, ClassVar, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from inspector.commandline.option import Argument
from schemas.archive.place import archive_place
from trainer.choices import GroupBy
from trainer.errors import DatasetError
from trainer.formats.known import READABLE
from trainer.labels.patterns import LabelPattern, check_group_pattern
from trainer.settings.rates import Percent

DEVICE_HELP: Final = "device that runs the network: cpu, cuda, cuda:1"


def _archive_place(value: object) -> object:
    return archive_place(value) if isinstance(value, str) else value


ArchivePlace = Annotated[Path | str, BeforeValidator(_archive_place)]
"""A folder as a path, or `s3://bucket/prefix` as a text."""

ARCHIVE_CACHE: Final = Field(
    None,
    description="with an archive in S3: folder in which copies of the pictures are kept for the next command (default: a "
    "temporary one, removed at the end)",
)
ARCHIVE_CONFIG: Final = Field(
    None,
    description="with an archive in S3: the inspector's settings file, for endpoint, region and keys in [archive] (default: "
    "INSPECTOR_ARCHIVE__ENDPOINT etc., and the machine's credentials)",
)


def check_archive_options(archive: Path | str | None, names: Mapping[str, object]) -> None:
    """Refuse options of a store where the archive is none.

    Raises:
        ValueError: One was given.
    """
    if not isinstance(archive, str):
        _refuse([name for name, value in names.items() if value is not None], "--archive s3://BUCKET/PREFIX")


class Group(BaseModel):
    """Base of a group of options."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True, defer_build=True)
    title: ClassVar[str] = "options"


class SourceSettings(Group):
    """Where the images come from."""

    title: ClassVar[str] = "images: give one of --images, --manifest and --archive"

    images: tuple[Path, ...] | Path = Field(
        (),
        description=f"folder of images ({READABLE}): in the MVTec AD layout, with a folder ok and one for each defect, or ok images only; may be repeated",
    )
    anomaly_dir: Path | None = Field(None, description="folder of the defects' masks (default: IMAGES/ground_truth)")
    all_ok: bool = Field(False, description="treat every image as ok, whatever its folder is called")
    ok_folder: Annotated[tuple[str, ...], Argument("NAME")] = Field(
        (),
        description="name of one more folder whose images are ok; ok, good, pass, gut and similar names are known; may be repeated",
    )
    label_pattern: str | None = Field(
        None,
        description="read labels from file names: a regular expression whose group captures the word for ok or nok, for example '_(OK|NOK)';"
        " for other words name the groups: '(?P<ok>_A)|(?P<nok>_B)'",
    )
    group_pattern: str | None = Field(
        None,
        description="regular expression that finds an image's group (its part, batch or day) in its name, for "
        "example '(batch[0-9]+)'; the images of a group stay together when they are divided",
    )
    manifest: Path | None = Field(
        None,
        description="CSV or Parquet table of images with the columns path, image_label, anomaly_file_name, group, split",
    )
    archive: Annotated[ArchivePlace | None, Argument("PLACE")] = Field(
        None, description="the inspector's archive: its root folder, or s3://bucket/prefix; needs --camera"
    )
    line: str | None = Field(None, description="with --archive: the camera's line")
    camera: Annotated[str | None, Argument("[LINE/]CAMERA")] = Field(
        None, description="with --archive: the camera as LINE/CAMERA, or only its id together with --line"
    )
    include_near: bool = Field(
        False,
        description="with --archive: also use ok images that were kept only because their score was near the threshold",
    )
    captured_from: datetime | None = Field(
        None, validation_alias="from", description="with --archive: earliest capture time (included), with time zone"
    )
    captured_to: datetime | None = Field(
        None, validation_alias="to", description="with --archive: latest capture time (not included), with time zone"
    )
    archive_cache: Path | None = ARCHIVE_CACHE
    config: Annotated[Path | None, Argument("FILE")] = ARCHIVE_CONFIG

    skip_unreadable: bool = Field(
        False, description="leave out images that cannot be read, and list them, instead of stopping"
    )

    @model_validator(mode="before")
    @classmethod
    def _names_the_line(cls, values: object) -> object:
        """`--camera LINE/CAMERA` says both."""
        if isinstance(values, dict) and isinstance(camera := values.get("camera"), str) and "/" in camera:
            line, _, name = camera.partition("/")
            if values.get("line", line) == line:
                return {**values, "line": line, "camera": name}
        return values

    @field_validator("images", "ok_folder", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        return (value,) if isinstance(value, str | Path) else value

    @field_validator("label_pattern", "group_pattern")
    @classmethod
    def _is_pattern(cls, value: str | None, info: ValidationInfo) -> str | None:
        check = LabelPattern if info.field_name == "label_pattern" else check_group_pattern
        try:
            if value is not None:
                check(value)
        except DatasetError as error:
            raise ValueError(str(error).removeprefix(f"{info.field_name} {value!r} ")) from error
        return value

    @property
    def image_dirs(self) -> tuple[Path, ...]:
        """The folders of images."""
        return self.images if isinstance(self.images, tuple) else (self.images,)

    @property
    def source(self) -> Path | str:
        """What is read, for people: the first of the folders, the manifest, or the archive."""
        return self.manifest or self.archive or self.image_dirs[0]

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        given = [name for name in ("images", "manifest", "archive") if getattr(self, name)]
        if len(given) != 1:
            got = " and ".join(f"--{name}" for name in given) or "none"
            raise ValueError(f"give one of --images, --manifest and --archive, got {got}")
        for names, owner in (
            (("anomaly_dir", "all_ok", "ok_folder", "label_pattern", "group_pattern"), "images"),
            (("line", "camera", "captured_from", "captured_to", "include_near"), "archive"),
        ):
            _refuse([name for name in names if getattr(self, name) and owner not in given], f"--{owner}")
        given = [option(name) for name in ("all_ok", "ok_folder", "label_pattern") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} each say what is ok; give only one of them")
        check_archive_options(self.archive, {"archive_cache": self.archive_cache, "config": self.config})
        if self.archive and not (self.line and self.camera):
            raise ValueError("--archive needs --camera LINE/CAMERA, or --line and --camera")
        for name in ("captured_from", "captured_to"):
            value = getattr(self, name)
            if value is not None and value.tzinfo is None:
                raise ValueError(f"{option(name)}: give the time with its zone, such as {value.isoformat()}Z")
        return self


class SplitSettings(Group):
    """How the images are divided."""

    title: ClassVar[str] = "split"

    training_percent: Percent | None = Field(
        None,
        description="percentage of the ok images used for training (default: 80 if there are nok images, else 100)",
    )
    validation_percent: Percent | None = Field(
        None,
        description="percentage of the ok images used only to set the thresholds (default: cross-validation with "
        "fewer than 1000 ok images, 300 with --max-false-rejects, else 30 % held out)",
    )
    overwrite_split: bool = Field(
        False,
        description="ignore the training and test sets given by the folders or the manifest, and divide by the "
        "percentages",
    )
    group_by: GroupBy = Field(
        "group",
        description="which images must not be separated into training and test: those of the same group, those of the "
        "same time window, or none",
    )
    time_window_minutes: float | None = Field(
        None, ge=1e-3, description="width of the windows, with --group-by time_window"
    )
    max_train: int | None = Field(
        None, ge=3, description="maximum number of training images; the others are used to set the thresholds"
    )

    @model_validator(mode="after")
    def _has_window(self) -> Self:
        if (self.group_by == "time_window") != (self.time_window_minutes is not None):
            raise ValueError("--group-by time_window and --time-window-minutes must be given together")
        if self.group_by == "none" and getattr(self, "group_pattern", None) is not None:
            raise ValueError("--group-pattern has no effect with --group-by none; leave one of them out")
        if (self.training_percent or 0) + (self.validation_percent or 0) > 100:  # noqa: PLR2004 - percent
            raise ValueError("--training-percent and --validation-percent sum to more than 100")
        return self


def option(name: str) -> str:
    """The option of a setting, as one types it."""
    return {"captured_from": "--from", "captured_to": "--to"}.get(name, "--" + name.replace("_", "-"))


def _refuse(names: list[str], owner: str) -> None:
    if names:
        raise ValueError(f"{', '.join(map(option, names))} can be given with {owner} only")
