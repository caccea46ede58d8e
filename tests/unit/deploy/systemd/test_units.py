"""The systemd units: systemd itself takes them, and their times and statuses agree with those of the code."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.broker import CHECKOUT
from inspector.cli import parse_arguments
from inspector.observe.systemd import START_MORE_S
from inspector.service import EXIT_CLEAN
from inspector.settings.gate import GateSettings
from inspector.settings.settings import Settings
from inspector.settings.watch.watchdog import WatchdogSettings
from inspector.watchdog.limits import EXIT_USAGE
from inspector.watchdog.watchdog import LAST_WORDS_S, LEAVE_S

UNITS = CHECKOUT / "deploy" / "systemd"
PROGRAM = "/opt/line-inspector/bin/inspector"
MOST_EXPOSURE = 20
"""Tenths of what `systemd-analyze security` gives: 0 is closed, 100 open."""


def service(name: str) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string((UNITS / name).read_text(encoding="utf-8"))
    return parser["Service"]


def analyzed(arguments: list[str], name: str, folder: Path, *, drop_in: str | None = None) -> str:
    """Let systemd-analyze judge a unit as it would be installed, with a program that is there; return what it prints."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze here: apt-get install systemd")
    unit = folder / name
    unit.write_text((UNITS / name).read_text(encoding="utf-8").replace(PROGRAM, sys.executable), encoding="utf-8")
    if drop_in is not None:
        below = folder / f"{name}.d"
        below.mkdir()
        shutil.copy(UNITS / drop_in, below)
    done = subprocess.run([program, *arguments, str(unit)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "drop_in"),
    [("inspector.service", None), ("inspector.service", "gpu.conf"), ("inspector-gate.service", None)],
)
def test_systemd_takes_the_unit_without_a_word_and_finds_it_closed(
    name: str, drop_in: str | None, tmp_path: Path
) -> None:
    assert analyzed(["verify", "--man=no"], name, tmp_path, drop_in=drop_in) == ""
    analyzed(["security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSURE}"], name, tmp_path)


@pytest.mark.parametrize("name", ["inspector.service", "inspector-gate.service"])
def test_the_command_is_one_that_the_program_has(name: str) -> None:
    program, *arguments = shlex.split(service(name)["ExecStart"])
    assert program == PROGRAM
    given = parse_arguments(arguments)
    assert given.values["config"] is not None


def test_the_inspector_ends_by_itself_before_systemd_ends_it() -> None:
    unit = service("inspector.service")
    settings = Settings()
    assert float(unit["TimeoutStopSec"]) > settings.drain_timeout_s + LEAVE_S
    assert float(unit["WatchdogSec"]) > WatchdogSettings().loop_s + settings.http.hang_after_s + LAST_WORDS_S
    assert float(unit["TimeoutStartSec"]) == START_MORE_S, "as much as each sign of life gives"


def test_signs_of_life_of_a_gate_come_often_enough() -> None:
    assert float(service("inspector-gate.service")["WatchdogSec"]) > 5 * GateSettings().alive_ms / 1000


@pytest.mark.parametrize("name", ["inspector.service", "inspector-gate.service"])
def test_only_a_wrong_setting_is_not_tried_again(name: str) -> None:
    unit = service(name)
    assert unit["Restart"] == "on-failure"
    assert unit["RestartPreventExitStatus"].split() == [str(EXIT_USAGE)]
    assert EXIT_CLEAN == 0
