"""Errors of the training job, one class for each stage that can refuse.

TrainerError
 +-- SettingsError     a setting is unknown, out of range or contradicts another
 +-- DatasetError      the images on disk cannot be used; the message names the file and says what to do
 |    +-- UnreadableImageError  an image file cannot be read or decoded
 |    +-- UnreadableImagesError  images of a data set cannot be read or decoded: all of them at once
 +-- SplitError        the images cannot be divided as asked (too few, or percentages that make no sense)
 +-- CalibrationError  no threshold can be estimated from the scores there are
 +-- EvaluationError   a measure cannot be computed from the input, or no image fits the selection
 +-- WorseModelError   the new model is worse than the one given with --not-worse-than
 +-- OutputError       the place for the bundle or the report exists already or cannot be written
"""

from __future__ import annotations

from pathlib import Path
from typing import Self


class TrainerError(Exception):
    """Root of the package's errors. Trying again with the same input always fails in the same way."""


class SettingsError(TrainerError):
    """A setting is unknown, out of its documented range or contradicts another."""


class DatasetError(TrainerError):
    """The images on disk cannot be used; the message names the file and says what to do."""


class UnreadableImageError(DatasetError):
    """An image file cannot be read, or is not an accepted picture.

    Attributes:
        path: The file.
        why: What is wrong with it, in words that go on from its name.
    """

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} {why}; replace or remove it")
        self.path = path
        self.why = why


class UnreadableImagesError(DatasetError):
    """Images of a data set cannot be read; the message names them, each with its reason.

    Attributes:
        summary: How many there are and what to do, if the names are shown elsewhere.
    """

    def __init__(self, message: str, summary: str) -> None:
        super().__init__(message)
        self.summary = summary


class SplitError(TrainerError):
    """The images cannot be divided as requested."""


class CalibrationError(TrainerError):
    """No threshold can be estimated from the available scores."""


class EvaluationError(TrainerError):
    """A model cannot be evaluated: the selection contains no image, or arguments contradict each other."""


class WorseModelError(TrainerError):
    """The new model is worse than the one in use, on the same images."""


class OutputError(TrainerError):
    """The bundle or the report cannot be written."""

    @classmethod
    def unwritable(cls, what: object, exc: OSError, *, mend: str = "") -> Self:
        """What the file system says about `what`, and what to do, if that is known."""
        return cls(f"{what} cannot be written: {exc.strerror or exc}" + (f"; {mend}" if mend else ""))
