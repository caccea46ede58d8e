"""A model on trial scores the line's frames while the device is idle, and is the first to be given up.

It scores one frame at a time, and begins none while a frame of the line waits for a decoding thread or the device. So the line waits for the
shadow at most as long as one frame takes; if that is too long, the trial ends. Frames wait as encoded pictures within
`releases.shadow_bytes`; they have no lease, no place in a camera's order, and no byte of the line's budget. Frames that do not fit there
are not scored.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.types import DLResult, DLSample
from inspector.bus.ports import ProducedRecord, ResultProducer
from inspector.errors import InspectorError
from inspector.inflight.budget import FRAME_OVERHEAD_BYTES
from inspector.inflight.frame import Frame, Refusal, Trial
from inspector.inflight.route import Model, Route
from inspector.loop.clock import Clock
from inspector.loop.workers import Workers
from inspector.observe.shadow import ShadowMetrics
from schemas import Reason

log = logging.getLogger(__name__)

LONGEST_SHARE: Final = 0.25
"""Of the shortest budget of any camera: a model that takes longer for one frame could cost the line a deadline."""
MOST_FAULTS: Final = 5
"""So many more frames that it cannot score than frames that it can, or that take too long than do not, end a trial."""
MOST_UNSENT: Final = 16
"""Records that wait to be sent; with so many nothing more is scored."""
RETRY_S: Final = 1.0

Encoded = tuple[ProducedRecord, Reason]
"""What is sent of a frame, and why it was not scored: `none` where it was."""


class Device(Protocol):
    """The engine, as far as a trial may use it."""

    def try_out(  # noqa: D102 as the engine has it
        self, model: Model, image: NDArray[np.uint8], done: Callable[[list[DLResult | Refusal]], None]
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class ShadowParts:
    """What models on trial have of their own, so that nothing of the line waits for it."""

    workers: Workers
    producer: ResultProducer
    """A client of their own, not started: a topic that takes nothing must not hold up verdicts."""
    metrics: ShadowMetrics
    end: Callable[[Route, str], None]
    """Told that a trial cannot go on, and why; the registry does not name it any more then."""


@dataclass(slots=True, eq=False)
class _Queue:
    """What waits for the model that is on trial at a camera, and how it does."""

    route: Route
    trials: deque[Trial] = field(default_factory=deque)
    size_bytes: int = 0
    failures: int = 0
    """One more for each frame that could not be scored, one less for each that could; not below 0."""
    slow: int = 0
    """The same of frames that took too long."""


class ShadowStage:
    """Frames that models on trial are to score. Event loop only."""

    def __init__(  # noqa: PLR0913 - all named
        self,
        parts: ShadowParts,
        *,
        max_bytes: int,
        find: Callable[[str], Route | None],
        is_idle: Callable[[], bool],
        shortest_budget_s: Callable[[], float],
        decode: Callable[[Trial], DLSample | Refusal],
        encode: Callable[[Trial, DLSample | Refusal, DLResult | Refusal], Encoded],
        device: Device,
        wake: Callable[[], None],
        clock: Clock,
    ) -> None:
        """Wait for frames; nothing is sent before `run`.

        Args:
            parts: threads, a client and metrics of its own.
            max_bytes: of the encoded pictures: those that wait, and the one that is decoded, scored or encoded.
            find: what is on trial at a camera.
            is_idle: whether no frame of the line would have to wait for one that is begun now.
            shortest_budget_s: of any camera of this process.
            decode: a frame's picture, on a thread.
            encode: a frame's record, on a thread.
            device: scores.
            wake: lets `start` be called soon.
            clock: the time.
        """
        self._max_bytes = max_bytes
        self._find, self._is_idle, self._shortest_budget_s = find, is_idle, shortest_budget_s
        self._decode, self._encode = decode, encode
        self._workers, self._producer, self._metrics, self._end = (
            parts.workers,
            parts.producer,
            parts.metrics,
            parts.end,
        )
        self._device, self._wake, self._clock = device, wake, clock
        self._queues: dict[str, _Queue] = {}  # by camera; that whose turn it is first
        self._used_bytes = 0
        self._current: Trial | None = None
        self._decoded: DLSample | None = None  # of the current one, while it waits for the device
        self._unsent: deque[tuple[str, ProducedRecord]] = deque()
        self._has_unsent = asyncio.Event()

    def __len__(self) -> int:
        """Return the number of frames that wait."""
        return sum(len(queue.trials) for queue in self._queues.values())

    @property
    def used_bytes(self) -> int:
        """What those hold that wait, and the one that is decoded, scored or encoded."""
        return self._used_bytes

    def offer(self, frames: Iterable[Frame]) -> None:
        """Take frames whose decoding has begun, as far as there is room, if a model is on trial at their cameras."""
        for frame in frames:
            route = None if frame.is_heartbeat else self._find(frame.camera)
            if route is None or frame.message is None:
                continue
            queue = self._queue(route)
            size_bytes = FRAME_OVERHEAD_BYTES + len(frame.message.image)
            if not self._has_room(queue, size_bytes):
                self._metrics.shed(frame.camera)
                continue
            queue.trials.append(Trial(route, frame.camera, frame.identity, frame.source, frame.message, size_bytes))
            self._count(queue, size_bytes)

    def _queue(self, route: Route) -> _Queue:
        queue = self._queues.get(route.camera)
        if queue is None or queue.route is not route:
            if queue is not None:
                self._drop(queue)
            queue = self._queues[route.camera] = _Queue(route)
        return queue

    def _has_room(self, queue: _Queue, size_bytes: int) -> bool:
        """Whether a frame fits: no camera keeps another from having one that waits."""
        fits = self._used_bytes + size_bytes <= self._max_bytes
        return fits and (not queue.trials or queue.size_bytes + size_bytes <= self._max_bytes // len(self._queues))

    def _count(self, queue: _Queue, size_bytes: int) -> None:
        queue.size_bytes += size_bytes
        self._used_bytes += size_bytes

    def start(self) -> None:
        """Go on with one frame, if the line leaves decoding and the device alone."""
        if not self._queues and self._current is None:
            return
        self._drop_ended()
        if not self._is_idle():
            return
        if self._current is None:
            if len(self._unsent) < MOST_UNSENT and (trial := self._take()) is not None:
                self._current = trial
                self._workers.submit(partial(self._decode, trial), partial(self._was_decoded, trial))
        elif self._decoded is not None:
            trial, sample, self._decoded = self._current, self._decoded, None
            begun_s = self._clock.monotonic_s()
            self._device.try_out(trial.route.model, sample.image, partial(self._was_scored, trial, sample, begun_s))

    def _take(self) -> Trial | None:
        """Return the next frame; cameras take turns."""
        for camera, queue in list(self._queues.items()):
            if queue.trials:
                self._queues[camera] = self._queues.pop(camera)  # behind the others
                trial = queue.trials.popleft()
                queue.size_bytes -= trial.size_bytes  # it is in memory, and in `used_bytes`, until `_let_go`
                return trial
        return None

    def _let_go(self, trial: Trial) -> None:
        """Be done with the current frame."""
        self._current = self._decoded = None
        self._used_bytes -= trial.size_bytes

    def _drop_ended(self) -> None:
        """Give up what waits for a model that is not on trial any more."""
        for camera, queue in list(self._queues.items()):
            if self._find(camera) is not queue.route:
                self._drop(queue)
                del self._queues[camera]
        if self._current is not None and self._decoded is not None and self._queue_of(self._current) is None:
            self._metrics.shed(self._current.camera)
            self._let_go(self._current)

    def _drop(self, queue: _Queue) -> None:
        self._metrics.shed(queue.route.camera, len(queue.trials))
        self._count(queue, -queue.size_bytes)
        queue.trials.clear()

    def _queue_of(self, trial: Trial) -> _Queue | None:
        """Return the queue of a frame's trial; None: that trial has ended."""
        queue = self._queues.get(trial.camera)
        return queue if queue is not None and queue.route is trial.route else None

    def _was_decoded(self, trial: Trial, outcome: DLSample | Refusal) -> None:
        if not isinstance(outcome, Refusal):
            self._decoded = outcome
        elif outcome.status == "undecodable":  # no model is to blame for the picture
            self._metrics.shed(trial.camera)
            self._let_go(trial)
        else:
            self._submit_encoding(trial, outcome, outcome)
        self._wake()

    def _was_scored(self, trial: Trial, sample: DLSample, begun_s: float, outcomes: list[DLResult | Refusal]) -> None:
        took_s = self._clock.monotonic_s() - begun_s
        self._drop_ended()  # what another trial's frame shows is not held against the one that follows it
        if (queue := self._queue_of(trial)) is not None:
            budget_s = self._shortest_budget_s()
            queue.slow = _balance(queue.slow, is_bad=took_s > LONGEST_SHARE * budget_s)
            if took_s > budget_s or queue.slow >= MOST_FAULTS:
                share = "the whole of" if took_s > budget_s else "a quarter of"
                self._stop(
                    queue,
                    f"a frame takes it {took_s:.3f} s, more than {share} the shortest budget: it could cost the line a deadline",
                )
        self._submit_encoding(trial, sample, outcomes[0])
        self._wake()

    def _submit_encoding(self, trial: Trial, sample: DLSample | Refusal, outcome: DLResult | Refusal) -> None:
        self._workers.submit(partial(self._encode, trial, sample, outcome), partial(self._was_encoded, trial))

    def _was_encoded(self, trial: Trial, encoded: Encoded) -> None:
        record, failure = encoded
        self._let_go(trial)
        is_failed = failure != "none"
        (self._metrics.failed if is_failed else self._metrics.scored)(trial.camera)
        self._drop_ended()
        if (queue := self._queue_of(trial)) is not None:
            queue.failures = _balance(queue.failures, is_bad=is_failed)
            if queue.failures >= MOST_FAULTS or failure == "out_of_memory":
                self._stop(queue, f"it cannot score the frames of this camera: {failure}")
        self._unsent.append((trial.camera, record))
        self._has_unsent.set()
        self._wake()

    def _stop(self, queue: _Queue, why: str) -> None:
        self._end(queue.route, why)
        self._drop_ended()

    async def run(self) -> None:
        """Send what was scored, until cancelled; what the brokers do not take is given up."""
        is_started = has_failed = False
        while True:
            await self._has_unsent.wait()
            self._has_unsent.clear()
            while self._unsent:
                try:
                    if not is_started:
                        await self._producer.start()
                        is_started = True
                    topic, key = self._unsent[0][1].topic, self._unsent[0][1].key
                    number = await self._producer.partition_for(topic, key)
                    together = [record for _, record in self._unsent if record.key == key]
                    sent = await self._producer.send((topic, number), together)
                    self._forget(key, sent)
                    has_failed = False
                except InspectorError as exc:  # whatever it is, the line does not depend on it
                    (log.debug if has_failed else log.warning)("what models on trial say cannot be sent: %s", exc)
                    has_failed = True
                    for camera, _ in self._unsent:
                        self._metrics.shed(camera)
                    self._unsent.clear()
                    await asyncio.sleep(RETRY_S)
                self._wake()

    def _forget(self, key: bytes, sent: int) -> None:
        """Take the first `sent` records of a key away."""
        kept: deque[tuple[str, ProducedRecord]] = deque()
        for item in self._unsent:
            if item[1].key == key and sent:
                sent -= 1
            else:
                kept.append(item)
        self._unsent = kept


def _balance(count: int, *, is_bad: bool) -> int:
    """Return a count of bad frames after one more: one good frame makes up for one bad frame, not for all before it."""
    return count + 1 if is_bad else max(0, count - 1)
