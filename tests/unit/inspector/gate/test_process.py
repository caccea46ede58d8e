"""What the settings ask of a gate, and which of them are refused."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from inspector.bus.ports import ConsumedRecord
from inspector.cli import _missing_extra
from inspector.errors import ConfigError
from inspector.gate.command import make_gate_process
from inspector.gate.process import GateProcess, required_cameras, rules_of, topics_of
from inspector.settings.settings import Settings
from tests.fakes import FakeClock
from tests.notified import NotifySocket


def settings(**sections: Any) -> Settings:
    cameras = [
        {"line_id": line, "camera_id": camera, "model": "m"} for line, camera in (("L1", "a"), ("L1", "b"), ("L2", "c"))
    ]
    return Settings.model_validate({"models": {"m": "m"}, "cameras": cameras} | sections)


def test_all_cameras_of_the_line_must_say_ok_unless_some_are_named() -> None:
    assert required_cameras(settings(gate={"line_id": "L1"})) == {"a", "b"}
    assert required_cameras(settings(gate={"line_id": "L1", "cameras": ["b"]})) == {"b"}
    assert required_cameras(Settings.model_validate({"gate": {"line_id": "L9", "cameras": ["x"]}})) == {"x"}


def test_a_gate_without_a_line_or_cameras_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"gate.line_id is not set; give the line"):
        required_cameras(settings())
    with pytest.raises(ConfigError, match=r"no camera of line L9 is known; name them in gate.cameras"):
        rules_of(settings(gate={"line_id": "L9"}))


def test_a_gate_without_a_port_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"neither gate.tcp_port nor gate.modbus_port is set"):
        make_gate_process(settings(gate={"line_id": "L1", "tcp_port": None}))


def test_units_become_seconds_and_unwatched_things_none() -> None:
    rules = rules_of(settings(gate={"line_id": "L1", "lead_ms": 30, "heartbeat_timeout_ms": 1500}))
    assert (rules.lead_s, rules.heartbeat_s, rules.window_s) == (0.03, 1.5, None)
    unseen = {"line_id": "L1", "announced": False, "accept_unseen_silence": True}
    assert rules_of(settings(gate=unseen)).window_s == 1.0


def test_the_gate_reads_the_results_of_its_cameras_the_strays_and_the_heartbeats_that_it_watches() -> None:
    assert topics_of(settings(gate={"line_id": "L1"})) == ["inspection.results"]
    own = {"results": "{prefix}.results.{line_id}.{camera_id}"}
    assert topics_of(settings(gate={"line_id": "L1", "heartbeat_timeout_ms": 1000}, topics=own)) == [
        "inspection.heartbeats",
        "inspection.results.L1.a",
        "inspection.results.L1.b",
        "inspection.results.unknown.unknown",
    ]


def test_modbus_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymodbus", None)
    with pytest.raises(ModuleNotFoundError) as missing:
        make_gate_process(settings(gate={"line_id": "L1", "modbus_port": 502}))
    assert "'.[gate]'" in str(_missing_extra(missing.value))


async def test_the_process_watches_its_own_clock_and_a_reset_goes_on_from_then() -> None:
    clock = FakeClock()
    process = GateProcess(settings(gate={"line_id": "L1"}), [], clock=clock)
    process.gate.can_read(now_s=clock.monotonic_s(), now_us=clock.wall_us())
    clock.step_wall(-0.05)
    process._advance()
    assert process.status.state == "running"
    clock.step_wall(-3600)
    process._advance()
    assert (process.status.state, process.status.fault) == ("fault", "gate")
    assert process.reset() is None
    process._advance()
    assert (process.status.state, process.gate.trusted_from_us) == ("running", clock.wall_us())


class Quiet:
    """A reader of topics on which nothing happens."""

    async def start(self) -> None: ...

    async def read(self, timeout_s: float) -> Sequence[ConsumedRecord]:
        await asyncio.sleep(timeout_s)
        return ()

    async def check(self) -> str | None:
        return None

    async def stop(self) -> None: ...


async def test_systemd_hears_that_the_ports_are_open_that_the_loop_lives_and_that_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    stop = asyncio.Event()
    with NotifySocket(str(tmp_path / "notify")) as systemd:
        process = GateProcess(settings(gate={"line_id": "L1", "alive_ms": 1}), [], reader=Quiet())
        running = asyncio.ensure_future(process.run(stop))
        heard: list[str] = []
        while heard.count("WATCHDOG=1") < 3:
            heard += systemd.heard()
            assert not running.done()
            await asyncio.sleep(0.01)
        stop.set()
        await running
        heard += systemd.heard()
    assert heard[0] == "READY=1"
    assert "STATUS=running" in heard
    assert heard[-1] == "STOPPING=1"
