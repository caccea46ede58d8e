"""Settings of the gate: what is refused, with its mend."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from inspector.settings.gate import GateSettings


def test_defaults_are_a_whole() -> None:
    gate = GateSettings()
    assert (gate.host, gate.tcp_port, gate.modbus_port, gate.announced) == ("127.0.0.1", 7000, None, True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lead_ms": 1000}, "lead_ms must be below window_ms"),
        ({"window_ms": 70_000}, "window_ms must be at most max_window_ms"),
        ({"keep_s": 64.9}, "keep_s must be at least max_age_ms and max_window_ms together"),
        ({"announced": False}, "announced = false leaves silence unseen"),
        ({"announced": False, "accept_unseen_silence": True, "modbus_port": 502}, "modbus_port needs announced = true"),
        ({"modbus_part_id": "part"}, r"must hold \{number\} once"),
        ({"modbus_part_id": "{number}{number}"}, r"must hold \{number\} once"),
        ({"modbus_part_id": "part {number}"}, "letters, digits, _ and -"),
        ({"modbus_part_id": "x" * 55 + "{number}"}, "64 with the number"),
        ({"fault_after": 0}, "fault_after"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        GateSettings(**({"keep_s": 100.0} | changes))


def test_a_line_that_announces_nothing_may_be_asked_for() -> None:
    assert not GateSettings(announced=False, accept_unseen_silence=True, keep_s=100.0).announced
