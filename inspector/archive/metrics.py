"""Prometheus metrics of the archive. The number of labels is limited: all cameras that are not configured share `other`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

from inspector.bus.ports import Partition
from inspector.observe.metrics import CommitOutcome

Outcome = Literal["stored", "unsampled", "repeat", "simulated", "nameless", "odd_time", "gone", "unreadable", "dropped"]
"""What became of a result: its picture is stored, or is not of the sample; a result of the same frame came before; it is simulated;
its frame is not named; its stamps are days apart; its frame is no longer in the topic; result or frame cannot be read; the storage
was away for too long."""

OTHER_CAMERA = "other"


class ArchiveMetrics:
    """The archive's metrics on one registry. Any thread may call any verb."""

    def __init__(self, registry: CollectorRegistry, cameras: Collection[str] = ()) -> None:
        """Register every series; `cameras` (`line_id/camera_id`) have series of their own."""
        self._cameras = frozenset(cameras)
        self._results = Counter(
            "inspector_archive_results",
            "Results by what happened to their pictures; gone, unreadable and dropped are losses",
            ["camera", "outcome"],
            registry=registry,
        )
        self._bytes = Counter(
            "inspector_archive_stored_bytes", "Bytes of pictures that were stored", ["camera"], registry=registry
        )
        self._removed = Counter("inspector_archive_removed", "Pictures removed, by why", ["why"], registry=registry)
        self._missing = Counter(
            "inspector_archive_results_missing",
            "Frames that had no result when archive.missing_after_s was over; counted by the process that reads all results",
            registry=registry,
        )
        self._late = Counter(
            "inspector_archive_results_late",
            "Results that arrived after their frame was counted as missing",
            registry=registry,
        )
        self._failing = Gauge(
            "inspector_archive_storage_failing", "1 while pictures cannot be stored, else 0", registry=registry
        )
        self._lag = Gauge(
            "inspector_archive_unread_results",
            "Results that are still to be read",
            ["topic", "partition"],
            registry=registry,
        )
        self._commits = Counter(
            "inspector_archive_commits", "Offset commits, by outcome", ["outcome"], registry=registry
        )
        self._ready = Gauge("inspector_archive_ready", "1 while /readyz says so, else 0", registry=registry)
        self._loop_lag = Gauge(
            "inspector_archive_event_loop_lag_seconds",
            "By how much the event loop's last beat was late",
            registry=registry,
        )
        for camera in (*self._cameras, OTHER_CAMERA):
            self._bytes.labels(camera)
            for outcome in get_args(Outcome):
                self._results.labels(camera, outcome)
        for why in ("sample", "retention"):
            self._removed.labels(why)
        for outcome in get_args(CommitOutcome):
            self._commits.labels(outcome)

    def _camera(self, camera: str) -> str:
        return camera if camera in self._cameras else OTHER_CAMERA

    def result(self, camera: str, outcome: Outcome) -> None:
        """A result was dealt with."""
        self._results.labels(self._camera(camera), outcome).inc()

    def stored(self, camera: str, num_bytes: int) -> None:
        """A picture was stored."""
        self._results.labels(self._camera(camera), "stored").inc()
        self._bytes.labels(self._camera(camera)).inc(num_bytes)

    def removed(self, why: Literal["sample", "retention"], number: int) -> None:
        """Pictures fell out of their day's sample, or were removed for age or bytes."""
        self._removed.labels(why).inc(number)

    def missing(self) -> None:
        """A frame had no result in time."""
        self._missing.inc()

    def late(self) -> None:
        """A result came after all."""
        self._late.inc()

    def storage_fails(self, *, on: bool) -> None:
        """The storage does not take pictures, or does again."""
        self._failing.set(on)

    def unread(self, partitions: Mapping[Partition, int]) -> None:
        """So many results of each partition are still to be read; partitions that are not named are another process's."""
        self._lag.clear()
        for (topic, number), count in partitions.items():
            self._lag.labels(topic, str(number)).set(count)

    def commit(self, outcome: CommitOutcome) -> None:
        """Offsets were committed, refused as stale, or not taken by the broker."""
        self._commits.labels(outcome).inc()

    def ready_when(self, ready: Callable[[], bool]) -> None:
        """Ask `ready` at each scrape, on the thread that answers."""
        self._ready.set_function(lambda: float(ready()))

    def loop_lag(self, seconds: float) -> None:
        """The event loop ran its heartbeat so much later than asked."""
        self._loop_lag.set(max(0.0, seconds))
