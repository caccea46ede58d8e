"""A verdict in time or none that passes: expiry at each of its checks, on both buses."""

from __future__ import annotations

import pytest

from inspector.observe import clocks
from tests.buses import wait_until
from tests.stage import Stage, by_seq, metric


async def test_a_frame_that_arrives_late_is_expired_before_it_is_decoded(stage: Stage) -> None:
    await stage.publish("a", 1, captured_at=stage.clock.wall_us() - 1_000_000)
    await stage.publish("a", 2, captured_at=stage.clock.wall_us() - 999_000)
    await stage.publish("a", 3, captured_at=stage.clock.wall_us() - 1_000_000, budget_us=2_000_000)
    async with stage.service():
        results = by_seq(await stage.bus.wait_for_results(3))
    assert [(results[seq].status, results[seq].reason) for seq in (1, 2, 3)] == [
        ("expired", "late_before_decode"),
        ("inspected", "none"),
        ("inspected", "none"),
    ]
    assert results[1].anomaly_class_id == 1
    assert await stage.bus.deadletters() == []


async def test_a_late_frame_behind_a_fresh_one_of_its_camera_is_answered_too(stage: Stage) -> None:
    await stage.publish("a", 1)
    for seq in (2, 3):
        await stage.publish("a", seq, captured_at=stage.clock.wall_us() - 2_000_000)
    await stage.publish("a", 4)
    async with stage.service():
        results = by_seq(await stage.bus.wait_for_results(4))
    assert [results[seq].status for seq in (1, 2, 3, 4)] == ["inspected", "expired", "expired", "inspected"]
    assert results[2].reason == "late_before_decode"


async def test_a_frame_that_waits_too_long_for_the_device_is_expired_before_it_is_scored(stage: Stage) -> None:
    _, gate = stage.hold_device()
    async with stage.service(stage.settings(device_threads=2)) as service:
        await stage.publish("a", 1)
        await wait_until(lambda: metric(service, "queue_frames", stage="score") == 1)
        await stage.publish("a", 2)
        await wait_until(lambda: metric(service, "queue_frames", stage="score") == 2)
        await stage.publish("a", 3)  # the others stand at the device, this one before it
        await wait_until(lambda: metric(service, "queue_frames", stage="batch") == 1)
        stage.clock.advance(5)
        gate.set()
        results = by_seq(await stage.bus.wait_for_results(3))
    assert (results[3].status, results[3].reason, results[3].anomaly_class_id) == ("expired", "late_before_score", 1)
    for seq in (1, 2):
        assert (results[seq].status, results[seq].reason) == ("expired", "late_before_send")
        assert results[seq].anomaly_class_id == 1


async def test_a_verdict_that_is_late_when_it_is_sent_says_so_and_is_nok(stage: Stage) -> None:
    stage.model.on_launch = lambda _size: stage.clock.advance(5)
    await stage.publish("a", 1)
    async with stage.service():
        (result,) = await stage.bus.wait_for_results(1)
    assert (result.status, result.reason) == ("expired", "late_before_send")
    assert (result.anomaly_class_id, result.anomaly_score) == (1, None)
    (sent,) = await stage.bus.records(stage.bus.topics.results_topic("", ""))
    assert dict(sent.headers)["anomaly_class_id"] == b"1"


async def test_a_stamp_from_the_future_is_not_fresh(stage: Stage) -> None:
    """Too far ahead it is refused at once; within the skew it counts once our clock has passed it, and it is as old as it is here."""
    stage.model.on_launch = lambda _size: stage.clock.advance(0.7)
    await stage.publish("a", 1, captured_at=stage.clock.wall_us() + 3_000_000)
    await stage.publish("a", 2, captured_at=stage.clock.wall_us() + 600_000, budget_us=5_000_000)
    await stage.publish("b", 3, captured_at=stage.clock.wall_us() + 600_000, budget_us=600_000)
    async with stage.service():
        results = by_seq(await stage.bus.wait_for_results(3))
    assert (results[1].status, results[1].reason, results[1].anomaly_class_id) == ("expired", "captured_in_future", 1)
    assert results[2].status == "inspected"
    assert (results[3].status, results[3].anomaly_class_id) == ("expired", 1), "read longer ago than its budget"


async def test_a_step_of_the_wall_clock_expires_nothing_that_is_in_flight(stage: Stage) -> None:
    stage.model.on_launch = lambda _size: stage.clock.step_wall(3600)
    await stage.publish("a", 1)
    async with stage.service():
        (result,) = await stage.bus.wait_for_results(1)
    assert result.status == "inspected"
    assert result.deadline_at is not None
    assert result.produced_at > result.deadline_at, "the clock was not stepped"


async def test_a_verdict_before_its_pictures_capture_is_never_fresh(
    stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the skew that is let in: our clock is behind, so nobody knows how old the picture is."""
    await stage.publish("a", 1, captured_at=stage.clock.wall_us() + 1_400_000)
    await stage.publish("a", 2, captured_at=stage.clock.wall_us())
    async with stage.service() as service:
        results = by_seq(await stage.bus.wait_for_results(2))
        offsets = metric(service, "clock_offset_seconds_bucket", camera="line/a", le="-1.0")
        assert metric(service, "camera_clock_ahead_alarm", camera="line/a") == 1
        monkeypatch.setattr(clocks, "CALM_S", 0.0)  # the camera is silent from now on
        await wait_until(lambda: metric(service, "camera_clock_ahead_alarm", camera="line/a") == 0)
    assert (results[1].status, results[1].reason, results[1].anomaly_class_id) == ("expired", "captured_in_future", 1)
    assert (results[2].status, results[2].anomaly_class_id) == ("inspected", 0)
    assert offsets == 1
    assert caplog.text.count("the clock of line/a is ahead of this machine's by at least 1.400 s") == 1
