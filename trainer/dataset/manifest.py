r"""Reads a data set from a table of its images (CSV or Parquet), for example one that another system has exported.

There is one row for each image and one column for each fact. Other columns are ignored and named in a note.

| column | or | content |
|---|---|---|
| `path` | `image_file_name` | the image, in any format that is read; relative to the manifest's folder, or absolute; with `/` or `\` between folders |
| `image_label` | `anomaly_label` | `ok` or `nok`, or a word that means it (`good`, `bad`, `pass`, `schlecht`), in any case; 0 is ok and 1 is nok |
| `anomaly_file_name` | | the image's mask, PNG, or a folder of its masks; empty if it has none |
| `group` | | images of the same group are never divided by a split; empty: the image is a group of its own |
| `split` | | `train`, `validation` or `test`, in any case, on every row; `split_dl_dataset` respects it |

Case, spaces and dashes in the names of columns do not matter; usual names such as `File`, `Label`, `mask` and `subset` are accepted if the column
of this table is missing (`columns`). CSV has a header; comma, semicolon or tab, UTF-8 and Excel's UTF-16 are recognised (`table`). All cells but label and
group are text, in Parquet too; a group may be a whole number there.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from inspector.anomaly.choices import AnomalyClass, GeometryRule
from trainer.dataset.columns import NAMES, Columns, Fact, find_columns, is_digit, is_known, label_of, plain, split_of
from trainer.dataset.dataset import DLDataset
from trainer.dataset.read import load_listing
from trainer.dataset.table import Cells, read_table
from trainer.errors import DatasetError
from trainer.listing.listing import ListedImage, Listing, SplitName
from trainer.progress import StageProgress
from trainer.wording import some

Value = TypeVar("Value", bound=str)

_BAD_ROWS_SHOWN = 5
_SUFFIXES: Final = (".csv", ".tsv", ".txt", ".parquet")
_WINDOWS: Final = re.compile(r"[A-Za-z]:[\\/]|\\\\")


class _RowError(Exception):
    """What is wrong with one row, and what to do."""


def read_dl_dataset_manifest(
    manifest: Path | str,
    *,
    geometry_rule: GeometryRule = "one-camera",
    apply_exif: bool = False,
    skip_unreadable: bool = False,
    progress: StageProgress | None = None,
) -> DLDataset:
    """Read the images that a manifest names; see the module's docstring for its columns.

    Args:
        manifest: A `.csv` or `.parquet` file; Parquet needs the extra `parquet` (pyarrow).
        geometry_rule: See `read_dl_dataset_anomaly`.
        apply_exif: See `read_dl_dataset_anomaly`.
        skip_unreadable: See `read_dl_dataset_anomaly`.
        progress: Told of each image, as stage "read images".

    Raises:
        DatasetError: The file is missing or no such table, a column is missing, a row is wrong (each is named with its
            line and the mend), or an image is refused as by `read_dl_dataset_anomaly`.
    """
    listing = list_manifest(Path(manifest))
    return load_listing(listing, progress, geometry_rule, apply_exif=apply_exif, skip_unreadable=skip_unreadable)


def list_manifest(manifest: Path) -> Listing:
    """Check every row of a manifest; no image is opened.

    Raises:
        DatasetError: See `read_dl_dataset_manifest`.
    """
    if not manifest.is_file():
        raise DatasetError(f"{manifest} is not a file; give the manifest, a .csv or .parquet file")
    if manifest.suffix.lower() not in _SUFFIXES:
        raise DatasetError(f"{manifest} is neither a .csv nor a .parquet file; save the manifest as one of these")
    names, rows = read_table(manifest, is_known)
    reader = _Rows(manifest.parent, find_columns(manifest, names))
    images: list[ListedImage] = []
    failures: list[str] = []
    for place, cells in rows:
        try:
            images.append(reader.image(place, cells))
        except _RowError as bad:
            failures.append(f"{place}: {bad}")
    failures = failures or _split_gaps(images)
    if failures:
        more = len(failures) - _BAD_ROWS_SHOWN
        shown = "; ".join(failures[:_BAD_ROWS_SHOWN]) + (f"; and {more} more rows" if more > 0 else "")
        raise DatasetError(f"{manifest}: {shown}")
    if not images:
        raise DatasetError(f"{manifest} has a header but no rows; write one row for each image")
    ignored = reader.columns.unused
    notes = [f"columns of {manifest.name} that are not used: {some(ignored)}"] if ignored else []
    notes += reader.notes(manifest.name)
    mend = f"label images ok in {manifest}, and do not use all of them for the test"
    return Listing(manifest.parent, manifest.parent, "manifest", tuple(images), tuple(notes), mend)


@dataclass
class _Rows:
    """Reads rows, and remembers what they named."""

    folder: Path
    columns: Columns
    seen: dict[Path, str] = field(default_factory=dict)
    digits: dict[str, AnomalyClass] = field(default_factory=dict)

    def image(self, place: str, cells: Cells) -> ListedImage:
        """The image of a row.

        Raises:
            _RowError: What is wrong, with the column and what to do.
        """
        if isinstance(cells, str):
            raise _RowError(cells)
        if (name := self._text(cells, "path")) is None:
            raise _RowError(f"column {self._title('path')}: no path; name the image or delete the row")
        label, split = self._label(cells), self._split(cells)
        path = self._take(name, place, "path")
        mask = self._text(cells, "mask")
        return ListedImage(
            name=self._relative(path),
            label=label,
            split=split,
            mask=None if mask is None else self._relative(self._take(mask, place, "mask")),
            group=self._text(cells, "group"),
        )

    def notes(self, manifest: str) -> list[str]:
        """What was understood that the user should know."""
        others = {
            fact: self.columns.names[places[0]]
            for fact, places in self.columns.of.items()
            if len(places) == 1 and plain(self.columns.names[places[0]]) not in NAMES[fact]
        }
        notes = []
        if others:
            taken = ", ".join(f"{name!r} as the {fact}" for fact, name in others.items())
            notes.append(f"columns of {manifest} are recognised by their meaning: {taken}")
        if self.digits:
            read = " and ".join(f"{digit} as {label}" for digit, label in sorted(self.digits.items()))
            notes.append(f"column {self._title('label')} of {manifest} holds digits, which are read as follows: {read}")
        return notes

    def _title(self, fact: Fact) -> str:
        """The name of the fact's column, as the user wrote it."""
        places = self.columns.of[fact]
        return self.columns.names[places[0]] if places else NAMES[fact][0]

    def _label(self, cells: Mapping[int, object]) -> AnomalyClass:
        found: dict[str, AnomalyClass] = {}
        for at in self.columns.of["label"]:
            value, column = cells.get(at), self.columns.names[at]
            if _is_empty(value):
                continue
            label = label_of(column, value)
            if label is None:
                raise _RowError(
                    f"column {column}: {str(value).strip()!r} is not a known word for ok or nok; write ok or nok"
                )
            if is_digit(value):
                self.digits[str(value).strip()] = label
            found[column] = label
        if not found:
            raise _RowError(f"column {self._title('label')}: no label; write ok or nok")
        return _agreed(found)

    def _split(self, cells: Mapping[int, object]) -> SplitName | None:
        text = self._text(cells, "split")
        split = None if text is None else split_of(text)
        if text is not None and split is None:
            raise _RowError(
                f"column {self._title('split')}: {text!r} is not a split; write train, validation or test, or remove "
                "the column"
            )
        return split

    def _text(self, cells: Mapping[int, object], fact: Fact) -> str | None:
        """The cell of the fact's column, under whichever of its names; None where it is empty."""
        found: dict[str, str] = {}
        for at in self.columns.of[fact]:
            column, value = self.columns.names[at], cells.get(at)
            if _is_empty(value):
                continue  # an empty cell, as pandas writes it where a whole column is empty
            value = _as_text(value) if fact == "group" else value
            if not isinstance(value, str):
                raise _RowError(f"column {column}: {value!r} is not text; write it as text")
            if value.strip():
                found[column] = value.strip()
        return _agreed(found) if found else None

    def _take(self, name: str, place: str, fact: Fact) -> Path:
        """Enter a file that must exist and be named once, as an image or as a mask."""
        head = f"column {self._title(fact)}"
        path = self.folder / name
        if "\\" in name and not path.exists():
            path = self.folder / name.replace("\\", "/")
        if not path.is_file() and not (fact == "mask" and path.is_dir()):
            if _WINDOWS.match(name):
                raise _RowError(
                    f"{head}: {name} is a path on another machine; write it relative to the manifest's folder, "
                    f"{self.folder}"
                )
            raise _RowError(f"{head}: {path} does not exist; correct the name, which is relative to {self.folder}")
        if other := self.seen.get(path.resolve()):
            raise _RowError(f"{head}: {name} is already named in {other}; name each file only once")
        self.seen[path.resolve()] = place
        return path

    def _relative(self, path: Path) -> str:
        """The name as it is kept: without `./`, relative to the manifest's folder wherever it lies below it."""
        path, normal = Path(os.path.normpath(path)), Path(os.path.normpath(self.folder))
        return path.relative_to(normal).as_posix() if path.is_relative_to(normal) else str(path.absolute())


def _agreed(found: Mapping[str, Value]) -> Value:
    if len(set(found.values())) > 1:
        raise _RowError(
            f"columns {' and '.join(f'{n} = {v}' for n, v in found.items())} contradict each other; keep one of them"
        )
    return next(iter(found.values()))


def _is_empty(value: object) -> bool:
    """Whether a cell holds nothing; pandas writes NaN where a whole column is empty."""
    return (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or (isinstance(value, str) and not value.strip())
    )


def _as_text(value: object) -> object:
    """A whole number as text; pandas writes it as a float where cells of its column are empty."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _split_gaps(images: list[ListedImage]) -> list[str]:
    given = [image for image in images if image.split is not None]
    without = [image.name for image in images if image.split is None]
    if not given or not without:
        return []
    return [f"{some(without)} have no split, but others do; fill in the column or remove it"]
