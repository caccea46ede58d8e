"""Counts what happened to traced frames, and the headers that were ignored."""

from __future__ import annotations

from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter

TraceOutcome = Literal["exported", "queue_full", "export_failed"]
"""What became of a frame that was to be traced: the collector took its spans; too many waited; the collector did not take them in time."""


class TraceCounts:
    """The metrics of traces on one registry. Any thread may call any verb."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the series; one `TraceCounts` a registry."""
        self._frames = Counter(
            "inspector_traced_frames",
            "Frames chosen for tracing, by what happened to their spans",
            ["outcome"],
            registry=registry,
        )
        self._ignored = Counter(
            "inspector_traceparents_ignored",
            "Frames whose header traceparent was broken and ignored",
            registry=registry,
        )
        for outcome in get_args(TraceOutcome):
            self._frames.labels(outcome)

    def frames(self, number: int, outcome: TraceOutcome) -> None:
        """So many frames' spans were sent, or dropped."""
        self._frames.labels(outcome).inc(number)

    def traceparent_ignored(self) -> None:
        """A frame names its trace in a way that nobody can read."""
        self._ignored.inc()
