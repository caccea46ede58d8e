"""Where frames spend their time: every one counts, whatever became of it, or an overload would look fast."""

from __future__ import annotations

import asyncio

from typing_extensions import override

from inspector.anomaly.errors import GeometryError
from inspector.anomaly.types import DLSample
from inspector.service import Service
from tests.buses import wait_until
from tests.fakes import FakeModel
from tests.stage import Stage, by_seq, metric


def spent_s(service: Service, stage: str) -> float:
    return metric(service, "stage_seconds_sum", stage=stage)


def frames(service: Service, stage: str) -> float:
    return metric(service, "stage_seconds_count", stage=stage)


async def test_time_in_a_queue_counts_for_those_that_expire_there(stage: Stage) -> None:
    _, gate = stage.hold_device()
    settings = stage.settings(device_threads=1, decode_threads=2, batching={"max_batch_size": 1})
    async with stage.service(settings) as service:
        await stage.publish("a", 0)
        await wait_until(lambda: metric(service, "queue_frames", stage="score") == 1)
        for seq in range(1, 10):
            await stage.publish("a", seq)
        await wait_until(lambda: metric(service, "in_flight_frames") == 10)
        # One at the device, as many decoded ahead as may be, the others still encoded.
        await wait_until(lambda: metric(service, "queue_frames", stage="batch") == 4)
        assert metric(service, "queue_frames", stage="decode") == 5
        stage.clock.advance(5)
        gate.set()
        results = by_seq(await stage.bus.wait_for_results(10))
        await wait_until(lambda: frames(service, "send") == 10)
        reasons = [results[seq].reason for seq in range(10)]
        assert reasons == ["late_before_send", *["late_before_score"] * 4, *["late_before_decode"] * 5]
        assert (spent_s(service, "queue"), frames(service, "queue")) == (5 * 5, 10), "each waits once for a worker"
        assert (spent_s(service, "batch"), frames(service, "batch")) == (4 * 5, 5), "and, once decoded, for the device"
        assert (spent_s(service, "score"), frames(service, "score")) == (5, 1)
        assert (spent_s(service, "decode"), frames(service, "decode")) == (0, 5)
        assert frames(service, "encode") == frames(service, "sequence") == 10
        assert results[9].stage_seconds == {"queue": 5.0}


async def test_time_in_decode_counts_for_those_that_it_refuses(stage: Stage) -> None:
    class Slow(FakeModel):
        @override
        def check_geometry(self, sample: DLSample) -> None:
            if sample.image.size:  # asked before decoding, too
                stage.clock.advance(0.25)
                raise GeometryError("slow to say no")

    stage.model = Slow(stage.model.thresholds)
    await stage.publish("a", 1)
    async with stage.service() as service:
        (result,) = await stage.bus.wait_for_results(1)
        await wait_until(lambda: frames(service, "send") == 1)
        assert (result.status, result.reason) == ("failed", "geometry")
        assert (spent_s(service, "decode"), frames(service, "decode")) == (0.25, 1)
        assert result.stage_seconds["decode"] == 0.25


async def test_a_record_that_cannot_be_read_waited_in_no_queue(stage: Stage) -> None:
    await stage.bus.publish(0, b"line/a", b"garbage")
    async with stage.service() as service:
        await stage.bus.wait_for_results(1)
        await wait_until(lambda: frames(service, "send") == 1)
        assert [frames(service, name) for name in ("queue", "decode", "score")] == [0, 0, 0]
        assert [frames(service, name) for name in ("encode", "sequence", "send")] == [1, 1, 1]


async def test_time_of_those_that_are_given_up_counts_once(stage: Stage) -> None:
    scoring, gate = stage.hold_device()
    settings = stage.settings(device_threads=1, decode_threads=2, batching={"max_batch_size": 1}, drain_timeout_s=0.2)
    for seq in range(6):
        await stage.publish("a", seq)
    service, task = await stage.start(settings)
    await asyncio.to_thread(scoring.wait, 60)
    await wait_until(lambda: metric(service, "queue_frames", stage="batch") == 4)
    assert metric(service, "queue_frames", stage="decode") == 1
    stage.clock.advance(0.5)
    service.stop()
    await wait_until(lambda: spent_s(service, "score") == 0.5)
    assert (spent_s(service, "queue"), spent_s(service, "batch")) == (0.5, 4 * 0.5)
    gate.set()
    await task
    assert (frames(service, "score"), spent_s(service, "score")) == (1, 0.5)
    assert (frames(service, "queue"), frames(service, "batch")) == (6, 5)
