"""A device with faults, put between the service and its model: want of memory, errors, scores that are no numbers, a loss, a hang.

The launcher installs it where `CHAOS_DEVICE` names what SIGUSR2 lets begin: `lost` or `hang`. The others are there from the start. A
frame's fate hangs on its picture alone, so that it is the same however often the frame is read.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAMED_BY = "CHAOS_DEVICE"
BEGUN_BY = signal.SIGUSR2

ROOM = 2
"""Frames for which there is memory at once, half of the time."""
PERIOD_S = 6.0
ONE_IN = 10
"""Of the pictures, by chance, get a score that is no number; as many make the model raise, whatever comes with them."""
NAN, ERROR = 0, 1


def fate(image: NDArray[np.uint8]) -> int:
    """Return a number below `ONE_IN` that follows from a picture."""
    return zlib.crc32(np.ascontiguousarray(image).tobytes()) % ONE_IN


class Device:
    """A model on a device with faults; everything else is the model's own."""

    def __init__(self, model: Any) -> None:
        """Take a model; the fault of the signal waits for it."""
        self._model = model
        self._fault: str | None = None
        signal.signal(BEGUN_BY, self._begin)

    def _begin(self, *_: object) -> None:
        self._fault = os.environ[NAMED_BY]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def launch(self, images: Sequence[NDArray[np.uint8]]) -> Any:
        """Start a batch, or fail."""
        if self._fault == "hang":
            threading.Event().wait()
        if self._fault == "lost":
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if len(images) > ROOM and time.monotonic() % (2 * PERIOD_S) < PERIOD_S:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        fates = [fate(image) for image in images]
        if ERROR in fates:
            raise RuntimeError("this picture breaks the model")
        return Pending(self._model.launch(images), fates)


class Pending:
    """A batch of which some scores are no numbers."""

    def __init__(self, pending: Any, fates: Sequence[int]) -> None:
        """Take the batch as the model has it."""
        self._pending, self._fates = pending, fates

    def finish(self) -> list[Any]:
        """Return the results."""
        return [
            replace(result, anomaly_score=float("nan")) if number == NAN else result
            for result, number in zip(self._pending.finish(), self._fates, strict=True)
        ]


def install() -> None:
    """Let the service read its model through this device. On the main thread, before the service begins."""
    from inspector.swap import models

    owner: Any = models
    reader_of = owner.bundle_reader
    device = Device(None)

    def faulty_reader_of(settings: Any) -> Any:
        read = reader_of(settings)

        def read_faulty(path: Any) -> Device:
            device._model = read(path)
            return device

        return read_faulty

    owner.bundle_reader = faulty_reader_of
