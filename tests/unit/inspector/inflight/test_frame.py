"""A frame knows the stages that it was in, and what of them came after its score."""

from __future__ import annotations

import numpy as np
import pytest

from inspector.anomaly.types import DLResult
from inspector.bus.ports import ProducedRecord
from inspector.inflight.budget import Budget
from inspector.inflight.frame import Frame, Outgoing, Refusal
from inspector.observe.metrics import Stage
from tests.inflight import inflight_frame


def frame() -> Frame:
    return inflight_frame(Budget(1000).hold(1))


def test_what_a_verdict_takes_after_its_score_is_all_but_the_wait_for_others() -> None:
    scored = frame()
    path: list[tuple[Stage, float]] = [
        ("decode", 0.0),
        ("batch", 0.1),
        ("score", 0.2),
        ("encode", 0.6),
        ("sequence", 0.7),
        ("send", 1.7),
    ]
    for stage, at_s in path:
        scored.enter(stage, at_s)
    scored.enter(None, 1.9)
    assert scored.after_score_s == pytest.approx(0.1 + 0.2)
    refused = frame()
    refused.enter("encode", 0.5)
    refused.enter(None, 0.6)
    assert refused.after_score_s is None


def test_a_frame_is_live_until_it_has_left_or_its_lease_is_over() -> None:
    here, left, revoked = frame(), frame(), frame()
    left.enter(None, 0.0)
    revoked.lease.end()
    assert [here.live, left.live, revoked.live] == [True, False, False]


def test_frames_are_numbered_as_they_come() -> None:
    first, second = frame(), frame()
    assert first.number < second.number


def test_a_frame_of_no_known_camera_weighs_as_any() -> None:
    strange = frame()
    strange.route = None
    assert strange.weight == 1.0
    assert not strange.freshest_first
    assert strange.model is None


@pytest.mark.parametrize(("path", "expected_s"), [((), 0.0), (("encode",), 0.25), (("encode", "sequence"), 0.25)])
def test_a_scored_frame_that_was_not_sent_took_what_it_took(path: tuple[Stage, ...], expected_s: float) -> None:
    scored = frame()
    stages: tuple[Stage, ...] = ("score", *path)
    for number, stage in enumerate(stages):
        scored.enter(stage, number * 0.25)
    scored.enter(None, (1 + len(path)) * 0.25)
    assert scored.after_score_s == expected_s


def test_the_seconds_of_a_stage_add_up_and_end_when_the_frame_has_left() -> None:
    moving = frame()
    moving.entered_s = 1.0
    assert moving.enter("decode", 1.5) == 0.5
    assert moving.enter("queue", 3.5) == 2.0
    before = moving.stage_seconds
    assert moving.enter("decode", 4.0) == 0.5
    assert before == {"queue": 0.5, "decode": 2.0}, "a worker may be writing it"
    assert moving.enter("batch", 3.0) == 0.0, "a clock that steps back takes nothing away"
    moving.enter(None, 3.25)
    assert moving.enter(None, 9.0) == 5.75
    assert moving.stage_seconds == {"queue": 1.0, "decode": 2.0, "batch": 0.25}


def test_what_the_device_found_is_a_score_or_why_there_is_none() -> None:
    scored, refused = frame(), frame()
    result, refusal = DLResult(0.5, np.zeros((2, 2), np.float32)), Refusal("failed", "device")
    scored.scored(result, batch_size=3)
    refused.scored(refusal, batch_size=4)
    assert (scored.result, scored.refusal, scored.batch_size) == (result, None, 3)
    assert (refused.result, refused.refusal, refused.batch_size) == (None, refusal, 4)


def test_a_heartbeat_is_one_whatever_score_it_must_have() -> None:
    assert inflight_frame(Budget(1000).hold(1), expected_score=0.0).is_heartbeat
    assert not frame().is_heartbeat


def test_a_verdict_holds_its_result_and_its_letter_until_they_are_acknowledged() -> None:
    result, letter = ProducedRecord("r", b"k", b"verdict", [("h", b"v")]), ProducedRecord("d", b"", b"why", [])
    outgoing = Outgoing(frame(), "failed", "geometry", result)
    assert outgoing.size_bytes == result.size_bytes
    outgoing.deadletter = letter
    assert outgoing.size_bytes == result.size_bytes + letter.size_bytes


def test_a_verdict_whose_send_was_repeated_tells_nothing_of_the_next() -> None:
    outgoing = Outgoing(frame(), "inspected", "none", ProducedRecord("r", b"k", b"v", []))
    outgoing.frame.stage_seconds = {"score": 1.0, "encode": 0.25, "send": 0.5}
    assert outgoing.after_score_s == 0.75
    outgoing.is_retried = True
    assert outgoing.after_score_s is None
