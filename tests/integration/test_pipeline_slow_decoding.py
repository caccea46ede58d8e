"""A picture that takes long to decode harms its own camera alone, and is told of; on both buses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from inspector.anomaly.preprocess.image import decode_image
from inspector.anomaly.types import DLSample
from tests.buses import wait_until
from tests.encoded import scan_bomb
from tests.frames import png
from tests.stage import Stage, metric, sequences

HEAVY = png(width=256, height=256)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Heavy pictures are those of 256 x 256 pixels, and are decoded once this is set."""
    opened = threading.Event()

    def decode(data: bytes, **options: Any) -> DLSample:
        if data == HEAVY:
            opened.wait(60)
        return decode_image(data, **options)

    monkeypatch.setattr("inspector.stages.decode.decode_image", decode)
    monkeypatch.setattr("inspector.stages.admit.HEAVY_PIXELS", 256 * 256)
    yield opened
    opened.set()


async def test_heavy_pictures_hold_up_neither_other_cameras_nor_refusals(
    stage: Stage, gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    settings = stage.settings(limits={"slow_decoding_ms": 1500, "max_pixels": 1_000_000, "max_frame_bytes": 100_000})
    async with stage.service(settings) as service:
        for seq in range(3):
            for camera in "ab":
                await stage.publish(camera, seq, image=HEAVY)
        for seq in range(10):
            await stage.publish("c", seq)
            await stage.publish("d", seq, image=scan_bomb(64, 64, scans=3000), encoding="jpeg")
        results = await stage.bus.wait_for_results(20)
        assert sequences(results) == {"c": list(range(10)), "d": list(range(10))}
        assert {result.reason for result in results if result.camera_id == "d"} == {"too_large"}
        stage.clock.advance(1.6)
        name = "slow_decodings_total"
        await wait_until(lambda: metric(service, name, camera="line/a") + metric(service, name, camera="line/b") == 1)
        (told,) = [record.getMessage() for record in caplog.records if "has been decoded for" in record.getMessage()]
        assert "offset 0) has been decoded for 1.6 s" in told
        gate.set()
        results = await stage.bus.wait_for_results(26)
        assert sequences(results) == {camera: list(range(3 if camera in "ab" else 10)) for camera in "abcd"}
