"""Decoding one frame: a picture, or a reason; never an exception."""

from __future__ import annotations

from typing import Any

import pytest

from inspector.anomaly.preprocess.image import ImageLimits
from inspector.anomaly.types import DLSample, Thresholds
from inspector.inflight.frame import Refusal
from inspector.stages.decode import decode_frame
from tests.fakes import FakeModel
from tests.frames import camera_frame, png

MODEL = FakeModel(Thresholds(classification=0.5, segmentation=0.5))


def decoded(**fields: Any) -> DLSample | Refusal:
    return decode_frame(camera_frame("a", 1, 1, **fields), MODEL, ImageLimits(max_bytes=100_000, max_pixels=10_000))


def test_a_sound_picture_comes_through() -> None:
    sample = decoded(image=png(77))
    assert isinstance(sample, DLSample)
    assert (sample.original_width, sample.original_height, sample.channels) == (64, 64, 1)
    assert (sample.image == 77).all()


def test_a_raw_picture_comes_through() -> None:
    raw = {"width": 64, "height": 64, "pixel_format": "mono8"}
    sample = decoded(image=bytes([9]) * 4096, encoding="raw", raw=raw, image_digest=None)
    assert isinstance(sample, DLSample)
    assert (sample.image == 9).all()


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ({"image_digest": "0" * 64}, "undecodable", "digest_mismatch"),
        ({"image": png()[:-10]}, "undecodable", "truncated"),
        ({"image": png(width=96)}, "failed", "geometry"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], status: str, reason: str) -> None:
    outcome = decoded(**fields)
    assert isinstance(outcome, Refusal)
    assert (outcome.status, outcome.reason) == (status, reason)


def test_want_of_memory_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> DLSample:
        raise MemoryError("no room")

    monkeypatch.setattr("inspector.stages.decode.decode_image", fail)
    assert decoded() == Refusal("failed", "out_of_memory", "no room")


def test_an_error_that_nobody_thought_of_stays_with_its_frame(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> DLSample:
        raise ZeroDivisionError("a surprise")

    monkeypatch.setattr("inspector.stages.decode.decode_image", fail)
    outcome = decoded()
    assert isinstance(outcome, Refusal)
    assert (outcome.status, outcome.reason, outcome.detail) == ("failed", "internal", "ZeroDivisionError: a surprise")
    assert "unexpectedly" in caplog.text
