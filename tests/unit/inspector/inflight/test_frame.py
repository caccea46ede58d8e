"""A frame knows the stages that it was in, and what of them came after its score."""

from __future__ import annotations

import pytest

from inspector.inflight.budget import Budget
from inspector.inflight.frame import Frame
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
