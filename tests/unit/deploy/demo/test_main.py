from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from deploy.demo import __main__ as demo
from deploy.demo.children import DemoError
from deploy.demo.stage import Stage
from tests.signals import arriving


def test_the_output_of_an_earlier_run_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    demo.make_empty(out)
    (out / "summary.json").write_text("old")

    demo.make_empty(out)

    assert [path.name for path in out.iterdir()] == [".line-inspector-demo"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    demo.make_empty(tmp_path)
    demo.make_empty(tmp_path)


def test_what_the_demo_did_not_make_is_not_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_run", lambda *_: pytest.fail("it must not begin"))
    (tmp_path / "thesis.tex").write_text("dear")

    assert demo.main(["--out", str(tmp_path)]) == 1

    assert "was not created by this command" in capsys.readouterr().out
    assert (tmp_path / "thesis.tex").read_text() == "dear"


def test_a_file_in_the_way_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("a file")
    assert demo.main(["--out", str(tmp_path / "out")]) == 1
    assert "out cannot be created" in capsys.readouterr().out


def test_a_failure_is_told_with_status_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(stage: Stage, frames: int) -> int:
        raise DemoError("[inspector] ended with status 3")

    monkeypatch.setattr(demo, "_run", fail)

    assert demo.main(["--out", str(tmp_path / "out")]) == 1
    assert "The demo failed: [inspector] ended with status 3" in capsys.readouterr().out


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_demo_and_a_second_does_not_disturb_the_end(
    number: signal.Signals, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []

    def run(stage: Stage, frames: int) -> int:
        try:
            os.kill(os.getpid(), number)
            signal.pause()
        finally:
            os.kill(os.getpid(), number)
            ended.append("in order")
        return 0

    monkeypatch.setattr(demo, "_run", run)
    with arriving(number):
        before = signal.getsignal(number)
        assert demo.main(["--out", str(tmp_path / "out")]) == status
        assert signal.getsignal(number) is before
    assert ended == ["in order"]


def test_a_number_of_frames_below_one_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        demo.main(["--frames", "0"])
    assert ended.value.code == 2
    assert "--frames must be at least 1" in capsys.readouterr().err
