"""From options to a line: what follows, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inspector.errors import ConfigError
from inspector.line.command import line_plan, make_link
from inspector.line.plc import ModbusLink, TcpLink
from inspector.settings.commands import LineSimulatorOptions
from inspector.settings.settings import Settings
from tests.frames import png


def settings(**gate: Any) -> Settings:
    return Settings.model_validate({"gate": {"line_id": "L1", "cameras": ["a"]} | gate})


def test_windows_come_from_the_gate_and_numbers_from_the_clock() -> None:
    first = line_plan(settings(), LineSimulatorOptions())
    assert (first.window_ms, first.interval_s, first.parts, first.files) == (1000, 0.5, 100, ())
    assert first.first_number <= line_plan(settings(), LineSimulatorOptions()).first_number < 2**31
    assert line_plan(settings(), LineSimulatorOptions(first_number=0, window_ms=70)).first_number == 0


def test_pictures_need_a_gate_that_counts_simulated_ones(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    options = LineSimulatorOptions(pictures=tmp_path)
    with pytest.raises(ConfigError, match=r"gate.accept_simulated is false"):
        line_plan(settings(), options)
    assert line_plan(settings(accept_simulated=True), options).files == (tmp_path / "a.png",)


async def test_the_port_that_is_spoken_to_must_be_set() -> None:
    assert isinstance(make_link(settings(), "tcp"), TcpLink)
    assert isinstance(make_link(settings(modbus_port=502), "modbus"), ModbusLink)
    with pytest.raises(ConfigError, match=r"gate.modbus_port is not set"):
        make_link(settings(), "modbus")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"parts": 0}, "--parts must be 1 to"),
        ({"window_ms": 70_000}, "--window-ms must be 1 to 65535, not 70000"),
        ({"first_number": 2**31 + 1}, "--first-number"),
        ({"reset_after_s": 0.0}, "--reset-after-s"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LineSimulatorOptions(**options)
