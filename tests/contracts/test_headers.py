from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import (
    FRAME_HEADERS,
    HEARTBEAT_HEADERS,
    MAX_CAPTURED_AT,
    RESULT_HEADERS,
    CameraFrame,
    DLResultMessage,
    Identity,
    SchemaError,
    TraceContext,
    expected_score_from_headers,
    frame_headers,
    heartbeat_headers,
    identity_from_headers,
    result_headers,
    trace_from_headers,
)
from tests.contracts import messages

SOUND = frame_headers(CameraFrame(**messages.frame_fields()))


@given(messages.frames())
def test_headers_name_the_frame(frame: CameraFrame) -> None:
    headers = frame_headers(frame)
    assert tuple(name for name, _ in headers) == FRAME_HEADERS
    assert identity_from_headers(headers) == frame.identity


def test_frame_headers_are_plain_text() -> None:
    assert SOUND == [
        ("line_id", b"line-1"),
        ("camera_id", b"cam_A"),
        ("part_id", b"P-000042"),
        ("seq", b"42"),
        ("captured_at", b"1760000000000000"),
    ]


@given(st.lists(st.tuples(st.sampled_from([*FRAME_HEADERS, "other"]), st.none() | st.binary(max_size=70))))
def test_any_headers_can_be_read(headers: list[tuple[str, bytes | None]]) -> None:
    identity = identity_from_headers(headers)
    assert identity.seq is None or identity.seq >= 0


@pytest.mark.parametrize("headers", [None, [], (), [("trace", b"1")]])
def test_absent_headers_tell_nothing(headers: Any) -> None:
    assert identity_from_headers(headers) == Identity()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in FRAME_HEADERS for value in (None, b"", b"\xff", b"a b", b"1\n", b"1" * 65)),
        *((name, value) for name in ("seq", "captured_at") for value in (b"-1", b"+1", b"01", b"1.0", b"1_0", b"x")),
        ("seq", b"9007199254740992"),
        ("captured_at", b"9007199254740991"),
    ],
)
def test_an_invalid_header_costs_only_its_own_field(name: str, value: bytes | None) -> None:
    headers = [(n, value if n == name else v) for n, v in SOUND]
    assert identity_from_headers(headers) == messages.IDENTITY._replace(**{name: None})


def test_the_largest_header_numbers_pass() -> None:
    headers = [("seq", b"9007199254740991"), ("captured_at", str(MAX_CAPTURED_AT).encode())]
    assert identity_from_headers(headers) == Identity(seq=2**53 - 1, captured_at=MAX_CAPTURED_AT)


def test_a_header_that_contradicts_itself_tells_nothing() -> None:
    assert identity_from_headers([*SOUND, ("part_id", b"other")]).part_id is None
    assert identity_from_headers([*SOUND, ("part_id", b"other"), ("part_id", b"P-000042")]).part_id is None
    assert identity_from_headers([*SOUND, *SOUND]) == messages.IDENTITY


def test_result_headers_carry_the_verdict_and_the_part_that_it_is_about() -> None:
    result = DLResultMessage(**messages.result_fields())
    assert result_headers(result) == [
        ("status", b"inspected"),
        ("anomaly_class_id", b"0"),
        ("deadline_at", b"1760000001000000"),
        ("result_id", result.result_id.encode()),
        *SOUND,
        ("is_simulated", b"0"),
    ]
    assert identity_from_headers(result_headers(result)) == result.identity


def test_a_result_on_a_test_picture_says_so_in_its_headers() -> None:
    result = DLResultMessage(**messages.result_fields(is_simulated=True))
    assert dict(result_headers(result))["is_simulated"] == b"1"


def test_what_is_null_in_a_result_has_no_header() -> None:
    nameless = Identity()._asdict() | {"deadline_at": None, "status": "undecodable", "reason": "malformed"}
    names = [name for name, _ in result_headers(DLResultMessage(**messages.refused_fields(**nameless)))]
    assert names == ["status", "anomaly_class_id", "result_id", "is_simulated"]
    assert set(names) < set(RESULT_HEADERS)


def test_a_heartbeat_has_the_headers_of_a_result_and_the_score_that_it_must_have() -> None:
    message = DLResultMessage(**messages.result_fields())
    headers = heartbeat_headers(message, 0.1 + 0.2)
    assert headers[:-1] == result_headers(message)
    assert headers[-1] == ("expected_score", b"0.30000000000000004")
    assert expected_score_from_headers(headers) == 0.1 + 0.2
    assert {name for name, _ in headers} <= set(HEARTBEAT_HEADERS)


