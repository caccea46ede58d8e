"""The flow of a frame through the service. Only this module knows the order of the stages; they do not know each other.

    source ─► admit ─► (fetch) ─► decode ─► batch ─► score ─► encode ─► sequence ─► sink ─► lease

Every stage pulls: whenever something becomes free, `_pump` moves frames on, beginning with the last stage. Everything runs on
the event loop, except for the jobs that `Workers` and `Engine` run on their threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from inspector.anomaly.types import DLSample
from inspector.bus.ports import ConsumedRecord, ProducedRecord
from inspector.inflight.budget import FRAME_OVERHEAD_BYTES, Budget, largest_decoding_bytes, partitions_to_read
from inspector.inflight.frame import Frame, Outgoing, Refusal
from inspector.inflight.lease import Lease
from inspector.inflight.pace import Pace
from inspector.loop.pump import Pump
from inspector.loop.threads import decode_threads, device_threads
from inspector.observe.clocks import ClockWatch
from inspector.observe.metrics import Stage
from inspector.parts import Parts
from inspector.settings.settings import Settings
from inspector.stages.admit import Admission, image_limits
from inspector.stages.batch import Batcher
from inspector.stages.decode import DecodeStage, decode_frame, tell_slow
from inspector.stages.encode import Encoder
from inspector.stages.fetch import FetchStage
from inspector.stages.heartbeat import Heartbeats
from inspector.stages.score import Outcome
from inspector.stages.sequence import Sequencer
from inspector.stages.shadow import ShadowStage
from inspector.stages.sink import Sink, count_delivery
from inspector.stages.source import Source
from inspector.stages.standstill import Standstill

FRESH = 0.9
"""A frame that has more of its time left than this is decoded, whatever is expected of the device."""


class Pipeline:
    """All stages, and the order in which a frame goes through them. Event loop only."""

    def __init__(self, settings: Settings, parts: Parts) -> None:
        """Connect the stages; nothing moves before `source.start`."""
        limits, batching = settings.limits, settings.batching
        self._clock, self._metrics, self._engine = parts.clock, parts.metrics, parts.engine
        self._workers, self._tracer, self._registry = parts.workers, parts.tracer, parts.registry
        self._frames: set[Frame] = set()  # everything between source and lease
        self._refused: list[Frame] = []
        self._scoring, self._draining = 0, False
        self._pump_later = Pump(self._pump, parts.on_crash)
        self._slow_decoding_s = limits.slow_decoding_ms / 1000
        cameras, clock = [camera.key for camera in settings.cameras], parts.clock
        self._clocks = ClockWatch(parts.metrics, cameras, wall_us=clock.wall_us, monotonic_s=clock.monotonic_s)
        self.budget = Budget(limits.max_bytes_in_flight)
        self.standstill = Standstill(settings, self.budget, parts.registry, parts.clock)
        self.source = Source(
            parts.consumer,
            self,
            cap=limits.max_frames_in_flight,
            choose=partial(partitions_to_read, settings, self.budget),
            clock=parts.clock,
            metrics=parts.metrics,
            drain_timeout_s=settings.drain_timeout_s,
        )
        self._admission = Admission(
            limits,
            default_budget_us=settings.deadline.default_budget_ms * 1000,
            largest_decoding_bytes=largest_decoding_bytes(settings),
            find_route=parts.registry.route,
            saw=parts.registry.saw,
            find_place=parts.store.find,
            budget=self.budget,
            clock=parts.clock,
            join_trace=parts.tracer.join,
        )
        self._fetcher = FetchStage(
            settings,
            parts.store,
            budget=self.budget,
            is_idle=lambda: self._has_no_frames() and not self._scoring,
            on_fetched=self._fetched,
            on_crash=parts.on_crash,
            clock=parts.clock,
        )
        self._batcher: Batcher[Frame] = Batcher(
            max_size=batching.max_batch_size,
            linger_s=batching.linger_s,
            inputs=lambda frame: 1 if frame.model is None else frame.model.inputs_per_picture,
            slots=parts.engine.free_slots,
            room=lambda frame: parts.engine.room.limit(frame.model),
            weight=lambda frame: frame.weight,
            freshest=lambda frame: frame.freshest_first,
            order=lambda frame: frame.number,
        )
        self._decoder = DecodeStage(
            ahead=max(2, device_threads(settings)) * batching.max_batch_size + decode_threads(settings),
            workers=decode_threads(settings),
            heavy_bytes=largest_decoding_bytes(settings),
            limits=image_limits(limits),
            submit=parts.workers.submit,
            on_decoded=self._decoded,
            clock=parts.clock,
            cost=self._batcher.cost,
            freshest=lambda frame: frame.freshest_first,
        )
        self._encoder = Encoder(
            settings.topics,
            keep_value=settings.deadletter_bytes,
            max_deadletter_bytes=limits.max_message_bytes,
            clock=parts.clock,
            deployment=settings.deployment_name,
        )
        self._sequence: Sequencer[Frame, Outgoing] = Sequencer()
        self._decode_pace = Pace()
        self.sink = Sink(parts.producer, self, parts.clock)
        self.shadow: ShadowStage | None = None  # where releases are off
        if parts.shadow is not None:
            self.shadow = ShadowStage(
                parts.shadow,
                max_bytes=settings.releases.shadow_bytes,
                find=parts.registry.shadow,
                is_idle=self._may_shadow,
                shortest_budget_s=lambda: parts.registry.shortest_budget_s,
                decode=lambda trial: decode_frame(trial.message, trial.route.model, image_limits(limits)),
                encode=self._encoder.shadow,
                device=parts.engine,
                wake=self._pump_later.soon,
                clock=parts.clock,
            )
        held, partition_for = self.source.partitions, parts.producer.partition_for
        self.heartbeats = Heartbeats(
            settings, lambda: parts.registry.routes, self.beat, self.budget, held, partition_for, parts.clock
        )

    def _pump(self) -> None:
        """Move on whatever can move, from the end to the front, so that nothing new starts before what is nearly done."""
        self._score()
        self._decode()
        self._fetcher.start()
        self._encode_refused()
        if self.shadow is not None:
            self.shadow.start()

    def _has_no_frames(self) -> bool:
        return self._decoder.is_idle and not len(self._batcher)

    def _may_shadow(self) -> bool:
        """Whether a model on trial may have the device: no frame waits, and one that comes now finds a free slot, or an idle device."""
        free = self._engine.free_slots - bool(self._scoring)
        return free > 0 and self._has_no_frames() and not self._draining

    # source ─► admit

    def read(self, lease: Lease, records: Sequence[ConsumedRecord]) -> None:
        """Called by the source: each record becomes a frame with a place in its camera's order."""
        for record in records:
            frame = self._admission.admit(record, lease)
            if frame.identity.captured_at is not None:
                self._clocks.read(frame.camera, frame.identity.captured_at)
            self._frames.add(frame)
            self._sequence.open(frame.camera, frame)
            if frame.refusal is not None:
                frame.stage = "encode"
                self._refused.append(frame)
            elif frame.claim is not None:
                frame.stage = "fetch"
                self._fetcher.push(frame)
            else:
                self._decoder.push(frame)
        self._pump()

    def beat(self, frame: Frame) -> None:
        """Take in a heartbeat, which needs no admission: from here on it goes the way of every frame."""
        self._frames.add(frame)
        self._sequence.open(frame.camera, frame)
        self._decoder.push(frame)
        self._pump()

    # admit ─► fetch ─► decode

    def _fetched(self, frame: Frame, refusal: Refusal | None) -> None:
        now_s = self._clock.monotonic_s()
        refusal = refusal or self._admission.check_picture(frame)
        if refusal is not None:
            self._refuse(frame, refusal, now_s)
        elif frame.live:
            self._enter(frame, "queue", now_s)
            self._decoder.push(frame)
        self._pump_later.soon()

    # admit ─► decode

    def _decode(self) -> None:
        now_s = self._clock.monotonic_s()
        started = self._decoder.start(
            decoded=len(self._batcher),
            scoring=self._scoring,
            now_s=now_s,
            needed_s=self._needed_s,
            decoded_of=self._batcher.count_of,
        )
        for frame in started.late:
            self._refuse(frame, Refusal("expired", "late_before_decode"), now_s)
        for frame in started.superseded:
            self._refuse(frame, Refusal("expired", "superseded"), now_s)
        for frame in started.frames:
            self._enter(frame, "decode", now_s)
        if self.shadow is not None:
            self.shadow.offer(started.frames)

    def _needed_s(self, frame: Frame) -> float:
        """Return the seconds that a frame still needs before its decoding; none while the device would wait for it.

        Less than the time that it had when it came: estimates err, and a fresh frame always has its chance.
        """
        if not self._batcher.full(frame):
            return 0.0
        needed_s = self._decode_pace.expected_s(1) + self._batcher.wait_s(frame)
        return min(needed_s, FRESH * max(0.0, frame.deadline_s - frame.entered_s))

    # decode ─► batch

    def _decoded(self, frame: Frame, outcome: DLSample | Refusal) -> None:
        now_s = self._clock.monotonic_s()
        self._decode_pace.observe(1, now_s - frame.entered_s)
        if isinstance(outcome, Refusal):
            self._refuse(frame, outcome, now_s)
        elif frame.live:
            self._enter(frame, "batch", now_s)
            self._batcher.push(frame, now_s)
        self._pump_later.soon()

    # batch ─► score

    def _score(self) -> None:
        self._pump_later.after(None)
        while self._engine.free_slots > 0:
            now_s = self._clock.monotonic_s()
            pull = self._batcher.pull(now_s, slots=self._engine.shares, linger=not self._draining)
            for frame in pull.expired:
                self._refuse(frame, Refusal("expired", "late_before_score"), now_s)
            for frame in pull.superseded:
                self._refuse(frame, Refusal("expired", "superseded"), now_s)
            if not pull.batch:
                due_s = self._batcher.due_s()
                self._pump_later.after(None if due_s is None else due_s - now_s)
                return
            for frame in pull.batch:
                self._enter(frame, "score", now_s)
            self._submit(pull.batch, now_s)

    def _submit(self, batch: list[Frame], now_s: float) -> None:
        model = batch[0].model
        images = [frame.sample.image for frame in batch if frame.sample is not None]
        if model is None or len(images) != len(batch):
            raise ValueError("a frame without a model or a picture cannot be scored")
        self._scoring += len(batch)
        self._metrics.batch(len(batch))
        self._engine.submit(model, images, partial(self._scored, batch, None if self._engine.is_trying else now_s))

    # score ─► encode

    def _scored(self, batch: list[Frame], begun_s: float | None, outcomes: list[Outcome]) -> None:
        now_s = self._clock.monotonic_s()
        self._scoring -= len(batch)
        if begun_s is not None:  # else it may have waited for a model on trial, which is no part of its pace
            self._batcher.observe(batch[0].model, len(batch), now_s - begun_s)
            for camera, frame in {frame.camera: frame for frame in batch if not frame.is_heartbeat}.items():
                self._metrics.capacity(camera, self._batcher.capacity_per_s(frame))
        for frame, outcome in zip(batch, outcomes, strict=True):
            self._enter(frame, "encode", now_s)
            frame.scored(outcome, batch_size=len(batch))
        self._encode(batch)
        self._pump_later.soon()

    def _refuse(self, frame: Frame, refusal: Refusal, now_s: float) -> None:
        self._enter(frame, "encode", now_s)
        frame.refusal = refusal
        self._refused.append(frame)

    def _encode_refused(self) -> None:
        frames, self._refused = self._refused, []
        self._encode(frames)

    def _encode(self, frames: list[Frame]) -> None:
        live = [frame for frame in frames if frame.live]
        if live:
            encodings = [partial(self._encoder.encode, frame) for frame in live]
            self._workers.submit_each(encodings, self._encoded, urgent=True)

    # encode ─► sequence ─► sink

    def _encoded(self, outgoings: list[Outgoing]) -> None:
        now_s = self._clock.monotonic_s()
        for outgoing in outgoings:
            frame = outgoing.frame
            if frame.live:
                self._enter(frame, "sequence", now_s)
                frame.value = frame.message = frame.sample = frame.result = None
                frame.reservation.shrink_to(FRAME_OVERHEAD_BYTES + outgoing.size_bytes)
                self._send(self._sequence.complete(frame.camera, frame, outgoing), now_s)
        self._pump_later.soon()

    def _send(self, outgoings: list[Outgoing], now_s: float) -> None:
        for outgoing in outgoings:
            self._enter(outgoing.frame, "send", now_s)
            self.sink.put(outgoing)

    def late(self, outgoing: Outgoing) -> None:
        """Called by the sink just before it sends a verdict whose deadline has passed."""
        outgoing.say_instead(self._encoder.refused(outgoing.frame, Refusal("expired", "late_before_send")))

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
        self._frames.discard(frame)
        self._enter(frame, None, self._clock.monotonic_s())
        if (after_s := outgoing.after_score_s) is not None:
            self._batcher.observe_after(frame.camera, after_s)
        count_delivery(self._metrics, outgoing, wall_us := self._clock.wall_us())
        self._tracer.delivered(outgoing, wall_us)
        self.standstill.delivered(frame)
        self.source.wake()
        self._pump_later.soon()

    # stop and revoke

    def closing(self, leases: Sequence[Lease]) -> None:
        """Called by the source: give up what no stage has begun, and finish the rest without linger.

        What is given up is read again by whoever has the partition next; so a long queue does not hold up the group. A
        refusal that waits behind it is given up too, or it would be sent before it.
        """
        closing = {frame for frame in self._frames if frame.lease in leases}
        waiting = {*self._fetcher.remove(closing.__contains__), *self._decoder.remove(closing.__contains__)}
        abandoned = set(self._sequence.cut(waiting.__contains__))
        for frame in abandoned:
            frame.lease.abandon(frame.source.offset)
        self._drop(abandoned)
        self._draining = True
        self._pump()

    def ended(self, leases: Sequence[Lease]) -> None:
        """Called by the source: drop all that is left; what a thread or the sink still has is ignored when it is back."""
        gone = {frame for frame in self._frames if frame.lease in leases}
        self._send(self._sequence.forget(gone.__contains__), self._clock.monotonic_s())
        self._drop(gone)
        self._draining = False
        self._pump_later.soon()

    def _drop(self, gone: set[Frame]) -> None:
        self._fetcher.forget(gone.__contains__)
        self._decoder.remove(gone.__contains__)
        self._batcher.remove(gone.__contains__)
        self._refused = [frame for frame in self._refused if frame not in gone]
        self._frames -= gone
        for frame in gone:
            frame.reservation.release()
            self._enter(frame, None, self._clock.monotonic_s())

    # what is seen from outside

    def _enter(self, frame: Frame, stage: Stage | None, now_s: float) -> None:
        """Move a frame to another stage; the time that it spent in the one before counts, whatever becomes of it.

        One that has left for good (given up, or its lease ended) enters nothing any more when a thread hands it back.
        """
        if frame.stage is not None:
            self._metrics.stage_seconds(frame.stage, frame.enter(stage, now_s))

    def report(self) -> None:
        """Set the gauges, and tell of frames that are decoded for too long; to be called a few times a second."""
        self._clocks.look()
        for frame, seconds in self._decoder.slow(self._clock.monotonic_s(), self._slow_decoding_s):
            self._metrics.slow_decoding(frame.camera)
            tell_slow(frame, seconds)
        self.standstill.look(self._frames, len(self.sink))
        models = self._registry.models | {frame.model for frame in self._frames}
        self._batcher.forget_all_but(models)
        self._engine.room.forget_all_but(models)
        self._metrics.queue_depths(fetch=len(self._fetcher), decode=len(self._decoder), batch=len(self._batcher))
        self._metrics.queue_depths(score=self._scoring, sequence=len(self._sequence), send=len(self.sink))
        self._metrics.frames_in_flight(len(self._frames))
        self._metrics.bytes_in_flight(self.budget.used_bytes, self.budget.limit_bytes)
