"""Cameras played by small programs, the reader's lines handed over by the test."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typing_extensions import override

from deploy.demo.account import Account
from deploy.demo.cameras import DemoCamera
from deploy.demo.children import Child, DemoError, OnLine
from deploy.demo.playback import Playback
from deploy.demo.stage import Stage
from deploy.demo.views.live import LiveTable
from tests.unit.deploy.demo.test_account import CAPTURED_AT, result_line, sent_line

CAMERA = DemoCamera("top", "Top", Path("/data"), 0)


class ScriptedStage(Stage):
    """Starts Python code where a command is wanted."""

    @override
    def start(
        self, name: str, command: list[str], *, on_line: OnLine | None = None, show_progress: bool = False
    ) -> Child:
        return Child(name, [sys.executable, "-c", *command], self.logs, on_line=on_line)


@pytest.fixture
def stage(tmp_path: Path) -> ScriptedStage:
    stage = ScriptedStage(tmp_path, Console(file=io.StringIO(), width=80))
    stage.logs.mkdir()
    return stage


def sends(*result_ids: str, then: str = "") -> list[str]:
    """A program that says that it sent these frames."""
    return ["\n".join([*(f"print({sent_line(result_id)!r})" for result_id in result_ids), then])]


def test_it_ends_when_each_frame_has_its_verdict(stage: ScriptedStage) -> None:
    playback = Playback(stage)
    for result_id in ("a", "b"):
        playback.on_result(result_line(result_id), CAPTURED_AT + 1000)

    account = playback.run("replay", {CAMERA: sends("a", "b")}, watched=[])

    assert (account.num_sent, account.num_missing) == (2, 0)


def test_what_stays_out_is_missing_after_a_silence(stage: ScriptedStage) -> None:
    playback = Playback(stage, silence_timeout_s=0.3)
    playback.on_result(result_line("a"), CAPTURED_AT + 1000)

    account = playback.run("replay", {CAMERA: sends("a", "b")}, watched=[])

    assert [frame.result_id for frame in account.cameras["top"].missing] == ["b"]


def test_each_run_has_an_account_of_its_own(stage: ScriptedStage) -> None:
    playback = Playback(stage)
    for result_id in ("a", "b"):
        playback.on_result(result_line(result_id), CAPTURED_AT + 1000)
        account = playback.run("replay", {CAMERA: sends(result_id)}, watched=[])
        assert list(account.cameras["top"].received) == [result_id]


def test_a_camera_that_fails_ends_it_with_its_log(stage: ScriptedStage) -> None:
    command = sends("a", then="import sys; sys.exit('no broker')")
    with pytest.raises(DemoError, match=r"(?s)replay-top ended with status 1.*no broker"):
        Playback(stage).run("replay", {CAMERA: command}, watched=[])


def test_an_inspector_that_ends_meanwhile_ends_it_and_the_cameras(stage: ScriptedStage) -> None:
    waits = sends("a", then="import time; time.sleep(600)")
    with (
        stage.start("inspector", ["raise SystemExit('out of memory')"]) as inspector,
        pytest.raises(DemoError, match=r"(?s)inspector ended with status 1.*out of memory"),
    ):
        Playback(stage).run("replay", {CAMERA: waits}, watched=[inspector])


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_table_is_shown_at_the_end_with_everything_in_it(*, is_terminal: bool, tmp_path: Path) -> None:
    screen = io.StringIO()
    stage = ScriptedStage(tmp_path, Console(file=screen, width=80, force_terminal=is_terminal))
    stage.logs.mkdir()
    playback = Playback(stage)
    playback.on_result(result_line("a", anomaly_score=0.125), CAPTURED_AT + 1000)

    def table(account: Account) -> LiveTable:
        return LiveTable([CAMERA], account, 1)

    playback.run("replay", {CAMERA: sends("a")}, watched=[], show=table)

    assert "1 of 1 verdicts" in screen.getvalue()
    assert "score 0.125" in screen.getvalue()


def test_commands_are_shown_as_they_would_be_typed(tmp_path: Path) -> None:
    screen = io.StringIO()
    stage = Stage(tmp_path, Console(file=screen, width=80))
    stage.logs.mkdir()
    checkout = Path(__file__).resolve().parents[4]

    with stage.start("zip", ["zipfile", "--list", str(checkout / "tests" / "data" / "no such.zip")]) as child:
        child.wait()

    assert stage.commands == ["zipfile --list 'tests/data/no such.zip'"]
    assert "$ zipfile --list 'tests/data/no such.zip'" in screen.getvalue()


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("pass", "printed no JSON"),
        ("print('nothing of the kind')", "printed no JSON"),
        ("print('[1]')", "printed no JSON object"),
        ("print('{}'); raise SystemExit(2)", "ended with status 2"),
    ],
)
def test_a_command_has_to_answer_in_json(code: str, complaint: str, stage: ScriptedStage) -> None:
    with pytest.raises(DemoError, match=complaint):
        stage.output_of("fit", [code])


def test_the_last_line_is_the_answer(stage: ScriptedStage) -> None:
    answer: dict[str, Any] = stage.output_of("fit", ["print('a word before'); print('{\"recall\": 1.0}')"])
    assert answer == {"recall": 1.0}


def test_steps_are_timed(stage: ScriptedStage) -> None:
    with stage.step("one"):
        pass
    assert list(stage.seconds) == ["one"]
    assert stage.seconds["one"] >= 0
