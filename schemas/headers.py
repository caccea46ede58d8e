"""Kafka headers that repeat the fields needed without, or instead of, the body.

A frame's headers name the picture, so that a garbled body is answered under its own name. A result's headers carry the
verdict and the picture that it is about, so that a reject gate need not parse the body. Values are ASCII, integers in
decimal digits, scores as decimal fractions. Readers ignore headers that they do not know, so one may be added within a version.

A frame may also say which trace it belongs to, as W3C Trace Context (https://www.w3.org/TR/trace-context/) writes it:

| header | bytes | what it is |
|---|---|---|
| `traceparent` | 55; of a later version than 00 up to 512 | version, trace, span of the sender, whether that is sampled |
| `tracestate` | at most 512, printable ASCII | what other tracing systems add; handed on as it came, else left out |

A result hands both on: the trace is the frame's, the span is the inspector's where the inspector traces the frame, else the sender's. A
`traceparent` that is broken, or repeated with another value, is ignored, and its `tracestate` too: tracing never decides about a part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from schemas.errors import MalformedMessageError
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

TRACEPARENT_HEADER = "traceparent"
TRACESTATE_HEADER = "tracestate"
TRACE_HEADERS = (TRACEPARENT_HEADER, TRACESTATE_HEADER)
MAX_TRACE_HEADER_BYTES = 512

_INTEGER = re.compile(rb"0|[1-9][0-9]{0,15}")
# A later version may say more, behind another dash; version ff is none, and ids of nothing but zeros are none.
_TRACEPARENT = re.compile(
    rb"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?",
    re.DOTALL,
)
_TRACESTATE = re.compile(rb"[ -~]{1,%d}" % MAX_TRACE_HEADER_BYTES)
_SAMPLED = 1


class TraceContext(NamedTuple):
    """A position in a trace: the record's own, or one passed on from another record."""

    trace_id: str
    """32 hexadecimal digits in lower case."""
    span_id: str
    """16 hexadecimal digits in lower case: the span that what follows belongs under."""
    is_sampled: bool
    """Whether that span is recorded, so that those under it should be, too."""
    state: str | None = None
    """`tracestate`, as it came."""

    def headers(self) -> list[tuple[str, bytes]]:
        """Return the headers that hand it on."""
        parent = f"00-{self.trace_id}-{self.span_id}-{int(self.is_sampled):02x}"
        headers = [(TRACEPARENT_HEADER, parent.encode())]
        return headers if self.state is None else [*headers, (TRACESTATE_HEADER, self.state.encode())]


def frame_headers(frame: CameraFrame) -> list[tuple[str, bytes]]:
    """Return the headers of a frame's record: its identity."""
    return [(name, str(value).encode()) for name, value in zip(FRAME_HEADERS, frame.identity, strict=True)]


def result_headers(message: DLResultMessage, trace: TraceContext | None = None) -> list[tuple[str, bytes]]:
    """Return the headers of a result's record; what is null is left out, and `is_simulated` is 0 or 1.

    Args:
        message: the result.
        trace: which trace it belongs to, if any.
    """
    verdict = (message.status, message.anomaly_class_id, message.deadline_at, message.result_id)
    values = (*verdict, *message.identity, int(message.is_simulated), message.deployment)
    headers = [(name, str(v).encode()) for name, v in zip(RESULT_HEADERS, values, strict=True) if v is not None]
    return headers if trace is None else headers + trace.headers()


def heartbeat_headers(message: DLResultMessage, expected_score: float) -> list[tuple[str, bytes]]:
    """Return the headers of a heartbeat's record: those of a result, and the score that the model's own picture must have.

    A heartbeat is the verdict on a picture that is stored with the camera's model, on a separate topic; it is not about
    a part.
    """
    return [*result_headers(message), (EXPECTED_SCORE_HEADER, repr(float(expected_score)).encode())]


def expected_score_from_headers(headers: Iterable[tuple[str, bytes | None]] | None) -> float | None:
    """Return the score that a heartbeat must have; None unless the headers give exactly one score from 0 to below 1."""
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


def trace_from_headers(headers: Iterable[tuple[str, bytes | None]] | None) -> TraceContext | None:
    """Return the trace that a record, a frame's or a result's, belongs to; None where it names none.

    Raises:
        MalformedMessageError: Its `traceparent` is invalid, or there are several different ones. It then belongs to no
            trace.
    """
    found = [item for item in headers or () if item[0] in TRACE_HEADERS]
    parents = {value for name, value in found if name == TRACEPARENT_HEADER}
    if not parents:
        return None
    if len(parents) > 1:
        raise MalformedMessageError(f"{len(parents)} different headers {TRACEPARENT_HEADER}; give one")
    match = _TRACEPARENT.fullmatch((parents.pop() or b"")[: MAX_TRACE_HEADER_BYTES + 1])
    is_longer = match is not None and match["more"] is not None
    if match is None or match.end() > MAX_TRACE_HEADER_BYTES or (is_longer and match["version"] == b"00"):
        raise MalformedMessageError(
            f"header {TRACEPARENT_HEADER} does not have the form of W3C Trace Context: 00-(32 digits)-(16 digits)-(2 "
            "digits), in hexadecimal"
        )
    states = {value for name, value in found if name == TRACESTATE_HEADER}
    state = states.pop() if len(states) == 1 else None
    return TraceContext(
        match["trace"].decode(),
        match["span"].decode(),
        is_sampled=bool(int(match["flags"], 16) & _SAMPLED),
        state=state.decode() if state is not None and _TRACESTATE.fullmatch(state) else None,
    )


def _field(name: str, value: bytes) -> str | int | None:
    if name in INTEGER_HEADERS:
        return int(value) if _INTEGER.fullmatch(value) else None
    return value.decode("ascii", "replace")
