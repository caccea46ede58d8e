"""Heartbeats of the service, in memory and on Apache Kafka: real scores of the models' own pictures, and what a gate makes of them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from inspector.gate.golden import Beat, beat_of
from inspector.service import Service
from inspector.settings.settings import Settings
from schemas import DLResultMessage, decode, expected_score_from_headers
from tests.buses import Headers, MemoryBus
from tests.stage import CAMERAS, Stage, metric

GOLDEN_SCORE = 0.125

Found = tuple[DLResultMessage, Headers]


async def beating(stage: Stage, **sections: Any) -> Settings:
    """Settings with ten heartbeats a second, and their topic."""
    settings = stage.settings(**({"heartbeat": {"interval_ms": 100}} | sections))
    await stage.bus.make_topics(settings)
    if isinstance(stage.bus, MemoryBus):
        stage.bus.broker.partitions[settings.topics.heartbeats_topic] = 1
    return settings


async def beats(stage: Stage) -> list[Found]:
    records = await stage.bus.records(stage.bus.topics.heartbeats_topic)
    return [(decode(DLResultMessage, record.value), record.headers) for record in records]


async def until_beats(stage: Stage, count: int) -> list[Found]:
    give_up = time.monotonic() + 60
    while len(found := await beats(stage)) < count:
        assert time.monotonic() < give_up, f"only {len(found)} heartbeats"
        await asyncio.sleep(0.02)
    return found


async def test_each_camera_has_heartbeats_that_a_gate_takes_and_no_frame_notices(stage: Stage) -> None:
    async with stage.service(await beating(stage)) as service:
        for seq in range(8):
            await stage.publish("a", seq)
        found = await until_beats(stage, 3 * len(CAMERAS))
        results = await stage.bus.wait_for_results(8)
        assert [result.seq for result in results] == list(range(8))
        assert metric(service, "heartbeats_total", status="inspected") >= 3 * len(CAMERAS)
        assert metric(service, "frames_total", camera="other", status="inspected", reason="none") == 0
        assert metric(service, "frames_total", camera="line/a", status="inspected", reason="none") == 8
    assert {(told.line_id, told.camera_id) for told, _ in found} == {("line", camera) for camera in CAMERAS}
    for told, headers in found:
        assert (told.status, told.anomaly_score, told.is_simulated) == ("inspected", GOLDEN_SCORE, True)
        assert told.part_id == "golden-0"
        assert expected_score_from_headers(headers) == GOLDEN_SCORE
        assert beat_of(told, headers, stage.clock.wall_us(), skew_us=0) == Beat(None)
        assert set(told.stage_seconds) >= {"decode", "batch", "score"}


async def test_a_model_that_scores_otherwise_says_so_in_its_heartbeats(stage: Stage) -> None:
    stage.model.golden_scores = (0.25,)
    async with stage.service(await beating(stage)):
        told, headers = (await until_beats(stage, 1))[0]
    beat = beat_of(told, headers, stage.clock.wall_us(), skew_us=0)
    assert beat is not None
    assert beat.fault == f"the picture stored with the model of camera {told.camera_id} scores 0.125, not 0.25"


async def test_a_device_that_stands_still_or_fails_gives_no_heartbeat(stage: Stage) -> None:
    held = stage.hold_device()
    service, task = await stage.start(await beating(stage))
    try:
        await asyncio.to_thread(held.scoring.wait, 60)
        assert await beats(stage) == []
        held.gate.set()
        await until_beats(stage, 1)
    finally:
        held.gate.set()
        service.stop()
        await task


async def test_without_the_setting_there_is_none(stage: Stage) -> None:
    async with stage.service() as service:
        await stage.publish("a", 1)
        await stage.bus.wait_for_results(1)
        assert metric(service, "heartbeats_total", status="inspected") == 0
        assert service.pipeline is not None


async def test_a_process_beats_for_the_cameras_of_its_own_partitions_only(stage: Stage) -> None:
    settings = await beating(stage)
    services: list[Service] = []
    async with stage.service(settings) as first, stage.service(settings) as second:
        services += [first, second]
        give_up = time.monotonic() + 60
        while not all(metric(service, "assigned_partitions") == 4 for service in services):
            assert time.monotonic() < give_up
            await asyncio.sleep(0.02)
        before = len(await beats(stage))
        found = (await until_beats(stage, before + 12))[before:]
    assert {told.camera_id for told, _ in found} == set(CAMERAS)


async def test_a_model_without_a_picture_has_none_and_the_log_says_so(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.model.golden_images = stage.model.golden_scores = ()
    async with stage.service(await beating(stage)):
        await stage.publish("a", 1)
        await stage.bus.wait_for_results(1)
        assert await beats(stage) == []
    assert "line/a has no heartbeat: model brightness contains no picture" in caplog.text
