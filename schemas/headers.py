"""Kafka headers that repeat the fields needed without, or instead of, the body.

A frame's headers name the picture, so that a garbled body is answered under its own name. A result's headers carry the
verdict and the picture that it is about, so that a reject gate need not parse the body. Values are ASCII, integers in
decimal digits, scores as decimal fractions. Readers ignore headers that they do not know, so one may be added within a version.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from schemas.frame import CameraFrame
from schemas.identity import IDENTITY_FIELDS, Identity, identity_of_fields
from schemas.result import DLResultMessage

FRAME_HEADERS = IDENTITY_FIELDS
INTEGER_HEADERS = frozenset({"seq", "captured_at"})
EXPECTED_SCORE_HEADER = "expected_score"
RESULT_HEADERS = (
    "status",
    "anomaly_class_id",
    "deadline_at",
    "result_id",
    *IDENTITY_FIELDS,
    "is_simulated",
    "deployment",
)

HEARTBEAT_HEADERS = (*RESULT_HEADERS, EXPECTED_SCORE_HEADER)

_INTEGER = re.compile(rb"0|[1-9][0-9]{0,15}")


def frame_headers(frame: CameraFrame) -> list[tuple[str, bytes]]:
    """Return the headers of a frame's record: its identity."""
    return [(name, str(value).encode()) for name, value in zip(FRAME_HEADERS, frame.identity, strict=True)]


def result_headers(message: DLResultMessage) -> list[tuple[str, bytes]]:
    """Return the headers of a result's record; what is null is left out, and `is_simulated` is 0 or 1."""
    verdict = (message.status, message.anomaly_class_id, message.deadline_at, message.result_id)
    values = (*verdict, *message.identity, int(message.is_simulated), message.deployment)
    return [(name, str(v).encode()) for name, v in zip(RESULT_HEADERS, values, strict=True) if v is not None]


def heartbeat_headers(message: DLResultMessage, expected_score: float) -> list[tuple[str, bytes]]:
    """Return the headers of a heartbeat's record: those of a result, and the score that the model's own picture must have.

    A heartbeat is the verdict on a picture that is stored with the camera's model, on a topic of its own; it is about no part.
    """
    return [*result_headers(message), (EXPECTED_SCORE_HEADER, repr(float(expected_score)).encode())]


def expected_score_from_headers(headers: Iterable[tuple[str, bytes | None]] | None) -> float | None:
    """Return the score that a heartbeat must have; None where the headers do not name one score from 0 to below 1."""
    found = {value for name, value in headers or () if name == EXPECTED_SCORE_HEADER}
    value = found.pop() if len(found) == 1 else None
    try:
        score = float((value or b"").decode("ascii"))
    except ValueError:
        return None
    return score if 0 <= score < 1 else None


def identity_from_headers(headers: Iterable[tuple[str, bytes | None]] | None) -> Identity:
    """Return what the headers of a record, a frame's or a result's, tell of its identity.

    Never raises: they are read when the body was not, so each missing, invalid or contradictory (repeated with
    another value) field is None.
    """
    found: dict[str, bytes | None] = {}
    for name, value in headers or ():
        if name in FRAME_HEADERS:
            found[name] = value if found.get(name, value) == value else None
    return identity_of_fields({name: _field(name, value) for name, value in found.items() if value is not None})


def _field(name: str, value: bytes) -> str | int | None:
    if name in INTEGER_HEADERS:
        return int(value) if _INTEGER.fullmatch(value) else None
    return value.decode("ascii", "replace")
