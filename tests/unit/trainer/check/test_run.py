"""`trainer check`: that it says what a fit would say, how it ends, and what it writes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import pytest

from schemas.archive.layout import ArchivedImage, archive_name
from tests.folders import lock
from tests.pictures import mask, picture, write
from trainer.commands.cli import run
from trainer.errors import SettingsError
from trainer.settings.check import CheckSettings
from trainer.settings.commands import parse_settings

SIZE = (64, 48)
FAST = ("--quality", "fast")

Say = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def line(tmp_path: Path) -> Path:
    """Six ok and two nok images, one of these with a mask."""
    root = tmp_path / "line"
    for number in range(6):
        picture(root / f"ok/{number}.png", size=SIZE)
    for number in range(2):
        picture(root / f"crack/{number}.png", size=SIZE)
    mask(root / "ground_truth/crack/0.png", size=SIZE)
    return root


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs `trainer check --json`: its status, and what it says."""

    def said(*arguments: object) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        status = run(["check", *map(str, arguments), "--json"])
        captured = capsys.readouterr()
        found: dict[str, Any] = json.loads(captured.out)
        return status, found

    return said


@pytest.fixture
def fit_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What `trainer fit` is refused for."""

    def refused(*arguments: object) -> str:
        capsys.readouterr()
        assert run(["fit", *map(str, arguments), "--out", str(tmp_path / "bundle")]) == 1
        return capsys.readouterr().err.splitlines()[-1].removeprefix("trainer: ")

    return refused


def test_a_sound_folder(line: Path, say: Say) -> None:
    status, found = say("--images", line, *FAST)
    assert (status, found["would_fit"], found["refusals"]) == (0, True, [])
    assert found["files"]["seen"] == 9
    assert found["files"]["taken"] == 8
    assert found["images"]["labels"] == [
        {"label": "ok", "split": None, "count": 6},
        {"label": "nok", "split": None, "count": 2},
    ]
    assert found["images"]["sizes"] == [{"width": 64, "height": 48, "count": 8}]
    assert found["images"]["formats"] == [{"format": "PNG (8 bit colour)", "count": 8}]
    assert found["images"]["masks"] == {"found": 1, "nok_without_mask": ["crack/1.png"]}
    assert found["division"]["folds"] > 0
    assert any("different ok images to train on" in warning for warning in found["warnings"])


def _unreadable(root: Path) -> tuple[str, ...]:
    (root / "ok/0.png").write_bytes(b"")
    return ()


def _odd_name(root: Path) -> tuple[str, ...]:
    (root / "ok/0.png").rename(root / "ok/new\nline.png")
    return ()


def _no_ok_folder(root: Path) -> tuple[str, ...]:
    (root / "ok").rename(root / "monday")
    return ()


def _two_labels(root: Path) -> tuple[str, ...]:
    shutil.copy(root / "ok/0.png", root / "crack/copy.png")
    return ()


def _other_aspect(root: Path) -> tuple[str, ...]:
    picture(root / "ok/wide.png", size=(96, 48))
    return ()


def _gray(root: Path) -> tuple[str, ...]:
    picture(root / "ok/gray.png", size=SIZE, channels=1)
    return ()


def _blank(root: Path) -> tuple[str, ...]:
    for number in range(6):
        write(root / f"ok/{number}.png", np.full((48, 64, 3), number, np.uint8))
    return ()


def _mask_of_another_size(root: Path) -> tuple[str, ...]:
    mask(root / "ground_truth/crack/0.png", size=(32, 24))
    return ()


def _few(root: Path) -> tuple[str, ...]:
    for number in range(1, 6):
        (root / f"ok/{number}.png").unlink()
    return ()


def _tiles_of_two_sizes(root: Path) -> tuple[str, ...]:
    picture(root / "ok/large.png", size=(128, 96))
    return ("--tile", "64")


def _domain_outside(root: Path) -> tuple[str, ...]:
    return ("--domain", "0,0,500,500")


def _no_folder(root: Path) -> tuple[str, ...]:
    shutil.rmtree(root)
    return ()


def _no_image(root: Path) -> tuple[str, ...]:
    for path in root.rglob("*.png"):
        path.unlink()
    return ()


@pytest.mark.parametrize(
    "spoil",
    [
        _unreadable,
        _odd_name,
        _no_ok_folder,
        _two_labels,
        _other_aspect,
        _gray,
        _blank,
        _mask_of_another_size,
        _few,
        _tiles_of_two_sizes,
        _domain_outside,
        _no_folder,
        _no_image,
    ],
)
def test_what_a_fit_is_refused_for_check_says(
    line: Path, say: Say, fit_error: Callable[..., str], spoil: Callable[[Path], tuple[str, ...]]
) -> None:
    options = spoil(line)
    error = fit_error("--images", line, *FAST, *options)
    status, found = say("--images", line, *FAST, *options)
    assert (status, found["would_fit"]) == (1, False)
    assert found["refusals"][0] == error


def test_drop_of_too_many_suspects_is_said(line: Path, say: Say, fit_error: Callable[..., str]) -> None:
    error = fit_error("--images", line, *FAST, "--drop-suspects", "5")
    assert say("--images", line, *FAST, "--drop-suspects", "5")[1]["refusals"] == [error]


def test_an_unreadable_folder_is_said(
    line: Path, say: Say, monkeypatch: pytest.MonkeyPatch, fit_error: Callable[..., str]
) -> None:
    lock(monkeypatch, lambda folder: folder.name == "crack")
    error = fit_error("--images", line)
    status, found = say("--images", line)
    assert (status, found["refusals"]) == (1, [error])
    assert "Permission denied" in error


def test_all_reasons_are_named_at_once(line: Path, say: Say) -> None:
    """A fit stops at the first; whoever mends a folder wants all of them."""
    for number in range(2):
        shutil.copy(line / f"ok/{number}.png", line / f"crack/copy{number}.png")
    _unreadable(line)
    (line / "ok/1.png").rename(line / "ok/tab\t.png")
    _gray(line)
    _mask_of_another_size(line)
    mask(line / "ground_truth/crack/1.png", size=(8, 8))
    _, found = say("--images", line)
    parts = (
        "control characters",
        "0.png is not a readable",
        "most ok images",
        "same picture",
        "crack/0.png",
        "crack/1.png",
    )
    for part in parts:
        assert any(part in sentence for sentence in found["refusals"]), part
    assert len(found["refusals"]) == len(parts)


def test_files_are_looked_at_where_labels_are_not_known(line: Path, say: Say) -> None:
    _no_ok_folder(line)
    shutil.copy(line / "crack/0.png", line / "crack/again.png")
    status, found = say("--images", line)
    assert status == 1
    assert len(found["refusals"]) == 1
    assert "--ok-folder" in found["refusals"][0]
    assert found["images"]["labels"] == [{"label": "unknown", "split": None, "count": 9}]
    assert [one["files"] for one in found["images"]["copies"]] == [["crack/0.png", "crack/again.png"]]
    assert found["division"] is None
    assert found["notes"] == []


def test_copies_say_where_they_lie(line: Path, say: Say, capsys: pytest.CaptureFixture[str]) -> None:
    root = line.parent / "mvtec"
    (line / "ok").rename(line / "good")
    shutil.copytree(line / "good", root / "train/good")
    shutil.copytree(line / "crack", root / "test/crack")
    picture(root / "test/good/9.png", size=SIZE)
    shutil.copy(line / "good/0.png", root / "test/good/0.png")
    pixels = cv2.imread(str(line / "crack/1.png"))
    assert pixels is not None
    write(root / "test/crack/as.bmp", pixels.astype(np.uint8))
    _, found = say("--images", root, *FAST)
    same = {tuple(one["files"]): one["same_bytes"] for one in found["images"]["copies"]}
    assert same["test/good/0.png", "train/good/0.png"]
    assert not same["test/crack/1.png", "test/crack/as.bmp"]
    assert run(["check", "--images", str(root), *FAST]) == 0
    said = capsys.readouterr().out
    assert "test/good/0.png = train/good/0.png (in train and test)" in said
    assert any("1 training images are also test images" in warning for warning in found["warnings"])
    assert "1 image: copies of others" in said


def test_manifest_and_archive_are_checked_alike(line: Path, tmp_path: Path, say: Say) -> None:
    rows = [f"{path},{path.parent.name.replace('crack', 'nok')}" for path in sorted(line.glob("[oc]*/*.png"))]
    (tmp_path / "table.csv").write_text("\n".join(["path,image_label", *rows]))
    status, found = say("--manifest", tmp_path / "table.csv", *FAST)
    assert (status, found["files"]["taken"]) == (0, 8)
    (tmp_path / "table.csv").write_text("path,image_label\nnowhere.png,ok\n")
    status, found = say("--manifest", tmp_path / "table.csv")
    assert status == 1
    assert "nowhere.png" in found["refusals"][0]

    start = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp() * 1e6)
    for number in range(5):
        image = ArchivedImage("line-1", "top", f"p{number}", number, start + number, "ok", "png")
        picture(tmp_path / "archive" / archive_name(image), size=SIZE)
    (tmp_path / "archive" / PurePosixPath("line-1/top/notes.txt")).write_text("mine")
    status, found = say("--archive", tmp_path / "archive", "--line", "line-1", "--camera", "top", *FAST)
    assert (status, found["files"]["seen"], found["files"]["taken"]) == (0, 6, 5)


@pytest.mark.parametrize("width", [80, 40, 200])
def test_the_table_fits_the_terminal(
    line: Path, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _unreadable(line)
    picture(line / ("ok/" + "long" * 40 + ".png"), size=SIZE)
    monkeypatch.setenv("COLUMNS", str(width))
    assert run(["check", "--images", str(line)]) == 1
    out = capsys.readouterr().out
    lines = [text for text in out.splitlines() if not text.startswith("Check of ")]
    assert max(map(len, lines)) <= width
    flat = " ".join(out.split())
    assert "A fit would be refused, for 1 reason:" in flat
    assert "--skip-unreadable" in flat
    run(["check", "--images", str(line), "--skip-unreadable", *FAST])
    assert "A fit would start. Before that, look at the" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("suffix", [".png", ".html"])
def test_the_sheet_shows_the_images(line: Path, tmp_path: Path, suffix: str) -> None:
    picture(line / "ok/<b> overlay.png", size=SIZE, channels=3)
    write(line / "ok/blank.png", np.full((48, 64, 3), 9, np.uint8))
    out = tmp_path / f"sheet{suffix}"
    assert run(["check", "--images", str(line), "--out", str(out), *FAST]) == 0
    if suffix == ".png":
        sheet = cv2.imread(str(out))
        assert sheet is not None
        assert sheet.shape[1] == 1312
        assert sheet.std() > 10
        return
    page = out.read_text()
    assert "<script" not in page
    assert "<b>" not in page
    assert "ok/&lt;b&gt; overlay.png" in page
    for text in ("crack/1.png", "of a single colour", "named like a mask or result", "A fit would start."):
        assert text in page
    assert page.count("<img") >= 10


def test_a_sheet_of_what_cannot_be_listed_says_why(tmp_path: Path) -> None:
    out = tmp_path / "sheet.html"
    assert run(["check", "--images", str(tmp_path / "nowhere"), "--out", str(out)]) == 1
    assert "nowhere" in out.read_text()


def test_places_where_no_sheet_can_be_written(line: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(out: Path, *options: str) -> str:
        assert run(["check", "--images", str(line), "--out", str(out), *options]) == 1
        return capsys.readouterr().err

    taken = tmp_path / "there.png"
    taken.write_bytes(b"mine")
    assert "already exists; give another file to --out, or pass --overwrite" in refused(taken)
    assert taken.read_bytes() == b"mine"
    assert "does not exist; create it" in refused(tmp_path / "no/sheet.png")
    (tmp_path / "folder.png").mkdir()
    assert "is a folder" in refused(tmp_path / "folder.png", "--overwrite")
    image = line / "ok/0.png"
    before = image.read_bytes()
    assert "would overwrite an image" in refused(image, "--overwrite")
    assert image.read_bytes() == before
    assert run(["check", "--images", str(line), "--out", str(taken), "--overwrite", *FAST]) == 0
    assert taken.read_bytes() != b"mine"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--out", "bundle"), "must end with .png or .html"),
        (("--overwrite",), "--overwrite needs --out"),
        (("--training-percent", "90", "--validation-percent", "20"), "sum to more than 100"),
    ],
)
def test_wrong_usage(options: tuple[str, ...], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_settings(["check", "--images", "a", *options])


def test_it_takes_what_fit_takes() -> None:
    ours = parse_settings(["check", "--images", "a", "--tile", "64", "--seed", "3", "--max-false-rejects", "0.05"])
    assert isinstance(ours, CheckSettings)
    assert (ours.tile, ours.seed, ours.max_false_rejects) == (64, 3, 0.05)
