"""Turns finished frames into OpenTelemetry's spans: one for the frame, and under it one for each stage. On the exporter's thread.

`ReadableSpan` is built directly, not by the SDK's tracer: the frame is finished, the id of its span is known (its result carries it), and nine spans
from the tracer take many times as long. The tests decode what a collector receives.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from inspector.observe import fields
from inspector.tracing.finished import FinishedFrame

FRAME_SPAN = "inspect"
"""The name of a frame's span; those of its stages are called after them."""
SCOPE = "inspector.tracing"

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_FINE, _FAULT = Status(), StatusCode.ERROR


def process_resource(service_name: str, *, version: str, deployment: str) -> Resource:
    """Return what is the same in all spans of this process; the variable OTEL_RESOURCE_ATTRIBUTES may add to it."""
    return Resource.create(
        {
            "service.name": service_name,
            "service.version": version,
            "service.instance.id": f"{platform.node()}:{os.getpid()}",
            "deployment": deployment,
        }
    )


class SpanMaker:
    """Makes the spans of one process."""

    def __init__(self, resource: Resource, version: str) -> None:
        """Make spans of `resource`."""
        self._resource = resource
        self._scope = InstrumentationScope(SCOPE, version)

    def spans(self, frame: FinishedFrame) -> Iterator[ReadableSpan]:
        """Make the spans of a frame, its own first."""
        trace_id, state = int(frame.context.trace_id, 16), _state(frame.context.state)
        ended_ns = frame.ended_at_us * 1000
        begun_ns = ended_ns - sum(map(_nanoseconds, frame.stage_seconds.values()))
        own = SpanContext(
            trace_id, int(frame.context.span_id, 16), is_remote=False, trace_flags=_SAMPLED, trace_state=state
        )
        sender = None
        if frame.parent_id is not None:
            sender = SpanContext(
                trace_id, int(frame.parent_id, 16), is_remote=True, trace_flags=_SAMPLED, trace_state=state
            )
        yield ReadableSpan(
            FRAME_SPAN,
            own,
            sender,
            self._resource,
            frame.attributes,
            kind=SpanKind.CONSUMER,
            status=_FINE if frame.fault is None else Status(_FAULT, frame.fault),
            start_time=begun_ns,
            end_time=ended_ns,
            instrumentation_scope=self._scope,
        )
        for stage, seconds in frame.stage_seconds.items():
            stage_ended_ns = begun_ns + _nanoseconds(seconds)
            yield ReadableSpan(
                stage,
                SpanContext(
                    trace_id, int.from_bytes(os.urandom(8)), is_remote=False, trace_flags=_SAMPLED, trace_state=state
                ),
                own,
                self._resource,
                {fields.STAGE: stage},
                start_time=begun_ns,
                end_time=stage_ended_ns,
                instrumentation_scope=self._scope,
            )
            begun_ns = stage_ended_ns


def _state(text: str | None) -> TraceState:
    """Return the trace's state as far as OpenTelemetry understands it."""
    return TraceState() if text is None else TraceState.from_header([text])


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
