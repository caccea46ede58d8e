"""THE flow of a frame through the service. Only this module knows the order of the stages; they do not know each other.

    source ─► admit ─► decode ─► batch ─► score ─► encode ─► sequence ─► sink ─► lease

Every stage pulls: `_pump` moves frames on from the end to the front whenever something has become free. All of it runs on
the event loop, but for the jobs that `Workers` and `Engine` run on their threads and hand back.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from inspector.admit import Admission
from inspector.anomaly.image import ImageLimits
from inspector.anomaly.types import DLSample
from inspector.batching import Batcher
from inspector.budget import FRAME_OVERHEAD_BYTES, Budget, headroom_chunks, largest_decoding_bytes
from inspector.bus import ConsumedRecord, FrameConsumer, ProducedRecord, ResultProducer
from inspector.clock import Clock
from inspector.config import Settings
from inspector.decode import decode_frame
from inspector.encode import Encoder
from inspector.engine import Engine, Outcome
from inspector.inflight import Frame, Outgoing, Refusal
from inspector.lease import Lease
from inspector.metrics import Metrics
from inspector.registry import Registry
from inspector.sequence import Sequencer
from inspector.sink import Sink
from inspector.source import Source
from inspector.turns import TurnQueues
from inspector.workers import Workers


@dataclass(frozen=True, slots=True)
class Parts:
    """What the pipeline is built around: the outside world, and the threads."""

    consumer: FrameConsumer
    producer: ResultProducer
    registry: Registry
    workers: Workers
    engine: Engine
    metrics: Metrics
    clock: Clock
    on_crash: Callable[[BaseException], None]
    """Told of an error in a callback of the loop, where asyncio would only log it and the service would hang."""


class Pipeline:
    """All stages, and the order in which a frame goes through them. Event loop only."""

    def __init__(self, settings: Settings, parts: Parts) -> None:
        """Connect the stages; nothing moves before `source.start`."""
        limits, self._clock, self._metrics = settings.limits, parts.clock, parts.metrics
        self._on_crash = parts.on_crash
        self._image_limits = ImageLimits(max_bytes=limits.max_frame_bytes, max_pixels=limits.max_pixels)
        self._decode_ahead = 2 * settings.batching.max_batch_size + (settings.decode_threads or 2)
        self._frames: set[Frame] = set()  # everything between source and lease
        self._settling = 0
        self._decoding = 0
        self._scoring = 0
        self._pump_scheduled = False
        self._pending_refusals: list[Frame] = []
        self._timer: asyncio.TimerHandle | None = None
        self._progress = asyncio.Event()

        self.budget = Budget(limits.max_bytes_in_flight)
        self.source = Source(
            parts.consumer,
            cap=limits.max_frames_in_flight,
            headroom=lambda: headroom_chunks(settings, self.budget),
            on_records=self._read,
            settle=self._settle,
            forget=self._forget,
            clock=parts.clock,
            metrics=parts.metrics,
            drain_timeout_s=settings.drain_timeout_s,
        )
        self._admission = Admission(
            limits,
            default_budget_us=settings.deadline.default_budget_ms * 1000,
            largest_decoding_bytes=largest_decoding_bytes(settings),
            find_route=parts.registry.route,
            budget=self.budget,
            clock=parts.clock,
        )
        self._to_decode: TurnQueues[Frame] = TurnQueues()
        self._workers = parts.workers
        self._batcher: Batcher[Frame] = Batcher(
            max_size=settings.batching.max_batch_size, linger_s=settings.batching.linger_s
        )
        self._engine = parts.engine
        self._encoder = Encoder(
            settings.topics,
            keep_value=settings.deadletter_bytes,
            max_deadletter_bytes=limits.max_message_bytes,
            clock=parts.clock,
        )
        self._sequence: Sequencer[Frame, Outgoing] = Sequencer()
        self.sink = Sink(parts.producer, self, parts.clock)

    # source ─► admit

    def _read(self, lease: Lease, records: Sequence[ConsumedRecord]) -> None:
        for record in records:
            frame = self._admission.admit(record, lease)
            self._frames.add(frame)
            self._sequence.open(frame.camera, frame)
            if frame.refusal is None:
                self._to_decode.push(frame)
            else:
                self._refuse(frame, frame.refusal)
        self._pump()

    def _pump_soon(self) -> None:
        """Pump once in this turn of the loop, however many frames ask for it."""
        if not self._pump_scheduled:
            self._pump_scheduled = True
            asyncio.get_running_loop().call_soon(self._guarded_pump)

    def _guarded_pump(self) -> None:
        try:
            self._pump()
        except Exception as exc:  # noqa: BLE001 whatever it is, the process must not go on half dead
            self._on_crash(exc)

    def _pump(self) -> None:
        """Move on whatever can move, from the end to the front, so that nothing new starts before what is nearly done."""
        self._pump_scheduled = False
        self._score()
        self._decode()
        self._encode_refusals()

    # admit ─► decode

    def _decode(self) -> None:
        now_s = self._clock.monotonic_s()
        for late in self._to_decode.drop_expired(now_s):
            late.leave("queue", now_s)
            self._refuse(late, Refusal("expired", "late_before_decode"))
        while self._decoding + len(self._batcher) < self._decode_ahead:
            frame = self._to_decode.most_urgent()
            if frame is None or not self._reserve(frame):
                return
            self._to_decode.take(1, now_s)
            message, route = frame.message, frame.route
            if message is None or route is None:
                raise ValueError("a frame without message or route cannot be decoded")
            self._metrics.stage_seconds("queue", frame.leave("queue", now_s))
            self._decoding += 1
            job = functools.partial(decode_frame, message, route.model, self._image_limits)
            self._workers.submit(job, functools.partial(self._decoded, frame))

    def _reserve(self, frame: Frame) -> bool:
        """Reserve what decoding takes; where nothing else could ever free it, beyond the limit."""
        if self._decoding + len(self._batcher) + self._scoring == 0:
            frame.reservation.force(frame.decoding_bytes)
            return True
        return frame.reservation.grow(frame.decoding_bytes)

    # decode ─► batch

    def _decoded(self, frame: Frame, outcome: DLSample | Refusal) -> None:
        self._decoding -= 1
        if frame.live:
            now_s = self._clock.monotonic_s()
            self._metrics.stage_seconds("decode", frame.leave("decode", now_s))
            if isinstance(outcome, Refusal):
                self._refuse(frame, outcome)
            else:
                frame.sample = outcome
                frame.message = None  # the encoded image
                frame.reservation.shrink_to(FRAME_OVERHEAD_BYTES + len(frame.value or b"") + frame.decoding_bytes)
                self._batcher.push(frame, now_s)
        self._pump_soon()

    # batch ─► score

    def _score(self) -> None:
        self._cancel_timer()
        while self._engine.free_slots > 0:
            now_s = self._clock.monotonic_s()
            pull = self._batcher.pull(now_s, linger=self._settling == 0)
            for late in pull.expired:
                late.leave("queue", now_s)
                self._refuse(late, Refusal("expired", "late_before_score"))
            if not pull.batch:
                self._wait_for_linger(now_s)
                return
            for frame in pull.batch:
                self._metrics.stage_seconds("queue", frame.leave("queue", now_s))
            self._metrics.batch(len(pull.batch))
            model = pull.batch[0].model
            if model is None:
                raise ValueError("a frame without a model cannot be scored")
            self._scoring += len(pull.batch)
            images = [frame.sample.image for frame in pull.batch if frame.sample is not None]
            self._engine.submit(model, images, functools.partial(self._scored, pull.batch))

    def _wait_for_linger(self, now_s: float) -> None:
        due_s = self._batcher.due_s()
        if due_s is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, due_s - now_s), self._guarded_pump)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # score ─► encode

    def _scored(self, batch: list[Frame], outcomes: list[Outcome]) -> None:
        now_s = self._clock.monotonic_s()
        self._scoring -= len(batch)
        self._batcher.observe(batch[0].model, now_s - batch[0].entered_s)
        for frame, outcome in zip(batch, outcomes, strict=True):
            self._metrics.stage_seconds("score", frame.leave("score", now_s))
            if isinstance(outcome, Refusal):
                frame.refusal = outcome
            else:
                frame.result = outcome
        self._encode([frame for frame in batch if frame.live])
        self._pump()

    def _refuse(self, frame: Frame, refusal: Refusal) -> None:
        frame.refusal = refusal
        self._pending_refusals.append(frame)

    def _encode_refusals(self) -> None:
        frames, self._pending_refusals = self._pending_refusals, []
        self._encode([frame for frame in frames if frame.live])

    def _encode(self, frames: list[Frame]) -> None:
        if frames:
            job = functools.partial(self._encode_on_worker, frames)
            self._workers.submit(job, self._encoded, urgent=True)

    def _encode_on_worker(self, frames: list[Frame]) -> list[Outgoing]:
        return [self._encoder.encode(frame) for frame in frames]

    # encode ─► sequence ─► sink

    def _encoded(self, outgoings: list[Outgoing]) -> None:
        now_s = self._clock.monotonic_s()
        for outgoing in outgoings:
            frame = outgoing.frame
            if not frame.live:
                continue
            self._metrics.stage_seconds("encode", frame.leave("encode", now_s))
            frame.value = frame.message = frame.sample = frame.result = None
            frame.reservation.shrink_to(FRAME_OVERHEAD_BYTES + outgoing.size_bytes)
            self._send(self._sequence.complete(frame.camera, frame, outgoing))
        self._pump_soon()

    def _send(self, outgoings: list[Outgoing]) -> None:
        now_s = self._clock.monotonic_s()
        for outgoing in outgoings:
            self._metrics.stage_seconds("sequence", outgoing.frame.leave("sequence", now_s))
            self.sink.put(outgoing)

    def late(self, outgoing: Outgoing) -> None:
        """Called by the sink just before it sends a verdict whose deadline has passed."""
        expired = self._encoder.refused(outgoing.frame, Refusal("expired", "late_before_send"))
        outgoing.status, outgoing.reason, outgoing.result = expired.status, expired.reason, expired.result

    def smaller(self, record: ProducedRecord) -> ProducedRecord | None:
        """Called by the sink for a record that the broker does not take."""
        return self._encoder.smaller(record)

    def send_retried(self, *, deadletter: bool) -> None:
        """Called by the sink for each attempt that failed."""
        self._metrics.send_retried("deadletter" if deadletter else "result")

    # sink ─► lease

    def delivered(self, outgoing: Outgoing) -> None:
        """Called by the sink when the broker has acknowledged everything that a frame is owed."""
        frame = outgoing.frame
        frame.lease.acknowledge(frame.source.offset)
        frame.reservation.release()
        self._metrics.stage_seconds("send", frame.leave("send", self._clock.monotonic_s()))
        self._metrics.frame_finished(frame.camera, outgoing.status, outgoing.reason)
        if outgoing.deadletter is not None:
            self._metrics.dead_letter(outgoing.reason)
        if frame.identity.captured_at is not None:
            elapsed_us = self._clock.wall_us() - frame.identity.captured_at
            self._metrics.capture_to_result(frame.camera, elapsed_us / 1e6)
        self._frames.discard(frame)
        self._progress.set()
        self.source.wake()
        self._pump_soon()

    # stop and revoke

    async def _settle(self, leases: Sequence[Lease], until_s: float) -> None:
        """Give up what no stage has begun, finish the rest without linger, and wait for it until `until_s`.

        Frames that were given up are read again by whoever has the partition next, so that a long queue does not hold up
        the whole group.
        """
        closing = set(leases)
        abandoned = set(self._to_decode.remove(lambda frame: frame.lease in closing))
        for frame in abandoned:
            frame.lease.abandon(frame.source.offset)
        self._drop(abandoned)
        self._settling += 1
        self._pump()
        while any(lease.in_flight for lease in leases) and (left_s := until_s - self._clock.monotonic_s()) > 0:
            self._progress.clear()
            try:
                async with asyncio.timeout(left_s):
                    await self._progress.wait()
            except TimeoutError:
                break
        self._settling -= 1

    def _forget(self, leases: Sequence[Lease]) -> None:
        """Drop all that is left of ended leases; what a thread or the sink still has is ignored when it comes back."""
        ended = set(leases)
        gone = {frame for frame in self._frames if frame.lease in ended}
        self._to_decode.remove(gone.__contains__)
        self._batcher.remove(gone.__contains__)
        self._drop(gone)
        self._pump_soon()

    def _drop(self, gone: set[Frame]) -> None:
        self._send(self._sequence.forget(gone.__contains__))
        self._frames -= gone
        for frame in gone:
            frame.reservation.release()

    # what is where

    def report(self) -> None:
        """Set the gauges; to be called a few times a second."""
        self._metrics.queue_depth("decode", len(self._to_decode))
        self._metrics.queue_depth("batch", len(self._batcher))
        self._metrics.queue_depth("sequence", len(self._sequence))
        self._metrics.queue_depth("send", len(self.sink))
        self._metrics.frames_in_flight(len(self._frames))
        self._metrics.bytes_in_flight(self.budget.used_bytes, self.budget.limit_bytes)
