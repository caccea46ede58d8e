"""Settings of `trainer backtest`. Loads no torch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from inspector.commandline.option import Argument
from trainer.settings.source import (
    ARCHIVE_CACHE,
    ARCHIVE_CONFIG,
    DEVICE_HELP,
    ArchivePlace,
    Group,
    check_archive_options,
    option,
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Window(Group):
    """Captures between two times."""

    captured_from: datetime | None = Field(
        None, validation_alias="from", description="earliest capture time (included), with time zone"
    )
    captured_to: datetime | None = Field(
        None, validation_alias="to", description="latest capture time (not included), with time zone"
    )

    @model_validator(mode="after")
    def _has_zones(self) -> Self:
        for name in ("captured_from", "captured_to"):
            value = getattr(self, name)
            if value is not None and value.tzinfo is None:
                raise ValueError(f"{option(name)}: give the time with its zone, such as {value.isoformat()}Z")
        return self

    @property
    def window_us(self) -> tuple[int | None, int | None]:
        """Both times in µs since 1970."""
        both = (self.captured_from, self.captured_to)
        first, last = (None if at is None else (at - _EPOCH) // timedelta(microseconds=1) for at in both)
        return first, last


class BacktestSettings(Window):
    """Judge archived images again with another model, and show where its verdicts differ from the recorded ones.

    Exit status: 0 done, whatever the differences; 1 refused (the message says why); 2 wrong usage; 130 interrupted.
    """

    bundle: Annotated[Path, Argument("BUNDLE")] = Field(description="folder of the model bundle to try")
    archive: Annotated[ArchivePlace, Argument("PLACE")] = Field(
        description="the inspector's archive: its root folder, or s3://bucket/prefix"
    )
    camera: Annotated[str, Argument("LINE/CAMERA")] = Field(
        pattern=r"^[A-Za-z0-9_-]{1,64}/[A-Za-z0-9_-]{1,64}$", description="the camera in the archive"
    )
    out: Path | None = Field(
        None, description="folder for backtest.json, backtest.csv and a picture of each difference"
    )
    pictures: int = Field(50, ge=0, description="maximum number of pictures to draw, the largest differences first")
    archive_cache: Path | None = ARCHIVE_CACHE
    config: Annotated[Path | None, Argument("FILE")] = ARCHIVE_CONFIG
    device: str = Field("cpu", description=DEVICE_HELP)
    json_output: bool = Field(False, validation_alias="json", description="print one JSON object instead of the table")

    @model_validator(mode="after")
    def _has_a_store(self) -> Self:
        check_archive_options(self.archive, {"archive_cache": self.archive_cache, "config": self.config})
        return self

    @property
    def ids(self) -> tuple[str, str]:
        """Of line and camera."""
        line, _, camera = self.camera.partition("/")
        return line, camera
