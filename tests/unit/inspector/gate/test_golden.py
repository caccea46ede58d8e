"""Which heartbeats count, and which are wrong."""

from __future__ import annotations

from typing import Any

import pytest

from inspector.gate.golden import Beat, beat_of
from schemas import heartbeat_headers
from tests.messages import message

CAPTURED_AT = 1_700_000_000_000_000
NOW_US = CAPTURED_AT + 100_000


def beat(expected: float = 0.25, now_us: int = NOW_US, **changes: Any) -> Beat | None:
    told = message(**changes)
    return beat_of(told, heartbeat_headers(told, expected), now_us, skew_us=0)


def test_the_recorded_score_is_a_good_beat_within_the_tolerance_of_golden_samples() -> None:
    assert beat() == Beat(None)
    assert beat(0.2501) == Beat(None)
    assert beat(0.0, anomaly_score=0.0009) == Beat(None), "near 0 the tolerance is absolute"


@pytest.mark.parametrize(("expected", "score"), [(0.25, 0.2512), (0.5, 0.25), (0.0, 0.002), (0.99, 0.9901)])
def test_another_score_is_a_fault(expected: float, score: float) -> None:
    nok = score >= 0.5
    found = beat(expected, anomaly_score=score, anomaly_class="nok" if nok else "ok", anomaly_class_id=int(nok))
    assert found is not None
    assert found.fault == f"the picture stored with the model of camera C1 scores {score:.6g}, not {expected:.6g}"


def test_a_beat_that_is_late_early_or_no_score_says_nothing() -> None:
    assert beat(now_us=CAPTURED_AT + 1_000_001) is None
    assert beat(now_us=CAPTURED_AT - 1) is None
    unscored: dict[str, Any] = {"anomaly_score": None, "status": "expired", "reason": "late_before_send"}
    assert beat(anomaly_class="nok", anomaly_class_id=1, **unscored) is None


def test_a_result_without_the_score_that_it_must_have_is_no_beat() -> None:
    assert beat_of(message(), [], NOW_US, skew_us=0) is None
    assert beat_of(message(), [("expected_score", b"many")], NOW_US, skew_us=0) is None
