"""The wire contracts of line-inspector: messages, their bytes and their headers.

Needs only msgpack and pydantic, so that a camera or a reject gate installs neither torch nor a Kafka client.
`json/` has the JSON Schema of each message and `vectors/` golden bytes, with how to check a client in another language.
"""

from __future__ import annotations

from schemas.base import MAX_BUDGET_US, MAX_CAPTURED_AT, MAX_INTEGER, Message, RecordSource
from schemas.codec import MAX_MESSAGE_BYTES, decode, encode
from schemas.deadletter import DeadLetter, DeadLetterStatus
from schemas.errors import LimitExceededError, MalformedMessageError, SchemaError, SchemaReason, WrongVersionError
from schemas.frame import CameraFrame, ImageEncoding, PixelFormat, RawFormat, image_digest
from schemas.headers import (
    FRAME_HEADERS,
    HEARTBEAT_HEADERS,
    RESULT_HEADERS,
    TRACE_HEADERS,
    TraceContext,
    expected_score_from_headers,
    frame_headers,
    heartbeat_headers,
    identity_from_headers,
    result_headers,
    trace_from_headers,
)
from schemas.identity import Identity, result_id_of, result_id_of_frame, result_id_of_record
from schemas.region import MAX_COMPONENTS, MAX_RLE_BYTES, ComponentMessage, RegionMessage, decode_rle, rle_runs
from schemas.releases.audit import AuditRecord, audit_hash, camera_chain
from schemas.releases.release import (
    BundleReference,
    CameraModels,
    Candidate,
    LiveChanges,
    ModelRelease,
    part_share,
)
from schemas.releases.shadow import SHADOW_HEADERS, ShadowResultMessage, ShadowVerdict, shadow_headers
from schemas.result import REASONS, AnomalyClass, DLResultMessage, ModelReference, Reason, Status

__all__ = [
    "FRAME_HEADERS",
    "HEARTBEAT_HEADERS",
    "MAX_BUDGET_US",
    "MAX_CAPTURED_AT",
    "MAX_COMPONENTS",
    "MAX_INTEGER",
    "MAX_MESSAGE_BYTES",
    "MAX_RLE_BYTES",
    "REASONS",
    "RESULT_HEADERS",
    "SHADOW_HEADERS",
    "TRACE_HEADERS",
    "AnomalyClass",
    "AuditRecord",
    "BundleReference",
    "CameraFrame",
    "CameraModels",
    "Candidate",
    "ComponentMessage",
    "DLResultMessage",
    "DeadLetter",
    "DeadLetterStatus",
    "Identity",
    "ImageEncoding",
    "LimitExceededError",
    "LiveChanges",
    "MalformedMessageError",
    "Message",
    "ModelReference",
    "ModelRelease",
    "PixelFormat",
    "RawFormat",
    "Reason",
    "RecordSource",
    "RegionMessage",
    "SchemaError",
    "SchemaReason",
    "ShadowResultMessage",
    "ShadowVerdict",
    "Status",
    "TraceContext",
    "WrongVersionError",
    "audit_hash",
    "camera_chain",
    "decode",
    "decode_rle",
    "encode",
    "expected_score_from_headers",
    "frame_headers",
    "heartbeat_headers",
    "identity_from_headers",
    "image_digest",
    "part_share",
    "result_headers",
    "result_id_of",
    "result_id_of_frame",
    "result_id_of_record",
    "rle_runs",
    "shadow_headers",
    "trace_from_headers",
]
