"""The pictures that the trainer's commands are tried on: small, generated, and divided where a test needs them so."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.fits import NOK, OK, SMALL, Fit
from tests.pictures import part, stroke_mask, write
from trainer.commands.cli import run


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


@pytest.fixture
def fit(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Fit:
    """Runs `trainer fit --json` and returns what it says."""

    def fitted(*options: object, source: tuple[object, ...] | None = None, small: bool = True) -> dict[str, Any]:
        origin = ("--images", images) if source is None else source
        size = SMALL if small else ()
        # What is tried here is the same with PaDiM, which is faster than the default.
        model = () if {"--detector", "--quality"} & set(options) else ("--quality", "fast")
        arguments = ["fit", *origin, "--out", tmp_path / "out", *size, *model, "--json", "--overwrite", *options]
        status = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert status == 0, captured.err
        document: dict[str, Any] = json.loads(captured.out)
        return document

    return fitted


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
