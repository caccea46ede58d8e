"""Prometheus metrics of the service: every series in one place, with a method for each event.

The number of labels is limited: cameras are those of the settings (all others share `other`), all other labels are fixed lists of words.
Every counter exists from the start, at zero; otherwise a rate would miss the first event.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from inspector.observe.buckets import (
    BATCH_BUCKETS,
    LATENCY_BUCKETS_S,
    OFFSET_BUCKETS_S,
    SCORE_BUCKETS,
    STAGE_BUCKETS_S,
)
from inspector.observe.models import ModelMetrics
from schemas.result import REASONS

Stage = Literal["fetch", "queue", "decode", "batch", "score", "encode", "sequence", "send"]
"""Where a frame is: its picture is fetched (fetch, where it only names it), it waits for a worker (queue), is decoded, waits for the device (batch), and so on."""
Queue = Literal["fetch", "decode", "batch", "score", "encode", "sequence", "send"]
CommitOutcome = Literal["ok", "stale", "failed"]
Output = Literal["result", "deadletter"]
AnomalyClass = Literal["ok", "nok"]
Timing = Literal["on_time", "late", "superseded", "unknown"]
"""When a verdict was acknowledged: before its frame's deadline or after it; of frames that a newer one replaced, and of those whose age nobody knows."""

OTHER_CAMERA = "other"
LETTERED = ("undecodable", "no_model", "failed")
"""Statuses whose frames get a dead letter."""


