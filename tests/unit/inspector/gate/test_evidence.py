"""What a single result is worth when the gate reads it."""

from __future__ import annotations

from typing import Any

import pytest

from inspector.gate.evidence import judge
from tests.messages import message, refused

CAPTURED_AT = 1_700_000_000_000_000
NOK: dict[str, Any] = {"anomaly_score": 0.75, "anomaly_class": "nok", "anomaly_class_id": 1}


def verdict(now_us: int = CAPTURED_AT + 100_000, *, skew_us: int = 0, simulated: bool = False, **changes: Any) -> str:
    return judge(
        message(**changes), now_us, skew_us=skew_us, trusted_from_us=CAPTURED_AT - 1, takes_simulated=simulated
    )


def test_an_ok_counts_up_to_its_deadline() -> None:
    assert verdict() == "ok"
    assert verdict(CAPTURED_AT + 1_000_000) == "ok"
    assert verdict(CAPTURED_AT + 1_000_001) == "late"


def test_a_picture_from_the_future_passes_nothing_beyond_what_clocks_differ() -> None:
    assert verdict(CAPTURED_AT - 1) == "future"
    assert verdict(CAPTURED_AT - 1000, skew_us=1000) == "ok"
    assert verdict(CAPTURED_AT - 1001, skew_us=1000) == "future"


def test_a_picture_from_before_the_gate_was_there_passes_nothing() -> None:
    known: dict[str, Any] = {"skew_us": 0, "takes_simulated": False}
    assert judge(message(), CAPTURED_AT + 1, trusted_from_us=CAPTURED_AT + 1, **known) == "stale"
    assert judge(message(**NOK), CAPTURED_AT + 1, trusted_from_us=CAPTURED_AT + 1, **known) == "nok"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (NOK, "nok"),
        (NOK | {"anomaly_score": None, "status": "failed", "reason": "geometry"}, "error"),
        (NOK | {"anomaly_score": None, "status": "expired", "reason": "late_before_send"}, "expired"),
        (NOK | {"anomaly_score": None, "status": "no_model", "reason": "unknown_camera"}, "error"),
    ],
)
def test_whatever_is_no_ok_says_what_it_is(changes: dict[str, Any], expected: str) -> None:
    assert verdict(**changes) == expected


def test_a_picture_that_could_not_be_read_is_an_error() -> None:
    assert judge(refused(), CAPTURED_AT, skew_us=0, trusted_from_us=0, takes_simulated=False) == "error"


def test_simulated_pictures_count_only_where_they_are_wanted() -> None:
    assert verdict(is_simulated=True) == "simulated"
    assert verdict(is_simulated=True, simulated=True) == "ok"
