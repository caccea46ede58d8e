"""Settings of `trainer check`: those of `trainer fit`, but for what is written. Loads no torch."""

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
        description="file to write a contact sheet to: .png, or .html for a page with all that was found beside the pictures",
    )
    overwrite: bool = Field(False, description="replace a file that is there already")
    json_output: bool = Field(False, validation_alias="json", description="print one JSON object instead of the table")

    @model_validator(mode="after")
    def _has_known_suffix(self) -> Self:
        if self.out is not None and self.out.suffix.lower() not in SHEET_SUFFIXES:
            raise ValueError(
                f"--out is a file for the contact sheet and ends with .png or .html, unlike {self.out.name}"
            )
        if self.overwrite and self.out is None:
            raise ValueError("--overwrite goes with --out; say which file, or leave it out")
        return self


class CheckSettings(FindingsSettings, LearningSettings):
    """Look at images before a fit: what it would take, hold out and leave out, what it would refuse, and what looks odd.

    Nothing is learnt, so it takes seconds. It takes the options of fit but --name; --out is the contact sheet. What it says is
    of the images: whether --weights, --cache and --checkpoint can be used is not tried.

    Exit status: 0 a fit would start, 1 it would be refused (each reason is named with its mend), 2 wrong usage,
    130 interrupted.
    """
