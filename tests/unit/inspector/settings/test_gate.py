"""Settings of the gate: what is refused, with its mend."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from inspector.settings.gate import GateSettings
from inspector.settings.settings import Settings


def test_defaults_are_a_whole() -> None:
    gate = GateSettings()
    assert (gate.host, gate.tcp_port, gate.modbus_port, gate.announced) == ("127.0.0.1", 7000, None, True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lead_ms": 1000}, "lead_ms must be less than window_ms"),
        ({"window_ms": 70_000}, "window_ms must be at most max_window_ms"),
        ({"keep_s": 64.9}, "keep_s must be at least max_age_ms plus max_window_ms"),
        ({"announced": False}, "with announced = false the gate never rejects a part"),
        ({"announced": False, "accept_unseen_silence": True, "modbus_port": 502}, "modbus_port needs announced = true"),
        ({"modbus_part_id": "part"}, r"must contain \{number\} once"),
        ({"modbus_part_id": "{number}{number}"}, r"must contain \{number\} once"),
        ({"modbus_part_id": "part {number}"}, "letters, digits, _ and -"),
        ({"modbus_part_id": "x" * 55 + "{number}"}, "64 characters with the number"),
        ({"fault_after": 0}, "fault_after"),
        ({"alive_ms": 501}, "alive_ms must be at most 500: the line stops if it does not get ALIVE for a second"),
        ({"tcp_port": 1502, "modbus_port": 1502}, "tcp_port and modbus_port must be different ports"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        GateSettings(**({"keep_s": 100.0} | changes))


def test_a_line_that_announces_nothing_may_be_asked_for() -> None:
    assert not GateSettings(announced=False, accept_unseen_silence=True, keep_s=100.0).announced


def test_ports_may_both_be_any_free_one() -> None:
    assert GateSettings(tcp_port=0, modbus_port=0, alive_ms=500).modbus_port == 0


def whole(*, interval_ms: int | None = None, **gate: Any) -> Settings:
    cameras = [{"line_id": line, "camera_id": camera, "model": "m"} for line, camera in (("L1", "a"), ("L2", "c"))]
    heartbeat = {"interval_ms": interval_ms}
    return Settings.model_validate({"models": {"m": "m"}, "cameras": cameras, "heartbeat": heartbeat, "gate": gate})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"heartbeat_timeout_ms": 500, "interval_ms": 500},
            "heartbeat_timeout_ms must be more than heartbeat.interval_ms, 500",
        ),
        ({"line_id": "L1", "cameras": ["a", "c"]}, r"gate.cameras names c, which is not one of .* of line L1 \(a\)"),
    ],
)
def test_what_contradicts_the_rest_of_the_settings_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        whole(**changes)


def test_what_the_rest_of_the_settings_does_not_know_is_taken_as_it_is() -> None:
    assert whole(heartbeat_timeout_ms=501, interval_ms=500).gate.heartbeat_timeout_ms == 501
    assert whole(heartbeat_timeout_ms=100).gate.heartbeat_timeout_ms == 100
    assert whole(line_id="L3", cameras=["x"]).gate.cameras == ("x",)
