from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.models import make_bundle, ok_picture
from tests.pictures import write
from trainer.commands.cli import run


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundles", name="a")


def test_names_with_brackets_and_commas_are_listed_as_they_are(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`[left]` is a style of rich, and `[/q]` the end of one that never began."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    names = ["cam[left]/1.png", "z[/q].png", "a,b.png"]
    for name in names:
        write(tmp_path / name, ok_picture(np.random.default_rng(0)))
    (tmp_path / "bad[red].png").write_bytes(b"no picture")

    assert run(["apply", str(bundle), *names]) == 0
    listed = capsys.readouterr().out
    assert all(f"\n{name} " in listed for name in names), listed
    assert run(["apply", str(bundle), "bad[red].png", "z[/q].png"]) == 3
    said = capsys.readouterr()
    assert "\nbad[red].png " in said.out
    assert "bad[red].png" in said.err
