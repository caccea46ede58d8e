"""The device and the threads that compute on it: images in, results out, a bad frame isolated from its batch."""

from __future__ import annotations

import functools
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from inspector.anomaly.types import DLResult
from inspector.errors import DeviceError
from inspector.inflight.frame import Refusal
from inspector.inflight.route import Model, Pending
from schemas import Reason

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

Outcome = DLResult | Refusal
Done = Callable[[list[Outcome]], None]
Post = Callable[[Callable[[], None]], None]
T = TypeVar("T")


@dataclass(slots=True)
class _Batch:
    model: Model
    images: Sequence[NDArray[np.uint8]]
    done: Done
    pending: Pending | None = None


class Engine:
    """Scores as many batches at a time as there are slots: `overlap` on each of its threads.

    A GPU has one thread, which launches the next batch before the one before it is finished. On a CPU launching is
    computing: there, several threads with a batch each use the cores better than one batch that is spread over them (no
    core waits for another at the end of each layer: `make bench`). `submit` and `free_slots` belong to the event loop.
    """

    def __init__(
        self,
        *,
        threads: int = 1,
        overlap: int = 1,
        post: Post,
        on_crash: Callable[[BaseException], None],
        on_retry: Callable[[], None],
    ) -> None:
        """Prepare the threads.

        Args:
            threads: batches computed side by side, at least 1.
            overlap: batches that a thread has launched and not finished, at least 1.
            post: runs a function on the event loop, from a device thread.
            on_crash: called on the loop when the device is lost; nothing is scored after that.
            on_retry: called on the loop when a batch failed and is scored again frame by frame.
        """
        self.free_slots = threads * overlap
        self._overlap = overlap
        self._post = post
        self._on_crash = on_crash
        self._on_retry = on_retry
        self._work: queue.SimpleQueue[_Batch | Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"device-{number}", daemon=True) for number in range(threads)
        ]

    @property
    def shares(self) -> int:
        """Into how many batches to part what waits: one for each idle thread, and one where none is idle.

        A second slot of a thread is for the batch after the one that it computes, not for half of that one.
        """
        return max(1, self.free_slots - len(self._threads) * (self._overlap - 1))

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def call(self, function: Callable[[], T]) -> Future[T]:
        """Run `function` on a device thread, for loading models."""
        future: Future[T] = Future()

        def run() -> None:
            # Cancelled before (the service stops while it loads), it runs all the same: other threads may wait for it.
            is_wanted = future.set_running_or_notify_cancel()
            try:
                result = function()
            except BaseException as exc:  # noqa: BLE001 it belongs to whoever waits for the future
                if is_wanted:
                    future.set_exception(exc)
            else:
                if is_wanted:
                    future.set_result(result)

        self._work.put(run)
        return future

    def call_on_each(self, function: Callable[[], None]) -> list[Future[None]]:
        """Run `function` on every device thread, for settings of a thread and for warming up. Not while batches are scored."""
        together = threading.Barrier(len(self._threads))  # a thread that took two would leave another none

        def run() -> None:
            together.wait()
            function()

        return [self.call(run) for _ in self._threads]

    def submit(self, model: Model, images: Sequence[NDArray[np.uint8]], done: Done) -> None:
        """Score `images`; `done` gets as many outcomes in the same order, on the event loop.

        Raises:
            DeviceError: No slot is free.
        """
        if self.free_slots < 1:
            raise DeviceError("a batch was submitted while no slot was free")
        self.free_slots -= 1
        self._work.put(_Batch(model, images, done))

    def stop(self, timeout_s: float) -> None:
        """End the threads after the batches that they have; wait up to `timeout_s`, and then leave them to their fate."""
        deadline_s = time.monotonic() + timeout_s
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline_s - time.monotonic()))

    def _run(self) -> None:
        launched: deque[_Batch] = deque()
        stopping = False
        try:
            while launched or not stopping:
                item = self._next(block=not launched)
                stopping = stopping or item is _STOP
                if isinstance(item, _Batch):
                    item.pending = self._launch(item)
                    launched.append(item)
                elif callable(item):
                    item()
                if launched and (len(launched) >= self._overlap or not isinstance(item, _Batch)):
                    self._finish(launched.popleft())
        except BaseException as exc:  # noqa: BLE001 the service must hear of it, or it would hang
            self._post(functools.partial(self._on_crash, exc))

    def _next(self, *, block: bool) -> Any:  # noqa: ANN401
        try:
            item = self._work.get(block=block)
        except queue.Empty:
            return None
        return _STOP if item is None else item

    def _launch(self, batch: _Batch) -> Pending | None:
        try:
            return batch.model.launch(batch.images)
        except Exception as exc:  # noqa: BLE001 whatever a model raises, its batch is tried frame by frame
            _raise_if_lost(exc)
            log.warning("a batch of %d could not be launched: %s", len(batch.images), exc)
            return None

    def _finish(self, batch: _Batch) -> None:
        outcomes = self._results(batch.pending, len(batch.images))
        if outcomes is None:
            self._post(self._on_retry)
            outcomes = [self._alone(batch.model, image) for image in batch.images]
        self._post(functools.partial(self._deliver, batch.done, outcomes))

    def _deliver(self, done: Done, outcomes: list[Outcome]) -> None:
        self.free_slots += 1
        done(outcomes)

    def _results(self, pending: Pending | None, size: int) -> list[Outcome] | None:
        """Return the batch's results, or None if the batch as a whole failed."""
        if pending is None:
            return None
        try:
            results = pending.finish()
        except Exception as exc:  # noqa: BLE001 whatever a model raises, its batch is tried frame by frame
            _raise_if_lost(exc)
            log.warning("a batch of %d failed: %s", size, exc)
            return None
        if len(results) != size:
            log.error("the model gave %d results for %d images", len(results), size)
            return None
        return list(results)

    def _alone(self, model: Model, image: NDArray[np.uint8]) -> Outcome:
        try:
            results = model.launch([image]).finish()
        except Exception as exc:  # noqa: BLE001 whatever a model raises, its batch is tried frame by frame
            _raise_if_lost(exc)
            reason: Reason = "out_of_memory" if _is_out_of_memory(exc) else "device"
            return Refusal("failed", reason, f"{type(exc).__name__}: {exc}")
        if len(results) != 1:
            return Refusal("failed", "internal", f"the model gave {len(results)} results for one image")
        return results[0]


class _Stop:
    """Ends the thread."""


_STOP = _Stop()


def _is_out_of_memory(exc: Exception) -> bool:
    return isinstance(exc, MemoryError) or type(exc).__name__ == "OutOfMemoryError"


def _raise_if_lost(exc: Exception) -> None:
    """Give up where no later call can succeed: an error of CUDA, other than want of memory, sticks to the process."""
    if not _is_out_of_memory(exc) and (type(exc).__name__ == "AcceleratorError" or "CUDA error" in str(exc)):
        raise DeviceError(f"the device is lost: {exc}") from exc
