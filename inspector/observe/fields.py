"""The field names by which a frame can be found again, in one place: log lines, spans and exemplars share them.

If a wire message has the same field, it has the same name, so that a value from a log can be searched for on a topic. docs/logs.md
explains each field.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from schemas import Identity, RecordSource, TraceContext, result_id_of

LINE_ID, CAMERA_ID, PART_ID, SEQ = "line_id", "camera_id", "part_id", "seq"
RESULT_ID = "result_id"
TOPIC, PARTITION, OFFSET = "topic", "partition", "offset"
TRACE_ID = "trace_id"

CAMERA_FIELDS = (LINE_ID, CAMERA_ID)
FRAME_FIELDS = (LINE_ID, CAMERA_ID, PART_ID, SEQ, RESULT_ID, TOPIC, PARTITION, OFFSET)
"""Whose picture, and which record; of a record that could not be read, what is known."""

STATUS, REASON, DETAIL = "status", "reason", "detail"
ANOMALY_CLASS, SCORE_RATIO = "anomaly_class", "score_ratio"
MODEL, MODEL_VERSION, MODEL_DIGEST = "model", "model_version", "model_digest"
BATCH_SIZE, STAGE = "batch_size", "stage"

VERDICT_FIELDS = (
    STATUS,
    REASON,
    DETAIL,
    ANOMALY_CLASS,
    SCORE_RATIO,
    MODEL,
    MODEL_VERSION,
    MODEL_DIGEST,
    BATCH_SIZE,
)

MAX_EXEMPLAR_LENGTH = 128
"""Characters of an exemplar's labels, names and values together (OpenMetrics 1.0)."""


class AboutFrame(Protocol):
    """What a line is about."""

    @property
    def identity(self) -> Identity: ...  # noqa: D102 the frame's own words
    @property
    def source(self) -> RecordSource: ...  # noqa: D102
    @property
    def trace(self) -> TraceContext | None: ...  # noqa: D102


def frame_fields(frame: AboutFrame) -> dict[str, str | int]:
    """Return what names a frame; a field that could not be read is left out."""
    identity, source = frame.identity, frame.source
    values = {
        LINE_ID: identity.line_id,
        CAMERA_ID: identity.camera_id,
        PART_ID: identity.part_id,
        SEQ: identity.seq,
        RESULT_ID: result_id_of(identity, source),
        TOPIC: source.topic,
        PARTITION: source.partition,
        OFFSET: source.offset,
        TRACE_ID: _sampled_trace(frame),
    }
    return {name: value for name, value in values.items() if value is not None}


def camera_fields(camera: str) -> dict[str, str]:
    """Return the fields of a camera that is known by its key, `line_id/camera_id`."""
    return dict(zip(CAMERA_FIELDS, camera.split("/", 1), strict=False))


def about(log: logging.Logger, frame: AboutFrame, **more: str | float | None) -> logging.LoggerAdapter[logging.Logger]:
    """Return `log` bound to a frame: each line that it writes carries the frame's fields, and `more` of those that are not None.

    Made where a line is written, not where a frame comes: few frames have one.
    """
    given: Mapping[str, Any] = {name: value for name, value in more.items() if value is not None}
    return logging.LoggerAdapter(log, {**frame_fields(frame), **given})


def exemplar_labels(frame: AboutFrame) -> dict[str, str] | None:
    """Return what an exemplar says of a frame: its part, then its trace and its number as far as the 128 characters go; None without a part."""
    if frame.identity.part_id is None:
        return None
    labels: dict[str, str] = {PART_ID: frame.identity.part_id}
    room = MAX_EXEMPLAR_LENGTH - len(PART_ID) - len(frame.identity.part_id)
    for name, value in ((TRACE_ID, _sampled_trace(frame)), (SEQ, frame.identity.seq)):
        if value is not None and len(name) + len(str(value)) <= room:
            labels[name] = str(value)
            room -= len(name) + len(labels[name])
    return labels


def _sampled_trace(frame: AboutFrame) -> str | None:
    """Return the trace that somebody has recorded of a frame."""
    return frame.trace.trace_id if frame.trace is not None and frame.trace.is_sampled else None
