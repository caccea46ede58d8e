"""Which columns of a manifest hold what, under the names that people use, and what their cells mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from inspector.anomaly.choices import AnomalyClass
from trainer.errors import DatasetError
from trainer.labels.words import label_of_word
from trainer.listing.listing import SplitName
from trainer.wording import some

Fact = Literal["path", "label", "mask", "group", "split"]

NAMES: Final[Mapping[Fact, tuple[str, ...]]] = {
    "path": ("path", "image_file_name"),
    "label": ("image_label", "anomaly_label"),
    "mask": ("anomaly_file_name",),
    "group": ("group",),
    "split": ("split",),
}
"""The names of each fact's column; several may stand side by side where they agree."""

_IS_NOK: Final = ("anomaly", "is_anomaly", "defect", "is_defect", "defective", "is_defective", "nok", "is_nok")
_IS_OK: Final = ("ok", "is_ok", "good", "is_good", "pass", "passed")
_OTHER_NAMES: Final[Mapping[Fact, tuple[str, ...]]] = {
    "path": (
        "file",
        "filename",
        "file_name",
        "filepath",
        "file_path",
        "image",
        "image_path",
        "image_file",
        "img",
        "datei",
        "dateiname",
        "pfad",
        "bild",
    ),
    "label": (
        "label",
        "class",
        "verdict",
        "result",
        "judgement",
        "judgment",
        "status",
        "urteil",
        "ergebnis",
        *_IS_NOK,
        *_IS_OK,
    ),
    "mask": ("mask", "mask_path", "mask_file", "mask_file_name", "maske", "ground_truth"),
    "group": ("group_id", "gruppe"),
    "split": ("subset", "partition"),
}
"""Used if none of `NAMES` is present and it is the only one."""

_SPLITS: Final[Mapping[str, SplitName]] = {
    "train": "train", "training": "train",
    "validation": "validation", "val": "validation", "valid": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
_TRUE, _FALSE = frozenset({"true", "yes", "y", "ja", "1", "1.0"}), frozenset({"false", "no", "n", "nein", "0", "0.0"})
_DIGITS: Final[Mapping[str, AnomalyClass]] = {"0": "ok", "1": "nok", "0.0": "ok", "1.0": "nok"}
"""As HALCON and MVTec AD number the classes."""


def plain(column: str) -> str:
    """A column's name as it is compared: `Image Path` is `image_path`."""
    return column.strip().casefold().replace(" ", "_").replace("-", "_")


def is_known(column: str) -> bool:
    """Whether a column of this name may hold a fact."""
    return any(plain(column) in (*NAMES[fact], *_OTHER_NAMES[fact]) for fact in NAMES)


@dataclass(frozen=True, slots=True)
class Columns:
    """Where each fact stands: numbers of columns, by fact."""

    names: Sequence[str]
    of: Mapping[Fact, tuple[int, ...]]

    @property
    def unused(self) -> list[str]:
        """Names of the columns that are left alone."""
        used = {at for places in self.of.values() for at in places}
        return sorted({name for at, name in enumerate(self.names) if at not in used})


def find_columns(manifest: Path, names: Sequence[str]) -> Columns:
    """Find the columns by their names, whatever their case.

    Raises:
        DatasetError: Path or label is missing, a name stands twice, or several may be meant.
    """
    known = [plain(name) for name in names]
    found: dict[Fact, tuple[int, ...]] = {}
    for fact, own in NAMES.items():
        places = tuple(at for at, name in enumerate(known) if name in own)
        if twice := sorted({known[at] for at in places if known.count(known[at]) > 1}):
            raise DatasetError(f"{manifest} has more than one column named {some(twice)}; rename all but one")
        if not places:
            places = tuple(at for at, name in enumerate(known) if name in _OTHER_NAMES[fact])
            if len(places) > 1:
                raise DatasetError(
                    f"{manifest}: each of the columns {' and '.join(repr(names[at]) for at in places)} may hold the {fact}; rename the one "
                    f"that does to {own[0]}"
                )
        if not places and fact in ("path", "label"):
            raise DatasetError(
                f"{manifest} has no column {' or '.join(own)}, only {some(map(repr, names))}; add it or rename a "
                "column, and separate the columns of a CSV file by commas, semicolons or tabs"
            )
        found[fact] = places
    return Columns(names, found)


def label_of(column: str, value: object) -> AnomalyClass | None:
    """The label that a cell means: a word for ok or nok, 0 or 1; in a column such as `is_ok` or `defect` yes or no as well.

    Returns:
        None where it means none.
    """
    text = str(value).strip().casefold()
    name = plain(column)
    if name in (*_IS_OK, *_IS_NOK) and text in _TRUE | _FALSE:
        return "ok" if (text in _TRUE) == (name in _IS_OK) else "nok"
    return _DIGITS.get(text) or label_of_word(text)


def is_digit(value: object) -> bool:
    """Whether a label is 0 or 1, whose meaning is to be told to the user."""
    return str(value).strip() in _DIGITS


def split_of(text: str) -> SplitName | None:
    """The split that a cell means; None where it means none."""
    return _SPLITS.get(text.strip().casefold())
