"""`trainer apply`: what it prints as it goes, what it accounts for, and how it ends."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.folders import lock
from tests.forks import Forks
from tests.models import make_bundle, nok_picture, ok_picture
from tests.pictures import write
from trainer.apply.run import find_images, plan_apply
from trainer.commands.cli import run
from trainer.errors import DatasetError, OutputError, SettingsError
from trainer.settings.commands import ApplySettings, parse_settings

OK, NOK = 9, 3

Said = tuple[int, list[dict[str, Any]], str]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles"), name="a")


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine ok pictures and three nok ones."""
    root, random = tmp_path_factory.mktemp("new"), np.random.default_rng(7)
    for i in range(OK):
        write(root / f"line/{i}.png", ok_picture(random)[..., ::-1])
    for i in range(NOK):
        write(root / f"nok/{i}.png", nok_picture(random)[..., ::-1])
    return root


@pytest.fixture
def messy(clean: Path, tmp_path: Path) -> Path:
    """The same, and eight files that are no readable pictures of this camera."""
    root = Path(shutil.copytree(clean, tmp_path / "messy"))
    (root / "bad.png").write_bytes(b"no picture")
    (root / "gone.png").symlink_to("nowhere.png")
    write(root / "wide.png", np.zeros((64, 128, 3), np.uint8))
    (root / "a.gif").write_bytes(b"GIF89a")
    (root / "notes.txt").write_text("mine")
    (root / "Thumbs.db").write_bytes(b"")
    (root / ".hidden.png").write_bytes(b"")
    write(root / "ground_truth/nok/0.png", np.zeros((64, 64), np.uint8))
    return root


