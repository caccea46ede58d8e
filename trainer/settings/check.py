"""Settings of `trainer check`: those of `trainer fit`, except for what is written. Loads no torch."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final, Self

from pydantic import Field, model_validator

from trainer.settings.fit import LearningSettings
from trainer.settings.source import Group

SHEET_SUFFIXES: Final = (".png", ".html")


class FindingsSettings(Group):
    """What is written."""

    title: ClassVar[str] = "output"

    out: Path | None = Field(
        None,
        description="contact sheet to write: .png for the pictures alone, .html for a page that lists all findings too",
    )
    overwrite: bool = Field(False, description="replace an existing file")
    json_output: bool = Field(False, validation_alias="json", description="print one JSON object instead of the table")

    @model_validator(mode="after")
    def _has_known_suffix(self) -> Self:
        if self.out is not None and self.out.suffix.lower() not in SHEET_SUFFIXES:
            raise ValueError(
                f"--out names the contact sheet, so it must end with .png or .html, unlike {self.out.name}"
            )
        if self.overwrite and self.out is None:
            raise ValueError("--overwrite needs --out; say which file, or leave it out")
        return self


class CheckSettings(FindingsSettings, LearningSettings):
    """Check images before training: which ones a fit would use, hold out, leave out or refuse, and which look odd.

    No model is trained, so it takes seconds. It accepts the options of fit except --name; --out names a contact sheet.
    Only the images are checked, not --weights, --cache and --checkpoint.

    Exit status: 0 a fit would start, 1 a fit would be refused (each reason is printed with what to do), 2
    wrong usage, 130 interrupted.
    """