@pytest.mark.parametrize("value", [b"", None, b"nan", b"inf", b"-0.1", b"1.0", b"0,5", b"\xff"])
def test_a_score_that_is_none_is_no_expectation(value: bytes | None) -> None:
    assert expected_score_from_headers([("expected_score", value)]) is None


@pytest.mark.parametrize(("value", "score"), [(b"0", 0.0), (b"0.9999", 0.9999), (b"1e-3", 0.001)])
def test_an_expectation_lies_from_0_to_below_1(value: bytes, score: float) -> None:
    assert (
        expected_score_from_headers([("expected_score", value), ("other", b"0.5"), ("expected_score", value)]) == score
    )


def test_two_expectations_are_none() -> None:
    assert expected_score_from_headers([("expected_score", b"0.5"), ("expected_score", b"0.25")]) is None
    assert expected_score_from_headers(None) is None


TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01".encode()
"""The example of W3C's recommendation."""


def test_a_trace_is_read_and_handed_on_by_a_result() -> None:
    trace = trace_from_headers([*SOUND, ("traceparent", PARENT), ("tracestate", b"rojo=00f067aa0ba902b7")])
    assert trace == TraceContext(TRACE, SPAN, is_sampled=True, state="rojo=00f067aa0ba902b7")
    message = DLResultMessage(**messages.result_fields())
    headers = result_headers(message, trace)
    assert headers[: len(result_headers(message))] == result_headers(message)
    assert headers[len(result_headers(message)) :] == [
        ("traceparent", PARENT),
        ("tracestate", b"rojo=00f067aa0ba902b7"),
    ]
    assert trace_from_headers(headers) == trace
    assert trace_from_headers(SOUND) is None
    assert trace_from_headers(None) is None


@pytest.mark.parametrize(
    ("value", "is_sampled"),
    [
        (PARENT, True),
        (PARENT[:-2] + b"00", False),
        (PARENT[:-2] + b"03", True),  # a flag of a later level
        (PARENT[:-2] + b"11", True),
        (b"cc" + PARENT[2:], True),
        (b"cc" + PARENT[2:] + b"-what-comes-later", True),
    ],
)
def test_later_versions_and_flags_are_read_as_far_as_they_are_known_and_handed_on_as_ours(
    value: bytes,
    is_sampled: bool,  # noqa: FBT001
) -> None:
    trace = trace_from_headers([("traceparent", value), ("traceparent", value)])
    assert trace == TraceContext(TRACE, SPAN, is_sampled=is_sampled)
    assert trace.headers() == [("traceparent", PARENT[:-1] + str(int(is_sampled)).encode())]


@pytest.mark.parametrize(
    "values",
    [
        (None,),
        (b"",),
        (PARENT[:-1],),
        (PARENT + b"-more",),
        (PARENT.upper(),),
        (b"ff" + PARENT[2:],),
        (b"cc" + PARENT[2:] + b"more",),
        (b"cc" + PARENT[2:] + b"-" + b"x" * 457,),
        (f"00-{'0' * 32}-{SPAN}-01".encode(),),
        (f"00-{TRACE}-{'0' * 16}-01".encode(),),
        (PARENT + b"\n",),
        (PARENT.replace(b"-", b"_"),),
        (PARENT, PARENT[:-2] + b"00"),
    ],
)
def test_a_broken_traceparent_is_refused(values: tuple[bytes | None, ...]) -> None:
    with pytest.raises(SchemaError, match="traceparent"):
        trace_from_headers([("traceparent", value) for value in values] + [("tracestate", b"a=1")])


@pytest.mark.parametrize("states", [(None,), (b"",), (b"a=\xff",), (b"a=1\n",), (b"x" * 513,), (b"a=1", b"a=2")])
def test_a_tracestate_that_cannot_be_handed_on_is_left_out(states: tuple[bytes | None, ...]) -> None:
    trace = trace_from_headers([("traceparent", PARENT), *(("tracestate", state) for state in states)])
    assert trace == TraceContext(TRACE, SPAN, is_sampled=True)


@given(st.lists(st.tuples(st.sampled_from(["traceparent", "tracestate"]), st.none() | st.binary(max_size=70))))
def test_any_trace_is_read_or_refused(headers: list[tuple[str, bytes | None]]) -> None:
    try:
        trace = trace_from_headers(headers)
    except SchemaError:
        return
    assert trace is None or len(trace.headers()[0][1]) == len(PARENT)
