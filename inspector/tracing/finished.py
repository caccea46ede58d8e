"""What is kept of an answered frame to make spans from: times and words, but no picture and no model."""

from __future__ import annotations

from typing import NamedTuple

from inspector.inflight.frame import Outgoing
from inspector.observe import fields
from schemas import TraceContext


class FinishedFrame(NamedTuple):
    """A frame whose verdict the broker has acknowledged."""

    context: TraceContext
    """Its own span, in its trace."""
    parent_id: str | None
    """The span of the sender that it belongs under."""
    ended_at_us: int
    """When its verdict was acknowledged (microseconds UTC)."""
    stage_seconds: dict[str, float]
    """In the order in which it went through them, one after the other without a gap."""
    attributes: dict[str, str | int | float]
    fault: str | None
    """Why it was not inspected; None where it was."""


def finished_frame(outgoing: Outgoing, context: TraceContext, wall_us: int) -> FinishedFrame:
    """Return what spans are made of, for a verdict that is acknowledged now."""
    frame = outgoing.frame
    model = None if frame.route is None else frame.route.reference
    values = {
        fields.STATUS: outgoing.status,
        fields.REASON: outgoing.reason,
        fields.ANOMALY_CLASS: outgoing.anomaly_class,
        fields.SCORE_RATIO: outgoing.score_ratio,
        fields.MODEL: None if model is None else model.name,
        fields.MODEL_VERSION: None if model is None else model.version,
        fields.MODEL_DIGEST: None if model is None else model.digest,
        fields.BATCH_SIZE: frame.batch_size,
    }
    attributes: dict[str, str | int | float] = {
        **fields.frame_fields(frame),
        **{name: value for name, value in values.items() if value is not None},
    }
    attributes.pop(fields.TRACE_ID, None)  # a span has its own place for it
    fault = None if outgoing.status == "inspected" else outgoing.reason
    return FinishedFrame(context, frame.parent_span_id, wall_us, frame.stage_seconds, attributes, fault)
