from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from deploy.demo.children import Child, DemoError


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


SLEEPS = "import time; print('begun', flush=True); time.sleep(600)"


def test_lines_are_handed_over_and_kept_in_the_log(tmp_path: Path) -> None:
    lines: list[str] = []
    with Child(
        "talker", python("print('one'); print('two')"), tmp_path, on_line=lambda line, _: lines.append(line)
    ) as child:
        child.must_succeed()

    assert lines == ["one", "two"]
    assert child.is_done
    assert (tmp_path / "talker.log").read_text().endswith("one\ntwo\n")


def test_lines_carry_the_time_at_which_they_were_read(tmp_path: Path) -> None:
    times: list[int] = []
    code = "import time; print(time.time_ns() // 1000, flush=True)"
    written: list[str] = []

    def on_line(line: str, read_at: int) -> None:
        written.append(line)
        times.append(read_at)

    with Child("clock", python(code), tmp_path, on_line=on_line) as child:
        child.must_succeed()

    assert 0 <= times[0] - int(written[0]) < 60_000_000


def test_a_failure_names_the_command_its_status_and_the_end_of_its_log(tmp_path: Path) -> None:
    code = "import sys; print('\\n' * 100 + 'the reason', file=sys.stderr); sys.exit(3)"
    with (
        Child("fit", python(code), tmp_path) as child,
        pytest.raises(DemoError, match=r"(?s)fit ended with status 3.*the reason"),
    ):
        child.must_succeed()


def test_a_long_line_of_the_log_does_not_flood_the_terminal(tmp_path: Path) -> None:
    with Child("chatty", python("print('x' * 100_000); raise SystemExit(1)"), tmp_path) as child:
        child.wait()
    assert len(str(child.failure())) < 2_000


def test_a_command_that_must_not_end_is_noticed_when_it_does(tmp_path: Path) -> None:
    with Child("inspector", python("pass"), tmp_path) as child:
        child.wait()
        with pytest.raises(DemoError, match="inspector ended with status 0"):
            child.must_be_running()
        child.must_not_have_failed()


def test_a_running_command_is_neither_ended_nor_failed(tmp_path: Path) -> None:
    begun: list[str] = []
    with Child("service", python(SLEEPS), tmp_path, on_line=lambda line, _: begun.append(line)) as child:
        child.must_be_running()
        child.must_not_have_failed()
        assert child.status is None
        assert not child.is_done


def test_the_block_ends_the_command_also_when_it_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Child("service", python(SLEEPS), tmp_path) as child:
        raise RuntimeError
    assert child.status is not None


def test_a_command_that_ignores_the_request_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.demo.children.STOP_TIMEOUT_S", 0.1)
    begun: list[str] = []
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPS.partition(";")[2]
    with Child("stubborn", python(code), tmp_path, on_line=lambda line, _: begun.append(line)) as child:
        while not begun:
            child.must_be_running()
        assert child.stop() == -9


def test_the_users_settings_do_not_reach_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSPECTOR_KAFKA__BOOTSTRAP_SERVERS", "elsewhere:9092")
    monkeypatch.setenv("TRAINER_FIT__SEED", "7")
    monkeypatch.setenv("KEPT", "yes")
    lines: list[str] = []
    code = "import os; print([n for n in os.environ if n.startswith(('INSPECTOR_', 'TRAINER_', 'KEPT'))])"
    with Child("child", python(code), tmp_path, on_line=lambda line, _: lines.append(line)) as child:
        child.must_succeed()
    assert lines == ["['KEPT']"]


def test_ctrl_c_reaches_the_demo_and_not_its_children(tmp_path: Path) -> None:
    lines: list[str] = []
    code = "import os; print(os.getsid(0))"
    with Child("child", python(code), tmp_path, on_line=lambda line, _: lines.append(line)) as child:
        child.must_succeed()
    assert int(lines[0]) != os.getsid(0)
