"""The index of a day as Parquet: rows to bytes and back."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any, Final, get_args, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from inspector.archive.storage.port import Storage, StorageError
from schemas.archive.layout import INDEX_DIR
from schemas.archive.row import ArchiveRow

_TYPES: Final[dict[type, Any]] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def _field(name: str, hint: Any) -> Any:  # noqa: ANN401 pyarrow ships no types
    options = get_args(hint)
    kind = next(option for option in options if option is not type(None)) if options else hint
    return pa.field(name, _TYPES[kind], nullable=bool(options))


SCHEMA: Final = pa.schema([_field(name, hint) for name, hint in get_type_hints(ArchiveRow).items()])
"""Columns of the index."""


def encode_rows(rows: Sequence[ArchiveRow]) -> bytes:
    """Return rows as the bytes of a Parquet file."""
    columns = zip(*rows, strict=True) if rows else ((),) * len(SCHEMA)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    file = io.BytesIO()
    pq.write_table(pa.table(arrays, schema=SCHEMA), file, compression="zstd")
    return file.getvalue()


def decode_rows(content: bytes) -> list[ArchiveRow]:
    """Return the rows of a Parquet file; columns that are not ours are passed over.

    Raises:
        ValueError: It is not a file of the index.
    """
    try:
        table = pq.read_table(io.BytesIO(content), columns=list(ArchiveRow._fields))
        return list(map(ArchiveRow._make, zip(*(column.to_pylist() for column in table.columns), strict=True)))
    except (pa.ArrowException, TypeError) as exc:
        raise ValueError(f"is not a Parquet file of the index: {exc}") from exc


def segment_name(day: str, number: int) -> str:
    """Return the name of one file of a day's index; `day` is the day's folder."""
    return f"{day}/{INDEX_DIR}/{number:04d}.parquet"


def read_segments(storage: Storage, day: str) -> dict[int, list[ArchiveRow]]:
    """Return the rows of a day's index, by the number of their file.

    Raises:
        StorageError: One cannot be read.
    """
    segments: dict[int, list[ArchiveRow]] = {}
    for number in segment_numbers(storage, day):
        name = segment_name(day, number)
        content = storage.read(name)
        try:
            segments[number] = [] if content is None else decode_rows(content)
        except ValueError as exc:
            raise StorageError(
                f"{name} {exc}; move it away (the archive will then no longer know its pictures)"
            ) from exc
    return segments


def segment_numbers(storage: Storage, day: str) -> Iterable[int]:
    """Return the numbers of the files that a day's index has."""
    names = (entry.name for entry in storage.entries(f"{day}/{INDEX_DIR}") if not entry.is_folder)
    return [
        int(stem)
        for stem, _, suffix in (name.partition(".") for name in names)
        if suffix == "parquet" and stem.isdecimal()
    ]
