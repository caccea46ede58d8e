from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.factory.__main__ import main
from tests.prometheus import required_program


def test_without_prometheus_it_says_so_at_once_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROMETHEUS_HOME", str(tmp_path))
    assert main(["--out", str(tmp_path / "out")]) == 1
    assert f"no prometheus in PROMETHEUS_HOME={tmp_path}" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_without_kafka_it_says_so_at_once_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    required_program("prometheus")
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path))
    assert main(["--out", str(tmp_path / "out")]) == 1
    assert f"KAFKA_HOME={tmp_path} holds no libs" in capsys.readouterr().out


def test_a_folder_that_is_somebody_elses_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.e2e.factory.__main__.must_be_here", lambda: None)
    (tmp_path / "dear.txt").touch()
    assert main(["--out", str(tmp_path)]) == 1
    assert "it is not replaced" in capsys.readouterr().out
    assert (tmp_path / "dear.txt").exists()


def test_a_rate_of_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--rate", "0"])
    assert ended.value.code == 2
    assert "--rate must be above 0" in capsys.readouterr().err
