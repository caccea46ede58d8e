"""The pictures that the trainer's commands are tried on: small, generated, and divided where a test needs them so."""

from __future__ import annotations

import csv
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.datasets import every_nth
from tests.fits import NOK, OK, SMALL, Fit
from tests.pictures import part, stroke_mask, write
from trainer.commands.cli import run
from trainer.training.network import default_input_size
from trainer.workflow import arguments


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ok and stroke, with masks; each part was taken twice."""
    root = tmp_path_factory.mktemp("disc")
    for i in range(OK):
        write(root / f"ok/part{i // 2:02}_{i % 2}.png", part(i))
    for i in range(NOK):
        write(root / f"stroke/bad{i}.png", part(2000 + i, defect=True))
        clean, bad = part(2000 + i), part(2000 + i, defect=True)
        write(root / f"ground_truth/stroke/bad{i}.png", stroke_mask(bad, clean))
    return root


@pytest.fixture(scope="module")
def few(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One picture of each part, FEW_OK in all, and FEW_NOK with a stroke, with masks."""
    return every_nth(images, 2, tmp_path_factory.mktemp("few"))


@pytest.fixture
def fit(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Fit:
    """Runs `trainer fit --json` and returns what it says."""

    def fitted(*options: object, source: tuple[object, ...] | None = None, small: bool = True) -> dict[str, Any]:
        origin = ("--images", images) if source is None else source
        size = SMALL if small else ()
        # What is tried here is the same with PaDiM, which is faster than the default.
        model = () if {"--detector", "--quality"} & set(options) else ("--quality", "fast")
        given = ["fit", *origin, "--out", tmp_path / "out", *size, *model, "--json", "--overwrite", *options]
        status = run([str(argument) for argument in given])
        captured = capsys.readouterr()
        assert status == 0, captured.err
        document: dict[str, Any] = json.loads(captured.out)
        return document

    return fitted


@pytest.fixture
def small_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a command chooses the size of the model's input, its short side is 96 instead of 256: a fraction of the work."""
    monkeypatch.setattr(arguments, "default_input_size", partial(default_input_size, short_side=96))


@pytest.fixture
def divided(images: Path, tmp_path: Path) -> Path:
    """A manifest of the images that says what each is for: the first 14 to learn from, 6 to calibrate, 6 to test."""
    path = tmp_path / "divided.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "image_label", "split"])
        splits = ["train"] * 14 + ["validation"] * 6 + ["test"] * 6
        table.writerows([p, "ok", split] for p, split in zip(sorted((images / "ok").iterdir()), splits, strict=True))
        table.writerows([p, "nok", "test"] for p in sorted((images / "stroke").iterdir()))
    return path
