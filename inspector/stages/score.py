"""The device and the threads that compute on it: from images to results; a bad frame does not harm its batch."""

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
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from inspector.anomaly.types import DLResult
from inspector.errors import DeviceError, DeviceLostError
from inspector.inflight.fault import DeviceFault, device_fault
from inspector.inflight.frame import Refusal
from inspector.inflight.room import Room
from inspector.inflight.route import Model, Pending
from inspector.watchdog.ongoing import Ongoing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

Outcome = DLResult | Refusal
Done = Callable[[list[Outcome]], None]
Post = Callable[[Callable[[], None]], None]
T = TypeVar("T")


class _Trouble(NamedTuple):
    """Why a batch has no results. Not the error: its traceback would keep what the batch has on the device (pytorch#18853)."""

    fault: DeviceFault
    words: str
    is_internal: bool = False


@dataclass(slots=True)
class _Batch:
    model: Model
    images: Sequence[NDArray[np.uint8]]
    done: Done
    is_trial: bool = False
    """Of a model on trial: what is wrong with it is told as it is, and teaches nothing about the line's batches."""
    trials_over: int = 0
    """How many trials were over when it was submitted; any after these shared the device with it."""
    launched: Pending | _Trouble | None = None


class Engine:
    """Scores as many batches at a time as there are slots: `overlap` on each of its threads.

    A GPU has one thread, which launches the next batch before the one before it is finished. On a CPU launching is
    computing: there, several threads with a batch each use the cores better than one batch that is spread over them (no
    core waits for another at the end of each layer: `make bench`). `submit` and `free_slots` belong to the event loop.

    A batch that the device has no room for is scored in halves, down to single frames, and `room` learns from it. What is computed
    is told to `ongoing`, for a watchdog: a device that hangs cannot be called back.
    """

    def __init__(
        self,
        *,
        threads: int = 1,
        overlap: int = 1,
        post: Post,
        on_crash: Callable[[BaseException], None],
        on_retry: Callable[[], None],
        on_room: Callable[[bool, int | None], None] = lambda _is_wanting, _limit: None,
    ) -> None:
        """Prepare the threads.

        Args:
            threads: batches computed side by side, at least 1.
            overlap: batches that a thread has launched and not finished, at least 1.
            post: runs a function on the event loop, from a device thread.
            on_crash: called on the loop when the device is lost; nothing is scored after that.
            on_retry: called on the loop when a batch failed and is scored again in parts.
            on_room: called on the loop when a batch did not fit (True) or a limit is over (False), with the smallest limit that there is.
        """
        self.free_slots = threads * overlap
        self._overlap = overlap
        self._post = post
        self._on_crash = on_crash
        self._on_retry = on_retry
        self._on_room = on_room
        self.room = Room()
        self._trials_begun = self._trials_over = 0  # only the event loop changes them
        self.scoring = Ongoing()
        """What the device threads compute, by their names."""
        self.calling = Ongoing()
        """What else they do, which may take much longer: loading models, warming up."""
        self._work: queue.SimpleQueue[_Batch | Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"device-{number}", daemon=True) for number in range(threads)
        ]

    @property
    def is_trying(self) -> bool:
        """Whether a model on trial has the device, or will have it next: a batch that is submitted now may wait for that."""
        return self._trials_begun > self._trials_over

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
        self._submit(_Batch(model, images, done, trials_over=self._trials_over))

    def try_out(self, model: Model, image: NDArray[np.uint8], done: Done) -> None:
        """Score one picture with a model on trial: once, as a batch of its own; `done` gets the only outcome, on the event loop.

        Whatever is wrong with it is its outcome: nothing is tried again. No batch of another model is halved for it: one that lacks memory
        beside it is scored again as it is, once, and `on_room` is told. A device that may be lost is left to the line's next batch to find out. One that is lost for certain ends the service, as one that hangs does.

        Raises:
            DeviceError: No slot is free.
        """
        self._submit(_Batch(model, [image], done, is_trial=True))

    def _submit(self, batch: _Batch) -> None:
        if self.free_slots < 1:
            raise DeviceError("a batch was submitted while no slot was free")
        self.free_slots -= 1
        self._trials_begun += batch.is_trial
        self._work.put(batch)

    def stop(self, timeout_s: float) -> bool:
        """End the threads after the batches that they have; wait up to `timeout_s`, and then leave them to their fate.

        Returns:
            Whether all have ended.
        """
        deadline_s = time.monotonic() + timeout_s
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline_s - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        launched: deque[_Batch] = deque()
        stopping = False
        name = threading.current_thread().name
        try:
            while launched or not stopping:
                item = self._next(block=not launched)
                stopping = stopping or item is _STOP
                if isinstance(item, _Batch):
                    item.launched = self._launch(item.model, item.images)
                    launched.append(item)
                elif callable(item):
                    with self.calling.step(name):
                        item()
                is_idle = not isinstance(item, _Batch)
                del item  # or an idle thread would keep its last batch, and a model that was replaced with it
                # One that did not fit is scored again when nothing else lies on the device.
                while launched and (is_idle or len(launched) >= self._overlap or _failed(launched[-1])):
                    self._finish(launched.popleft(), launched)
                    is_idle = False
        except BaseException as exc:  # noqa: BLE001 the service must hear of it, or it would hang
            self._post(functools.partial(self._on_crash, exc))

    def _next(self, *, block: bool) -> Any:  # noqa: ANN401
        try:
            item = self._work.get(block=block)
        except queue.Empty:
            return None
        return _STOP if item is None else item

    def _launch(self, model: Model, images: Sequence[NDArray[np.uint8]]) -> Pending | _Trouble:
        try:
            with self.scoring.step(threading.current_thread().name):
                return model.launch(images)
        except Exception as exc:  # noqa: BLE001 whatever a model raises, its batch is tried in parts
            return _trouble(exc)

    def _results(self, launched: Pending | _Trouble, size: int) -> list[DLResult] | _Trouble:
        if isinstance(launched, _Trouble):
            return launched
        try:
            with self.scoring.step(threading.current_thread().name):
                results = list(launched.finish())
        except Exception as exc:  # noqa: BLE001 whatever a model raises, its batch is tried in parts
            return _trouble(exc)
        if len(results) != size:
            return _Trouble("other", f"the model gave {len(results)} results for {_counted(size, 'image')}", True)
        return results

    def _finish(self, batch: _Batch, behind: deque[_Batch]) -> None:
        """Hand on what became of a batch; where it did not fit beside those launched behind it, after these."""
        if batch.launched is None:
            raise DeviceError("a batch was to be finished that was never launched")
        size = len(batch.images)
        results = self._results(batch.launched, size)
        if batch.is_trial:
            outcome = [_refusal(results)] if isinstance(results, _Trouble) else results
            self._post(functools.partial(self._tried, batch.done, list(outcome)))
            return
        if isinstance(results, _Trouble) and results.fault == "memory" and any(not _failed(other) for other in behind):
            batch.launched = results
            behind.append(batch)
            return
        if isinstance(results, _Trouble) and results.fault == "memory" and self._trials_begun > batch.trials_over:
            log.warning(
                "a batch of %d lacked memory beside a model on trial, and is scored again: %s", size, results.words
            )
            self._post(functools.partial(self._on_room, True, self.room.smallest()))
            results = self._results(self._launch(batch.model, batch.images), size)
        outcomes: Sequence[Outcome]
        if isinstance(results, _Trouble):
            self._post(self._on_retry)
            log.warning("a batch of %d failed: %s", size, results.words)
            outcomes = self._in_parts(batch.model, batch.images, results)
        else:
            self._fitted(batch.model, size)
            outcomes = results
        self._post(functools.partial(self._deliver, batch.done, list(outcomes)))

    def _tried(self, done: Done, outcomes: list[Outcome]) -> None:
        self._trials_over += 1
        self._deliver(done, outcomes)

    def _deliver(self, done: Done, outcomes: list[Outcome]) -> None:
        self.free_slots += 1
        done(outcomes)

    def _in_parts(self, model: Model, images: Sequence[NDArray[np.uint8]], trouble: _Trouble) -> list[Outcome]:
        """Score the images of a batch that failed: in halves as long as they do not fit, else each alone.

        Raises:
            DeviceLostError: Alone, too, no image has a result, and the device may be lost.
        """
        outcomes: list[Outcome] = []
        doubt: _Trouble | None = None
        parts = deque(self._parts(model, images, trouble))
        while parts:
            part = parts.popleft()
            results = self._results(self._launch(model, part), len(part))
            if not isinstance(results, _Trouble):
                self._fitted(model, len(part))
                outcomes += results
            elif len(part) > 1:
                parts.extendleft(reversed(self._parts(model, part, results)))
            else:
                outcomes.append(_refusal(results))
                doubt = results if results.fault == "doubtful" else doubt
        if doubt is not None and all(isinstance(outcome, Refusal) for outcome in outcomes):
            raise DeviceLostError(f"the device is lost: {doubt.words}")
        return outcomes

    def _parts(
        self, model: Model, images: Sequence[NDArray[np.uint8]], trouble: _Trouble
    ) -> list[Sequence[NDArray[np.uint8]]]:
        size = len(images)
        if trouble.fault != "memory":
            return [[image] for image in images]
        self._exceeded(model, size)
        half = max(1, size // 2)
        return [images[begin : begin + half] for begin in range(0, size, half)]

    def _exceeded(self, model: Model, size: int) -> None:
        if self.room.exceeded(model, size):
            log.warning(
                "the device does not have enough memory for %s of %s at once; batches are halved until they fit",
                _counted(size, "frame"),
                model.name,
            )
        self._post(functools.partial(self._on_room, True, self.room.smallest()))

    def _fitted(self, model: Model, size: int) -> None:
        before = self.room.limit(model)
        if before is None:
            return
        if self.room.fitted(model, size):
            log.info("the device has enough memory for whole batches of %s again", model.name)
        if self.room.limit(model) != before:
            self._post(functools.partial(self._on_room, False, self.room.smallest()))


class _Stop:
    """Ends the thread."""


_STOP = _Stop()


def _failed(batch: _Batch) -> bool:
    return isinstance(batch.launched, _Trouble)


def _trouble(exc: Exception) -> _Trouble:
    """Return what is wrong with a batch.

    Raises:
        DeviceLostError: With the device, so that no later batch can be scored.
    """
    fault = device_fault(exc)
    if fault == "lost":
        raise DeviceLostError(f"the device is lost: {exc}") from exc
    return _Trouble(fault, f"{type(exc).__name__}: {exc}")


def _refusal(trouble: _Trouble) -> Refusal:
    if trouble.is_internal:
        return Refusal("failed", "internal", trouble.words)
    return Refusal("failed", "out_of_memory" if trouble.fault == "memory" else "device", trouble.words)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