class Metrics:
    """The service's metrics on one registry. Any thread may call any verb."""

    def __init__(self, registry: CollectorRegistry, cameras: Collection[str] = ()) -> None:
        """Register every series.

        Args:
            registry: where they go; one `Metrics` a registry.
            cameras: `line_id/camera_id` of the configured cameras, the only ones with series of their own.
        """
        self.registry = registry
        self._cameras = frozenset(cameras)
        self._frames = Counter(
            "inspector_frames",
            "Frames with an acknowledged result, by status and reason",
            ["camera", "status", "reason"],
            registry=registry,
        )
        self._verdicts = Counter(
            "inspector_verdicts",
            "Acknowledged verdicts by class; a frame that was not inspected is nok",
            ["camera", "anomaly_class"],
            registry=registry,
        )
        self._answers = Counter(
            "inspector_answers",
            "Acknowledged verdicts, by whether they came before their frames' deadlines",
            ["camera", "timing"],
            registry=registry,
        )
        self._scores = Histogram(
            "inspector_anomaly_score_ratio",
            "Anomaly scores of inspected frames, divided by the threshold used; 1 or more is nok",
            ["camera"],
            buckets=SCORE_BUCKETS,
            registry=registry,
        )
        self._offset = Histogram(
            "inspector_clock_offset_seconds",
            "The inspector's clock when a frame was read, minus the frame's capture time; negative if the camera's clock is ahead",
            ["camera"],
            buckets=OFFSET_BUCKETS_S,
            registry=registry,
        )
        self._clock_alarm = Gauge(
            "inspector_camera_clock_ahead_alarm",
            "1 where a camera's frames were read before their capture stamps within the last minute, else 0",
            ["camera"],
            registry=registry,
        )
        self._ready = Gauge("inspector_ready", "1 while /readyz says so, else 0", registry=registry)
        self._build = Info("inspector_build", "What runs here", registry=registry)
        self._redelivered = Counter(
            "inspector_frames_redelivered", "Frames read again after a restart or rebalance", registry=registry
        )
        self._stage = Histogram(
            "inspector_stage_seconds",
            "Time of one frame in a stage",
            ["stage"],
            buckets=STAGE_BUCKETS_S,
            registry=registry,
        )
        self._latency = Histogram(
            "inspector_capture_to_result_seconds",
            "Time from the capture to the broker's acknowledgement of the result; it compares the clocks of two hosts",
            ["camera"],
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self._slow_decodings = Counter(
            "inspector_slow_decodings",
            "Frames whose decoding took longer than limits.slow_decoding_ms",
            ["camera"],
            registry=registry,
        )
        self._batch = Histogram("inspector_batch_frames", "Frames in a batch", buckets=BATCH_BUCKETS, registry=registry)
        self._batch_retries = Counter(
            "inspector_batches_retried", "Batches that failed and were scored again in parts", registry=registry
        )
        self._out_of_memory = Counter(
            "inspector_out_of_memory", "Batches that the device had no room for", registry=registry
        )
        self._room = Gauge(
            "inspector_batch_room_frames",
            "How many frames fit into the device's memory at once, for the model with the smallest number; max_batch_size until a batch did not fit",
            registry=registry,
        )
        self._queue = Gauge("inspector_queue_frames", "Frames waiting before a stage", ["stage"], registry=registry)
        self._capacity = Gauge(
            "inspector_capacity_frames_per_second",
            "How many frames of a camera the device would score in a second if there were no other cameras, estimated from past batches",
            ["camera"],
            registry=registry,
        )
        self._bytes = Gauge(
            "inspector_in_flight_bytes", "Encoded and decoded bytes reserved by frames", registry=registry
        )
        self._bytes_limit = Gauge("inspector_in_flight_limit_bytes", "The byte budget", registry=registry)
        self._memory_bound = Gauge(
            "inspector_memory_bound_bytes",
            "By how much memory may grow above that of the idle process, by its settings; 0 before the first assignment",
            registry=registry,
        )
        self._memory_idle = Gauge(
            "inspector_memory_idle_bytes",
            "Resident memory of the process before its first frame, with its models loaded and warmed up; 0 until then",
            registry=registry,
        )
        self._frames_in_flight = Gauge(
            "inspector_in_flight_frames", "Frames between read and commit", registry=registry
        )
        self._lag = Gauge(
            "inspector_consumer_lag_frames",
            "Frames in the broker after the committed offset; NaN until the broker has answered",
            ["partition"],
            registry=registry,
        )
        self._read_lag = Gauge(
            "inspector_read_lag_frames",
            "Frames in the broker after the last one read; NaN until the broker has answered",
            ["partition"],
            registry=registry,
        )
        self._stalled = Gauge(
            "inspector_partition_stalled_seconds",
            "For how long a partition has had records, but none was read",
            ["partition"],
            registry=registry,
        )
        self._foreign_results = Counter(
            "inspector_foreign_results",
            "Results that another deployment wrote for a camera of this one, among those that were looked at; more than zero is a fault",
            ["camera"],
            registry=registry,
        )
        self._heartbeats = Counter(
            "inspector_heartbeats", "Verdicts on the models' own pictures, by status", ["status"], registry=registry
        )
        self._read_errors = Counter(
            "inspector_read_errors", "Reads that failed and were tried again", registry=registry
        )
        self._assigned = Gauge("inspector_assigned_partitions", "Partitions that this process reads", registry=registry)
        self._rebalances = Counter("inspector_rebalances", "Assignments received from the group", registry=registry)
        self._commits = Counter("inspector_commits", "Offset commits, by outcome", ["outcome"], registry=registry)
        self._send_retries = Counter(
            "inspector_sends_retried", "Sends that failed and were tried again", ["output"], registry=registry
        )
        self._deadletters = Counter("inspector_deadletters", "Dead letters, by reason", ["reason"], registry=registry)
        self._loop_lag = Gauge(
            "inspector_event_loop_lag_seconds", "How late the event loop ran its last heartbeat", registry=registry
        )
        self.models = ModelMetrics(registry)
        """What judges each camera."""
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        for camera in (*self._cameras, OTHER_CAMERA):
            for status, reasons in REASONS.items():
                for reason in reasons:
                    self._frames.labels(camera, status, reason)
            for anomaly_class in get_args(AnomalyClass):
                self._verdicts.labels(camera, anomaly_class)
            for timing in get_args(Timing):
                self._answers.labels(camera, timing)
            for family in (
                self._slow_decodings,
                self._scores,
                self._offset,
                self._latency,
                self._clock_alarm,
                self._foreign_results,
            ):
                family.labels(camera)
        words = (
            (self._stage, get_args(Stage)),
            (self._heartbeats, REASONS),
            (self._commits, get_args(CommitOutcome)),
            (self._send_retries, get_args(Output)),
        )
        for labelled, values in words:
            for value in values:
                labelled.labels(value)
        for reason in {reason for status, reasons in REASONS.items() if status in LETTERED for reason in reasons}:
            self._deadletters.labels(reason)

    def _camera(self, camera: str) -> str:
        return camera if camera in self._cameras else OTHER_CAMERA

    def frame_finished(self, camera: str, status: str, reason: str = "none") -> None:
        """A frame's result was acknowledged. `status` and `reason` are the closed sets of `DLResultMessage`."""
        self._frames.labels(self._camera(camera), status, reason).inc()

    def heartbeat(self, status: str) -> None:
        """The verdict on a model's own picture was acknowledged."""
        self._heartbeats.labels(status).inc()

    def verdict(self, camera: str, anomaly_class: AnomalyClass, score_ratio: float | None) -> None:
        """A verdict was acknowledged; `score_ratio` is its score over its threshold, None where the frame was not inspected."""
        self._verdicts.labels(self._camera(camera), anomaly_class).inc()
        if score_ratio is not None:
            self._scores.labels(self._camera(camera)).observe(score_ratio)

    def answered(self, camera: str, timing: Timing) -> None:
        """A verdict was acknowledged, in time or not."""
        self._answers.labels(self._camera(camera), timing).inc()

    def clock_offset(self, camera: str, seconds: float) -> None:
        """A frame was read so long after its capture stamp; negative: before it."""
        self._offset.labels(self._camera(camera)).observe(seconds)

    def clock_alarm(self, camera: str, *, on: bool) -> None:
        """A camera's clock is ahead of ours, or is so no longer."""
        self._clock_alarm.labels(self._camera(camera)).set(on)

    def memory_bound(self, size_bytes: int) -> None:
        """Memory may grow so far with the present assignment."""
        self._memory_bound.set(size_bytes)

    def memory_idle(self, size_bytes: float) -> None:
        """The process has so much memory before its first frame: what `memory_bound` is counted from."""
        self._memory_idle.set(size_bytes)

    def ready_when(self, ready: Callable[[], bool]) -> None:
        """Ask `ready` at each scrape. It is called on the thread that answers."""
        self._ready.set_function(lambda: float(ready()))

    def build(self, **facts: str) -> None:
        """Say what runs here: the version, the device."""
        self._build.info(facts)

    def duplicate_delivery(self) -> None:
        """A frame was read that this process, or another, had read before."""
        self._redelivered.inc()

    def stage_seconds(self, stage: Stage, seconds: float) -> None:
        """A frame left a stage after so long."""
        self._stage.labels(stage).observe(seconds)

    def capture_to_result(self, camera: str, seconds: float, exemplar: dict[str, str] | None = None) -> None:
        """A result was acknowledged so long after its frame's capture stamp; clocks that disagree count as zero.

        `exemplar`: whose frame it was, for the bucket that it falls into; up to 128 characters.
        """
        self._latency.labels(self._camera(camera)).observe(max(0.0, seconds), exemplar)

    def slow_decoding(self, camera: str) -> None:
        """A frame has been decoded for longer than it should."""
        self._slow_decodings.labels(self._camera(camera)).inc()

    def batch(self, size: int) -> None:
        """A batch with this many frames went to the device."""
        self._batch.observe(size)

    def batch_retried(self) -> None:
        """A batch failed and is scored again in parts."""
        self._batch_retries.inc()

    def out_of_memory(self) -> None:
        """The device had no room for a batch."""
        self._out_of_memory.inc()

    def batch_room(self, frames: int) -> None:
        """The device has enough memory for this many frames at once."""
        self._room.set(frames)

    def capacity(self, camera: str, frames_per_s: float) -> None:
        """The device could score this many frames of a camera per second; known after its model's first batch."""
        self._capacity.labels(self._camera(camera)).set(frames_per_s)

    def queue_depths(self, **frames: int) -> None:
        """So many frames wait before each of these stages, named as `Queue` does."""
        for stage, waiting in frames.items():
            self._queue.labels(stage).set(waiting)

    def bytes_in_flight(self, reserved: int, limit: int | None = None) -> None:
        """So many bytes are reserved, of a budget of `limit`."""
        self._bytes.set(reserved)
        if limit is not None:
            self._bytes_limit.set(limit)

    def frames_in_flight(self, frames: int) -> None:
        """So many frames lie between read and commit."""
        self._frames_in_flight.set(frames)

    def lag(self, partition: int, *, uncommitted: int, unread: int) -> None:
        """So many frames of a partition are still to be committed, and to be read."""
        self._lag.labels(str(partition)).set(max(0, uncommitted))
        self._read_lag.labels(str(partition)).set(max(0, unread))

    def partition_stalled(self, partition: int, seconds: float) -> None:
        """A partition has had records for so long, and none was read."""
        self._stalled.labels(str(partition)).set(seconds)

    def foreign_results(self, camera: str, number: int) -> None:
        """So many results of a camera were found that another deployment wrote."""
        self._foreign_results.labels(self._camera(camera)).inc(number)

    def read_failed(self) -> None:
        """A read failed and is tried again."""
        self._read_errors.inc()

    def assigned(self, partitions: Collection[int]) -> None:
        """The group gave this process these partitions, whose lag is still to be told; all others are forgotten."""
        self._rebalances.inc()
        self._assigned.set(len(partitions))
        for family in (self._lag, self._read_lag, self._stalled):
            family.clear()
        for number in partitions:
            self._lag.labels(str(number)).set(math.nan)
            self._read_lag.labels(str(number)).set(math.nan)
            self._stalled.labels(str(number)).set(0)

    def commit(self, outcome: CommitOutcome) -> None:
        """Offsets were committed, refused as stale, or not taken by the broker."""
        self._commits.labels(outcome).inc()

    def send_retried(self, output: Output) -> None:
        """A result or dead letter was not acknowledged and is sent again."""
        self._send_retries.labels(output).inc()

    def dead_letter(self, reason: str) -> None:
        """A dead letter was acknowledged."""
        self._deadletters.labels(reason).inc()

    def loop_lag(self, seconds: float) -> None:
        """The event loop ran its heartbeat so much later than asked."""
        self._loop_lag.set(max(0.0, seconds))
