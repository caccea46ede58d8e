"""Frames for tests: small gray PNGs whose brightness is the score that `FakeModel` gives them."""

from __future__ import annotations

import functools
from typing import Any

import cv2
import numpy as np

from schemas import CameraFrame, encode, frame_headers, image_digest

Headers = list[tuple[str, bytes | None]]


@functools.cache
def png(level: int = 40, *, width: int = 64, height: int = 64) -> bytes:
    """Return a gray PNG of one brightness."""
    ok, data = cv2.imencode(".png", np.full((height, width), level, np.uint8))
    assert ok
    return data.tobytes()


def camera_frame(camera_id: str, seq: int, captured_at: int, **fields: Any) -> CameraFrame:
    """Return frame number `seq` of a camera; `fields` replace what is made up."""
    image = fields.pop("image", png())
    values: dict[str, Any] = {
        "line_id": "line",
        "camera_id": camera_id,
        "part_id": f"part-{seq}",
        "seq": seq,
        "captured_at": captured_at,
        "encoding": "png",
        "image": image,
        "image_digest": image_digest(image),
    }
    return CameraFrame(**(values | fields))


def record_of(frame: CameraFrame) -> tuple[bytes, bytes, Headers]:
    """Return key, value and headers of a frame's record."""
    return f"{frame.line_id}/{frame.camera_id}".encode(), encode(frame), list(frame_headers(frame))
