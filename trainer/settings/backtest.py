"""Settings of `trainer backtest`. Loads no torch."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from inspector.commandline.option import Argument
from trainer.settings.source import DEVICE_HELP, Group, option


class BacktestSettings(Group):
    """Let a model judge a past window of the inspector's archive, and say where it differs from the verdicts of that time.

    Exit status: 0 done, whatever the differences; 1 refused (the message says why); 2 wrong usage; 130 interrupted.
    """

    bundle: Annotated[Path, Argument("BUNDLE")] = Field(description="folder of the model bundle to try")
    archive: Path = Field(description="root of the inspector's archive")
    camera: Annotated[str, Argument("LINE/CAMERA")] = Field(
        pattern=r"^[A-Za-z0-9_-]{1,64}/[A-Za-z0-9_-]{1,64}$", description="the camera in the archive"
    )
    captured_from: datetime | None = Field(
        None, validation_alias="from", description="earliest capture time, with its zone; included"
    )
    captured_to: datetime | None = Field(
        None, validation_alias="to", description="latest capture time, with its zone; not included"
    )
    out: Path | None = Field(
        None, description="folder to write to: backtest.json, backtest.csv, and a picture of each difference"
    )
    pictures: int = Field(50, ge=0, description="most pictures that are drawn, of the largest differences first")
    device: str = Field("cpu", description=DEVICE_HELP)
    json_output: bool = Field(False, validation_alias="json", description="print one JSON object instead of the table")

    @model_validator(mode="after")
    def _has_zones(self) -> Self:
        for name in ("captured_from", "captured_to"):
            value = getattr(self, name)
            if value is not None and value.tzinfo is None:
                raise ValueError(f"{option(name)}: give the time with its zone, such as {value.isoformat()}Z")
        return self

    @property
    def ids(self) -> tuple[str, str]:
        """Of line and camera."""
        line, _, camera = self.camera.partition("/")
        return line, camera
