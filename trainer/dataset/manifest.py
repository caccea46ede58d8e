"""Read a data set from a table of its images, CSV or Parquet: what another system knows of them, as one file.

One row for each image, one column for each fact. Columns that are not among these are left alone and named in a note.

| column | or | what it holds |
|---|---|---|
| `path` | `image_file_name` | the image, in any format that is read; relative to the manifest's folder, or absolute |
| `image_label` | `anomaly_label` | `ok` or `nok`, in any case |
| `anomaly_file_name` | | the image's mask, PNG; empty where it has none |
| `group` | | images of an equal one never straddle a split; empty: the image stands alone |
| `split` | | `train`, `validation` or `test`, in any case, on every row; `split_dl_dataset` respects it |

CSV is UTF-8 with a header, separated by commas (RFC 4180). All cells are text, in Parquet too, but that a group may be a
whole number there.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast, get_args

from inspector.anomaly.choices import GeometryRule
from inspector.anomaly.types import AnomalyClass
from trainer.dataset.dataset import DLDataset
from trainer.dataset.listing import ListedImage, Listing, SplitName
from trainer.dataset.read import load_listing
from trainer.errors import DatasetError
from trainer.progress import StageProgress
from trainer.wording import some

_PATH, _LABEL = ("path", "image_file_name"), ("image_label", "anomaly_label")
_MASK, _GROUP, _SPLIT = ("anomaly_file_name",), ("group",), ("split",)
_COLUMNS = frozenset({*_PATH, *_LABEL, *_MASK, *_GROUP, *_SPLIT})
_BAD_ROWS_SHOWN = 5

Row = tuple[str, Mapping[str, object] | str]
"""Where the row stands (`line 3`, `row 2`), and its cells by column, or why they cannot be told apart."""


class _RowError(Exception):
    """What is wrong with one row, and the mend."""


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
        raise DatasetError(f"{manifest} is no file; give the manifest, a .csv or .parquet file")
    readers = {".csv": _csv_rows, ".parquet": _parquet_rows}
    if manifest.suffix.lower() not in readers:
        raise DatasetError(f"{manifest} is neither .csv nor .parquet; save the manifest as one of these")
    columns, rows = readers[manifest.suffix.lower()](manifest)
    _check_columns(manifest, columns)
    images: list[ListedImage] = []
    failures: list[str] = []
    seen: dict[Path, str] = {}
    for place, cells in rows:
        try:
            images.append(_image(manifest.parent, place, cells, seen))
        except _RowError as bad:
            failures.append(f"{place}: {bad}")
    failures = failures or _split_gaps(images)
    if failures:
        more = len(failures) - _BAD_ROWS_SHOWN
        shown = "; ".join(failures[:_BAD_ROWS_SHOWN]) + (f"; and {more} more rows" if more > 0 else "")
        raise DatasetError(f"{manifest}: {shown}")
    if not images:
        raise DatasetError(f"{manifest} has a header and no row; write a row for each image")
    ignored = sorted(set(columns) - _COLUMNS)
    notes = [f"columns of {manifest.name} that are not used: {some(ignored)}"] if ignored else []
    mend = f"label images ok in {manifest}, and not all of them for the test"
    return Listing(manifest.parent, manifest.parent, "manifest", tuple(images), tuple(notes), mend)


def _check_columns(manifest: Path, columns: list[str]) -> None:
    for names in (_PATH, _LABEL):
        if not set(names) & set(columns):
            raise DatasetError(
                f"{manifest} has no column {' or '.join(names)}, only {some(map(repr, columns))}; add it, and separate "
                "columns by commas where it is CSV"
            )
    if twice := sorted({name for name in _COLUMNS if columns.count(name) > 1}):
        raise DatasetError(f"{manifest} has more than one column {some(twice)}; rename all but one")


def _csv_rows(manifest: Path) -> tuple[list[str], Iterator[Row]]:
    try:
        # utf-8-sig: spreadsheets put a byte order mark in front.
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            table = [(f"line {lines.line_num}", cells) for cells in lines if cells]
    except UnicodeDecodeError as error:
        raise DatasetError(f"{manifest} is not UTF-8 ({error.reason}); save it with that encoding") from error
    except (csv.Error, OSError) as error:
        raise DatasetError(f"{manifest} cannot be read as CSV ({error}); correct or export it again") from error
    if not table:
        raise DatasetError(f"{manifest} is empty; write a header and a row for each image")
    columns = [name.strip() for name in table[0][1]]
    return columns, ((place, _cells(columns, values)) for place, values in table[1:])


def _cells(columns: list[str], values: list[str]) -> Mapping[str, object] | str:
    if len(values) == len(columns):
        return dict(zip(columns, values, strict=True))
    # A comma within a name shifts all that follows, so nothing of the row can be trusted.
    return f"{len(values)} cells for {len(columns)} columns; put cells that hold a comma into double quotes"


def _parquet_rows(manifest: Path) -> tuple[list[str], Iterator[Row]]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an optional extra
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise DatasetError(
            f"reading {manifest} needs pyarrow; pip install 'line-inspector[parquet]', or save the manifest as CSV"
        ) from error
    try:
        names = [str(name) for name in parquet.ParquetFile(manifest).schema_arrow.names]
        table = parquet.read_table(manifest, columns=sorted(_COLUMNS & set(names)))
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{manifest} cannot be read as Parquet ({error}); export it again") from error
    return names, ((f"row {i}", row) for i, row in enumerate(table.to_pylist(), start=1))


def _image(folder: Path, place: str, cells: Mapping[str, object] | str, seen: dict[Path, str]) -> ListedImage:
    if isinstance(cells, str):
        raise _RowError(cells)
    name = _text(cells, _PATH)
    if name is None:
        raise _RowError("no path; name the image or delete the row")
    label = _text(cells, _LABEL, str.lower)
    if label not in get_args(AnomalyClass):
        raise _RowError(f"image_label is {label or 'empty'}; write ok or nok")
    split = _text(cells, _SPLIT, str.lower)
    if split is not None and split not in get_args(SplitName):
        raise _RowError(f"split is {split}; write train, validation or test, or drop the column")
    _take(folder, name, place, seen)
    mask = _text(cells, _MASK)
    if mask is not None:
        _take(folder, mask, place, seen)
    return ListedImage(
        name=_relative(folder, name),
        label=cast("AnomalyClass", label),
        split=cast("SplitName | None", split),
        mask=None if mask is None else _relative(folder, mask),
        group=_text(cells, _GROUP),
    )


def _text(cells: Mapping[str, object], names: Iterable[str], key: Callable[[str], str] = str) -> str | None:
    """The cell of the column, under whichever of its names; None where it is empty."""
    found: dict[str, str] = {}
    for name in names:
        value = cells.get(name)
        if isinstance(value, float) and math.isnan(value):
            continue  # an empty cell, as pandas writes it where a whole column is empty
        if names == _GROUP:
            value = _as_text(value)
        if value is not None and not isinstance(value, str):
            raise _RowError(f"{name} is {value!r}; write it as text")
        if value is not None and value.strip():
            found[name] = key(value.strip())
    if len(set(found.values())) > 1:
        raise _RowError(
            f"{' and '.join(f'{n} = {v}' for n, v in found.items())} contradict each other; keep one of them"
        )
    return next(iter(found.values()), None)


def _as_text(value: object) -> object:
    """A whole number as text; pandas writes it as a float where cells of its column are empty."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _take(folder: Path, name: str, place: str, seen: dict[Path, str]) -> None:
    """Enter a file that must exist and be named once, as an image or as a mask."""
    path = folder / name
    if not path.is_file():
        raise _RowError(f"{path} is missing; correct the name, it counts from {folder}")
    if other := seen.get(path.resolve()):
        raise _RowError(f"{name} is named already, in {other}; each file may stand once")
    seen[path.resolve()] = place


def _relative(folder: Path, name: str) -> str:
    """The name as it is kept: without `./`, relative to the manifest's folder wherever it lies below it."""
    path = Path(os.path.normpath(folder / name))
    normal = Path(os.path.normpath(folder))
    return path.relative_to(normal).as_posix() if path.is_relative_to(normal) else str(path.absolute())


def _split_gaps(images: list[ListedImage]) -> list[str]:
    given = [image for image in images if image.split is not None]
    without = [image.name for image in images if image.split is None]
    if not given or not without:
        return []
    return [f"{some(without)} have no split, others have; fill the column or drop it"]
