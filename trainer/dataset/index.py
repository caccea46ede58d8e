"""The index that `inspector archive` keeps of a camera's images: the verdict of each, and why it was kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from schemas.archive.layout import INDEX_DIR
from schemas.archive.row import ArchiveRow
from trainer.errors import DatasetError


class ArchiveIndex:
    """Rows by the names of their images; an image is found whichever label its file lies under now."""

    def __init__(self, rows: Iterable[ArchiveRow]) -> None:
        """Take in rows."""
        self._rows = {_key(PurePosixPath(row.file)): row for row in rows}

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, name: PurePosixPath) -> ArchiveRow | None:
        """Return the row of an image by its name relative to the archive's root; None: it was put there by hand."""
        return self._rows.get(_key(name))

    def rows(self) -> Iterable[ArchiveRow]:
        """Return every row."""
        return self._rows.values()


def read_index(camera_dir: Path) -> ArchiveIndex:
    """Read the index of one camera; empty where the archive has none, as one that was made by hand.

    Raises:
        DatasetError: A file of it cannot be read, or pyarrow is not installed.
    """
    files = sorted(camera_dir.glob(f"*/{INDEX_DIR}/*.parquet"))
    if not files:
        return ArchiveIndex(())
    try:
        import pyarrow as pa  # noqa: PLC0415 - an optional extra
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise DatasetError(
            f"the archive's index below {camera_dir} needs pyarrow; in the clone of line-inspector, run: pip install "
            "'.[parquet]'"
        ) from error
    rows: list[ArchiveRow] = []
    for file in files:
        try:
            table = parquet.read_table(file, columns=list(ArchiveRow._fields))
        except (pa.ArrowException, OSError) as error:
            raise DatasetError(
                f"{file} cannot be read as the archive's index ({error}); run `inspector archive --verify`"
            ) from error
        rows += map(_row, table.to_pylist())
    return ArchiveIndex(rows)


def _row(values: Mapping[str, object]) -> ArchiveRow:
    return ArchiveRow(**values)  # type: ignore[arg-type]  # pyarrow ships no types


def _key(name: PurePosixPath) -> tuple[str, ...]:
    """The name without its label."""
    return (*name.parts[:3], name.name)
