"""Read a table as text: CSV in the dialects and encodings that spreadsheets write, or Parquet.

CSV may be UTF-8 or UTF-16 with a byte order mark, with columns separated by comma, semicolon or tab. The delimiter is the one with which the header
has most of the wanted columns; Excel's first line `sep=;` is recognised too.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from trainer.errors import DatasetError

Cells = Mapping[int, object] | str
"""The cells of a row by the number of their column, or why they cannot be told apart."""

Row = tuple[str, Cells]
"""Where the row stands (`line 3`, `row 2`), and its cells."""

_DELIMITERS: Final = {",": "commas", ";": "semicolons", "\t": "tabs"}
_MARKS: Final = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_SEP: Final = re.compile(r"sep=(.)", re.IGNORECASE)


def read_table(path: Path, is_wanted: Callable[[str], bool]) -> tuple[list[str], Iterator[Row]]:
    """The names of the columns and the rows of a table; of Parquet the columns that are wanted alone.

    Args:
        path: A `.csv`, `.tsv` or `.parquet` file.
        is_wanted: Whether a column of this name is one that the caller reads.

    Raises:
        DatasetError: It cannot be read; says where and what to do.
    """
    return _parquet(path, is_wanted) if path.suffix.lower() == ".parquet" else _csv(path, is_wanted)


def _csv(path: Path, is_wanted: Callable[[str], bool]) -> tuple[list[str], Iterator[Row]]:
    lines = list(io.StringIO(_text(path), newline=""))  # splitlines would part cells at rarer ends of lines
    first = 0
    head = _SEP.fullmatch(lines[0].strip("\r\n")) if lines else None
    if head is not None:
        first = 1
    header_line = next((line for line in lines[first:] if line.strip()), "")
    delimiter = head[1] if head else max(_DELIMITERS, key=lambda d: _fitness(header_line, d, is_wanted))
    reader = csv.reader(lines[first:], delimiter=delimiter, strict=True)
    table: list[tuple[str, list[str]]] = []
    try:
        table += [(f"line {first + reader.line_num}", cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        named = _DELIMITERS.get(delimiter, repr(delimiter))
        raise DatasetError(
            f"{path} cannot be read as CSV with {named} between its columns: line {first + reader.line_num}: {error}; "
            "write quotes inside a quoted cell twice, or export it again"
        ) from error
    if not table:
        raise DatasetError(f"{path} is empty; write a header and a row for each image")
    columns = [name.strip() for name in table[0][1]]
    return columns, ((place, _cells(columns, values, delimiter)) for place, values in table[1:])


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror or error}); correct or export it again") from error
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DatasetError(
            f"{path} is not UTF-8 (line {line}: {error.reason}); save it as 'CSV UTF-8', as spreadsheets call it"
        ) from error
    if "\0" in text:
        raise DatasetError(f"{path} holds zero bytes, so it is UTF-16 or not text at all; save it as 'CSV UTF-8'")
    return text


def _fitness(header: str, delimiter: str, is_wanted: Callable[[str], bool]) -> tuple[int, int]:
    """How many columns of the header are wanted if it is parted so, and how many there are."""
    try:
        names = next(csv.reader([header], delimiter=delimiter), [])
    except csv.Error:
        return 0, 0
    return sum(is_wanted(name) for name in names), len(names)


def _cells(columns: Sequence[str], values: list[str], delimiter: str) -> Cells:
    # A spreadsheet may end lines with delimiters of columns that are empty.
    while len(values) > len(columns) and not values[-1].strip():
        values = values[:-1]
    if len(values) == len(columns):
        return dict(enumerate(values))
    # A delimiter within a name shifts all that follows, so nothing of the row can be trusted.
    one = _DELIMITERS.get(delimiter, repr(delimiter)).removesuffix("s")
    return f"{len(values)} cells for {len(columns)} columns; put cells that hold a {one} into double quotes"


def _parquet(path: Path, is_wanted: Callable[[str], bool]) -> tuple[list[str], Iterator[Row]]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an optional extra
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise DatasetError(
            f"reading {path} needs pyarrow; in the clone of line-inspector, run: pip install '.[parquet]', or save "
            "the manifest as CSV"
        ) from error
    try:
        names = [str(name) for name in parquet.ParquetFile(path).schema_arrow.names]
        table = parquet.read_table(path, columns=sorted({name for name in names if is_wanted(name)}))
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{path} cannot be read as Parquet ({error}); export it again") from error
    at = {name: names.index(name) for name in table.column_names}
    rows = table.to_pylist()
    return names, (
        (f"row {i}", {at[name]: value for name, value in row.items()}) for i, row in enumerate(rows, start=1)
    )