@pytest.fixture
def apply(bundle: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs the command, and returns its status, its lines of JSON and its complaints."""

    def said(*arguments: object) -> Said:
        status = run(["apply", str(bundle), *map(str, arguments), "--json"])
        captured = capsys.readouterr()
        return status, [json.loads(line) for line in captured.out.splitlines()], captured.err

    return said


# ----------------------------------------------------------------------------------------------------------- accounts


def test_a_folder_of_nothing_but_pictures_leaves_nothing_out(apply: Callable[..., Said], clean: Path) -> None:
    status, (*images, summary), complaint = apply(clean)
    assert status == 0
    assert complaint == ""
    assert [line["event"] for line in images] == ["image"] * (OK + NOK)
    assert (summary["event"], summary["seen"], summary["scored"], summary["rejected"]) == ("summary", 12, 12, NOK)
    assert summary["left_out"] == []


def test_every_file_is_accounted_for_and_the_sums_agree(
    apply: Callable[..., Said], messy: Path, tmp_path: Path
) -> None:
    status, lines, complaint = apply(messy, "--csv", tmp_path / "t.csv")
    assert status == 3
    summary = lines[-1]
    counts = {one["reason"]: one["count"] for one in summary["left_out"]}
    assert counts == {
        "unreadable": 2,
        "does not fit the model": 1,
        "of a format that is not read": 1,
        "not a picture by its name": 2,
        "hidden": 1,
        "in the folder of masks": 1,
    }
    files = [path for path in messy.rglob("*") if path.is_symlink() or path.is_file()]
    assert summary["scored"] + sum(counts.values()) == summary["seen"] == len(files)
    scored = [line for line in lines if line["event"] == "image" and line["anomaly_class"] is not None]
    left_out = [line for line in lines if line["event"] == "left_out" or (line["event"] == "image" and line["reason"])]
    assert (len(scored), len(left_out)) == (summary["scored"], sum(counts.values()))
    assert all(name in complaint for name in ("bad.png", "gone.png", "wide.png"))
    with (tmp_path / "t.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["image"] for row in rows) == sorted(map(str, files))
    assert sum(bool(row["anomaly_class"]) for row in rows) == summary["scored"]


def test_what_was_no_picture_is_counted_and_no_failure(apply: Callable[..., Said], messy: Path) -> None:
    for name in ("bad.png", "gone.png", "wide.png", "a.gif"):
        (messy / name).unlink()
    status, lines, _ = apply(messy)
    assert (status, lines[-1]["seen"], lines[-1]["scored"]) == (0, 16, 12)


def test_nothing_scored_is_a_failure(apply: Callable[..., Said], messy: Path) -> None:
    status, lines, _ = apply(messy / "bad.png")
    assert (status, lines[-1]["scored"]) == (1, 0)


def test_an_image_that_is_named_is_scored_whatever_its_name_and_once(clean: Path, messy: Path) -> None:
    odd = messy / "picture.dat"
    shutil.copy(clean / "line/0.png", odd)
    paths, left_out = find_images([messy, odd, messy / "line" / ".." / "bad.png", messy / ".hidden.png"])
    assert [path.name for path in paths].count("bad.png") == 1
    assert {odd, messy / ".hidden.png"} <= set(paths)
    assert not {str(odd), str(messy / ".hidden.png")} & {one.name for one in left_out}


def test_folders_that_cannot_be_read_are_refused(
    clean: Path, messy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bundle: Path
) -> None:
    lock(monkeypatch, lambda folder: folder == messy / "nok")
    for given in (messy, messy / "nok"):
        assert run(["apply", str(bundle), str(given)]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert (
            f"the folder {messy / 'nok'} cannot be read (Permission denied); grant yourself the right" in captured.err
        )
    monkeypatch.undo()
    (messy / "empty").mkdir()
    with pytest.raises(DatasetError, match="no image in"):
        find_images([clean, messy / "empty"])


# --------------------------------------------------------------------------------------------------- what it is told


def test_another_threshold_judges_the_same_scores(apply: Callable[..., Said], clean: Path) -> None:
    _, (*usual, _), _ = apply(clean)
    middle = sorted(line["anomaly_score"] for line in usual)[5]
    status, (*images, summary), _ = apply(clean, "--threshold", middle)
    assert status == 0
    assert [line["anomaly_score"] for line in images] == [line["anomaly_score"] for line in usual]
    assert {line["classification_threshold"] for line in images} == {middle}
    assert summary["rejected"] == OK + NOK - 5
    for line in images:
        assert (line["anomaly_class"] == "nok") == (line["anomaly_score"] >= middle)


@pytest.mark.parametrize("value", ["0", "1", "nan", "-1", "high"])
def test_a_threshold_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="--threshold"):
        parse_settings(["apply", "bundle", "a.png", f"--threshold={value}"])


def test_pictures_are_called_as_their_images_and_kept_apart(
    apply: Callable[..., Said], clean: Path, tmp_path: Path
) -> None:
    given = tmp_path / "given"
    for name in ("a/x.jpg", "a/x.jpeg", "b/x.png", "b/y.jpg"):
        write(given / name, ok_picture(np.random.default_rng(0)))
    _, (*images, _), _ = apply(given, "--pictures", tmp_path / "out")
    pictures = {Path(line["picture"]).relative_to(tmp_path / "out").as_posix() for line in images}
    assert pictures == {"a/x_jpg.png", "a/x_jpeg.png", "b/x.png", "b/y.png"}
    assert {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png")} == pictures


def test_a_table_in_a_place_that_will_not_do_is_refused_before_the_model_is_read(clean: Path, tmp_path: Path) -> None:
    settings = ApplySettings(bundle=tmp_path / "none", images=[clean], csv=tmp_path / "none/t.csv")
    with pytest.raises(OutputError, match="does not exist; create it"):
        plan_apply(settings)


def test_help_tells_the_exit_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["apply", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "3 some pictures were left out" in text
    assert "130 interrupted; 141 the program that read the output has closed it" in text


def test_every_command_has_a_line_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["--help"])
    listed = capsys.readouterr().out
    for command in ("fit", "apply", "show", "workflow"):
        assert any(line.split()[:1] == [command] and len(line.split()) > 3 for line in listed.splitlines()), command


# ------------------------------------------------------------------------------------------------------------ process


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as forks:
        yield forks


# One picture in a batch, and an interrupt, as a user would give it, once three are scored.
INTERRUPTED = (
    "import os, signal, sys, trainer.evaluation.scoring as scoring\n"
    "scoring.pictures_at_once = lambda *_: 1\n"
    "judge, done = scoring.threshold_dl_anomaly_results, []\n"
    "def interrupted(*arguments):\n"
    "    done.append(1)\n"
    "    if len(done) == 4: os.kill(os.getpid(), signal.SIGINT)\n"
    "    return judge(*arguments)\n"
    "scoring.threshold_dl_anomaly_results = interrupted\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from trainer.__main__ import main\n"
    "main()\n"
)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_what_was_scored_before_an_interrupt_is_there(
    forks: Forks, bundle: Path, clean: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    ended = forks.run(INTERRUPTED, "apply", bundle, clean, *options, "--csv", tmp_path / "t.csv")
    assert ended.returncode == 128 + signal.SIGINT, ended.stderr.decode()
    lines = ended.stdout.decode().splitlines()
    if options:
        *images, summary = map(json.loads, lines)
        assert (len(images), summary["scored"], summary["not_reached"], summary["csv"]) == (3, 3, 9, None)
    else:
        assert [line.split()[0] for line in lines[1:4]] == [str(clean / f"line/{i}.png") for i in range(3)]
        assert "3 scored" in lines[4]
        assert "9 not reached" in lines[4]
        assert "is not written, because it would be incomplete" in lines[5]
    assert ended.stderr.decode().rstrip().endswith("trainer: interrupted")
    assert b"Traceback" not in ended.stderr
    assert not (tmp_path / "t.csv").exists()


MAIN = "from trainer.__main__ import main; main()"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_reader_that_has_left_ends_it_without_a_word(
    forks: Forks, bundle: Path, clean: Path, options: tuple[str, ...]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = forks.run(MAIN, "apply", bundle, clean, *options, stdout=writing)
    finally:
        os.close(writing)
    assert ended.returncode == 128 + signal.SIGPIPE
    assert b"Traceback" not in ended.stderr
    assert b"trainer:" not in ended.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_full_disk_is_a_sentence(forks: Forks, bundle: Path, clean: Path, options: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = forks.run(MAIN, "apply", bundle, clean, *options, stdout=full.fileno())
    assert ended.returncode == 1
    assert b"trainer: standard output cannot be written: No space left on device\n" in ended.stderr
    assert b"Traceback" not in ended.stderr


def test_names_that_no_ascii_terminal_can_show_are_escaped(bundle: Path, clean: Path, tmp_path: Path) -> None:
    for name in ("Prüfling", "two\nlines", os.fsdecode(b"\xff")):
        shutil.copy(clean / "line/0.png", tmp_path / f"{name}.png")
    settings = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "COLUMNS": "40"}
    command = [sys.executable, "-c", MAIN, "apply", str(bundle), str(tmp_path), "--csv", str(tmp_path / "t.csv")]
    ended = subprocess.run(command, capture_output=True, check=False, env=settings)
    assert ended.returncode == 0, ended.stderr
    shown = ended.stdout.decode("ascii")
    assert "Pr\\xfcfling.png" in shown
    assert "two\\nlines.png" in shown
    assert "\\xff.png" in shown
    assert "3 scored" in shown
