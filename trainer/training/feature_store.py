"""The embeddings that a training learns from, in bounded memory: the first part in RAM, the rest in a file.

The file never has a name, so nothing is left of it, however the process ends. It is read by `os.preadv`, not mapped:
mapped pages count as memory of the process.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.errors import OutputError

DEFAULT_LIMIT_BYTES: Final = 2**30
"""What is kept in RAM; 3,000 images of 256 x 256 pixels take half of it for padim."""

_FLOAT_BYTES: Final = 4


class FeatureStore:
    """Rows of (h, w, D) float32, one for each image, appended in batches and read in any order.

    A context manager: leaving it frees the memory and the file.

    Args:
        capacity: Rows that will be appended at most.
        limit_bytes: Of the rows in RAM; those beyond lie in the file.
        folder: Where the file is to be; the system's folder for temporary files where None. One that lies in RAM
            (tmpfs) would defeat the limit.
    """

    def __init__(
        self, capacity: int, *, limit_bytes: int = DEFAULT_LIMIT_BYTES, folder: Path | str | None = None
    ) -> None:
        self._capacity = capacity
        self._limit_bytes = limit_bytes
        self._folder = folder
        self._count = 0
        self._shape: tuple[int, int, int] | None = None
        self._memory = torch.empty(0)
        self._file: IO[bytes] | None = None

    def __len__(self) -> int:
        return self._count

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, D) of a row.

        Raises:
            ValueError: There is none yet.
        """
        if self._shape is None:
            raise ValueError("the store is empty: nothing was appended, or it was closed")
        return self._shape

    @property
    def spilled_bytes(self) -> int:
        """How much of it lies in the file."""
        return max(0, self._count - len(self._memory)) * self._row_bytes if self._shape else 0

    @property
    def _row_bytes(self) -> int:
        return _FLOAT_BYTES * int(np.prod(self.shape))

    def append(self, batch: Tensor) -> None:
        """Add rows.

        Args:
            batch: (B, h, w, D) float32 on the CPU, of the same shape as all before.

        Raises:
            ValueError: It is not, or there are more rows than the capacity.
            OutputError: The file cannot be written.
        """
        if self._shape is None:
            self._shape = (batch.shape[1], batch.shape[2], batch.shape[3])
            kept = min(self._capacity, self._limit_bytes // self._row_bytes)
            self._memory = torch.empty((kept, *self._shape))
        if batch.shape[1:] != self._shape or batch.dtype != torch.float32 or self._count + len(batch) > self._capacity:
            raise ValueError(
                f"{len(batch)} rows of {tuple(batch.shape[1:])} {batch.dtype} do not fit into a store of "
                f"{self._capacity} rows of {self._shape} float32, which has {self._count}"
            )
        kept = min(len(batch), max(0, len(self._memory) - self._count))
        self._memory[self._count : self._count + kept] = batch[:kept]
        if kept < len(batch):
            self._spill(batch[kept:], self._count + kept - len(self._memory))
        self._count += len(batch)

    def _spill(self, rows: Tensor, first: int) -> None:
        content = rows.contiguous().numpy().data.cast("B")
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - closed by `close`
            position = first * self._row_bytes
            while content:
                written = os.pwrite(self._file.fileno(), content, position)
                content, position = content[written:], position + written
        except OSError as exc:
            folder = self._folder or tempfile.gettempdir()
            raise OutputError(
                f"features cannot be kept in a file in {folder} ({exc.strerror or exc}); free space there, set TMPDIR "
                "to another folder, train on fewer images, or make the model's input smaller"
            ) from exc

    def read(self, rows: Sequence[int]) -> Tensor:
        """Return these rows, (len(rows), h, w, D) float32, as a copy.

        Raises:
            IndexError: There is no such row.
        """
        if rows and not (min(rows) >= 0 and max(rows) < self._count):
            raise IndexError(f"rows are 0 to {self._count - 1}, got {min(rows)} to {max(rows)}")
        found = torch.empty((len(rows), *self.shape))
        target: NDArray[np.float32] = found.numpy()
        for place, row in enumerate(rows):
            if row < len(self._memory):
                found[place] = self._memory[row]
            else:
                self._read_into(target[place], row - len(self._memory))
        return found

    def _read_into(self, target: NDArray[np.float32], row: int) -> None:
        if self._file is None:
            raise IndexError(f"row {row} was never written to the file")
        content, position = target.data.cast("B"), row * self._row_bytes
        while content:
            count = os.preadv(self._file.fileno(), [content], position)
            if not count:
                raise OutputError("the file that features are kept in is shorter than what was written; fit again")
            content, position = content[count:], position + count

    def batches(self, rows: Sequence[int] | None = None, size: int = 64) -> Iterator[Tensor]:
        """Yield these rows in their order, or all, (B, h, w, D) float32 with B at most `size`."""
        order = range(self._count) if rows is None else rows
        for start in range(0, len(order), size):
            yield self.read(order[start : start + size])

    def close(self) -> None:
        """Free memory and file; the store is empty then."""
        if self._file is not None:
            self._file.close()
        self._file, self._memory, self._shape, self._count = None, torch.empty(0), None, 0
