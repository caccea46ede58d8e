from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inspector.anomaly.preprocess.image import RawLayout, decode_image
from inspector.archive.picture import picture_file
from schemas import CameraFrame, RawFormat
from schemas.frame import PixelFormat
from tests.frames import camera_frame
from trainer.pictures.files import read_picture

FORMATS: list[tuple[PixelFormat, int]] = [("mono8", 1), ("mono16", 2), ("rgb8", 3), ("bgr8", 3)]


@pytest.mark.parametrize(("pixel_format", "num_bytes"), FORMATS)
def test_the_trainer_reads_the_pixels_that_the_service_judged(
    pixel_format: PixelFormat, num_bytes: int, tmp_path: Path
) -> None:
    width, height = 7, 5
    image = np.random.default_rng(1).integers(0, 256, width * height * num_bytes, np.uint8).tobytes()
    raw = RawFormat(width=width, height=height, pixel_format=pixel_format)
    frame = camera_frame("top", 1, 5, encoding="raw", raw=raw, image=image)
    suffix, content = picture_file(frame, image)
    path = tmp_path / f"picture.{suffix}"
    path.write_bytes(content)
    judged = decode_image(image, encoding="raw", raw=RawLayout(**raw.model_dump()))
    np.testing.assert_array_equal(read_picture(path).image, judged.image)


@pytest.mark.parametrize(("encoding", "suffix"), [("jpeg", "jpg"), ("png", "png")])
def test_encoded_pictures_are_the_very_bytes(encoding: str, suffix: str) -> None:
    frame: CameraFrame = camera_frame("top", 1, 5, encoding=encoding, image=b"whatever it is")
    assert picture_file(frame, frame.image) == (suffix, b"whatever it is")
