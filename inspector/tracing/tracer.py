"""Decides which frames are traced, and hands them over once they are answered. Does not load OpenTelemetry by itself."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from prometheus_client import CollectorRegistry

from inspector.inflight.frame import Outgoing
from inspector.settings.settings import Settings
from inspector.tracing.counts import TraceCounts
from inspector.tracing.finished import FinishedFrame, finished_frame
from schemas import SchemaError, TraceContext, trace_from_headers

_RATIO_BITS = 64
_TRACE_ID_BYTES, _SPAN_ID_BYTES = 16, 8


class Exporter(Protocol):
    """Where finished frames go."""

    def put(self, frame: FinishedFrame) -> None:
        """Take a frame or drop it; never waits, never raises."""
        ...

    def start(self) -> None:
        """Send from now on."""
        ...

    def stop(self, timeout_s: float) -> bool:
        """Send what waits, within so many seconds; return whether its thread has ended."""
        ...


class Joined(NamedTuple):
    """A frame's place among traces."""

    context: TraceContext | None = None
    """What its result hands on; None: it belongs to no trace."""
    parent_id: str | None = None
    """The sender's span, where the frame has one of its own."""


class Tracer:
    """Off where it has no exporter: then a frame's trace is handed on to its result as it came. Event loop only."""

    def __init__(self, counts: TraceCounts, exporter: Exporter | None = None, *, sample_ratio: float = 0.0) -> None:
        """Send to `exporter`, which `start` starts, the share `sample_ratio` (0 to 1) of the frames that belong to no trace yet."""
        self._counts = counts
        self._exporter = exporter
        self._bound = round(sample_ratio * 2**_RATIO_BITS)

    def start(self) -> None:
        """Send from now on."""
        if self._exporter is not None:
            self._exporter.start()

    def stop(self, timeout_s: float) -> bool:
        """Send what waits, within so many seconds; return whether nothing runs any more. Any thread."""
        return self._exporter is None or self._exporter.stop(timeout_s)

    def join(self, headers: Sequence[tuple[str, bytes | None]]) -> Joined:
        """Find the trace of a frame that was just read: its sender's, a new one if its turn has come, or none. Never raises.

        The sender's word about sampling holds (W3C's `sampled` flag), as OpenTelemetry's parent-based sampler has it. A new trace is
        sampled by its own random id, as by the ratio-based sampler.
        """
        try:
            sender = trace_from_headers(headers)
        except SchemaError:
            self._counts.traceparent_ignored()
            sender = None
        if self._exporter is None:
            return Joined(sender)
        if sender is not None:
            if not sender.is_sampled:
                return Joined(sender)
            return Joined(sender._replace(span_id=os.urandom(_SPAN_ID_BYTES).hex()), sender.span_id)
        if not self._bound:
            return Joined()
        ids = os.urandom(_TRACE_ID_BYTES + _SPAN_ID_BYTES)
        trace_id, span_id = ids[:_TRACE_ID_BYTES], ids[_TRACE_ID_BYTES:]
        if int.from_bytes(trace_id[-_RATIO_BITS // 8 :]) >= self._bound:
            return Joined()
        return Joined(TraceContext(trace_id.hex(), span_id.hex(), is_sampled=True))

    def delivered(self, outgoing: Outgoing, wall_us: int) -> None:
        """Hand over the times of a frame whose verdict is acknowledged now, if it is traced. A frame that is given up is traced by who answers it."""
        context = outgoing.frame.trace
        if self._exporter is not None and context is not None and context.is_sampled:
            self._exporter.put(finished_frame(outgoing, context, wall_us))


def make_tracer(settings: Settings, registry: CollectorRegistry, *, version: str) -> Tracer:
    """Return the tracer that `[tracing]` asks for, with its metrics on `registry`.

    Raises:
        MissingExtraError: It asks for traces, and OpenTelemetry is not installed.
    """
    counts = TraceCounts(registry)
    if settings.tracing.traces_url is None:
        return Tracer(counts)
    from inspector.tracing.export import OtlpExporter  # noqa: PLC0415 only where traces are asked for

    exporter = OtlpExporter(settings.tracing, counts, deployment=settings.deployment_name, version=version)
    return Tracer(counts, exporter, sample_ratio=settings.tracing.sample_ratio)
