"""A device that fails as devices do: want of memory, hanging, an error that sticks, scores that are no numbers."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from inspector.anomaly.types import Thresholds
from tests.fakes import FakeModel, FakePending

OUT_OF_MEMORY: tuple[Exception, ...] = (
    MemoryError("no"),
    type("OutOfMemoryError", (RuntimeError,), {})("CUDA error: oom"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
)
"""As torch words it, for a GPU and for a CPU."""


class DeviceModel(FakeModel):
    """Scores by brightness, on a device with faults; those of `FakeModel` are there as well."""

    TOO_LARGE = 210
    """A brightness for which there is no room, however few frames come with it."""

    def __init__(self, thresholds: Thresholds, *, room: int, error: Exception = OUT_OF_MEMORY[0]) -> None:
        """Have a device with room for so many frames, which words the want of more as `error`."""
        super().__init__(thresholds)
        self.room = room
        self.lost: Exception | None = None
        """Sticks: each call raises it."""
        self.hang: threading.Event | None = None
        """Each call waits for it."""
        self.hangs = threading.Event()
        self.faults: Iterator[Exception | None] = iter(())
        """What the next calls raise, before anything else is looked at."""
        self._error = error

    @override
    def launch(self, images: Sequence[NDArray[np.uint8]]) -> FakePending:
        if self.hang is not None:
            self.hangs.set()
            self.hang.wait()
        fault = next(self.faults, None)
        if fault is not None:
            self.batches.append(len(images))
            raise fault
        if self.lost is not None:
            self.batches.append(len(images))
            raise self.lost
        if len(images) > self.room or any(round(float(image.mean())) == self.TOO_LARGE for image in images):
            self.batches.append(len(images))
            raise self._error
        return super().launch(images)
