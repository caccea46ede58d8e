"""No frame without its verdict: failures, takeovers, stops and bounded memory, on both buses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from inspector.bus.ports import Partition, ProducedRecord
from inspector.errors import BusError
from inspector.service import EXIT_CLEAN, EXIT_CUT_SHORT, Service
from inspector.watchdog.limits import EXIT_DEVICE_LOST, EXIT_FAILED
from tests.buses import wait_until
from tests.fakes import FakeModel, UnreliableProducer
from tests.stage import CAMERAS, Bystander, Stage, metric, sequences

RAW_256 = {"width": 256, "height": 256, "pixel_format": "mono8"}


async def test_sends_that_fail_are_repeated_and_nothing_overtakes_them(stage: Stage) -> None:
    producer = UnreliableProducer(stage.bus.producer(stage.settings()))
    attempts = 0

    def fail_sometimes(_partition: Partition, _records: Sequence[ProducedRecord]) -> None:
        nonlocal attempts
        attempts += 1
        if attempts % 3 == 0:
            raise BusError("a fault that the test makes")

    producer.before = producer.after = fail_sometimes
    await stage.publish_many(("a", seq) for seq in range(30))
    async with stage.service(producer=producer):
        results = await stage.bus.wait_for_results(30)
    assert sequences(results) == {"a": list(range(30))}
    assert await stage.bus.committed(0) == 30


async def test_nothing_is_committed_before_its_result_is_acknowledged(stage: Stage) -> None:
    producer = UnreliableProducer(stage.bus.producer(stage.settings()))
    await stage.publish("a", 0)
    async with stage.service(producer=producer):
        await stage.bus.wait_for_results(1)
        producer.open.clear()
        await stage.publish_many(("a", seq) for seq in range(1, 5))
        await wait_until(lambda: sum(stage.model.batches) == 5)
        assert len(await stage.bus.results()) == 1
        assert await stage.bus.committed(0) <= 1
        producer.open.set()
        await stage.bus.wait_for_results(5)
    assert await stage.bus.committed(0) == 5


async def test_what_a_killed_process_left_behind_is_done_by_the_next_one(stage: Stage) -> None:
    producer = UnreliableProducer(stage.bus.producer(stage.settings()))
    await stage.publish_many(("a", seq) for seq in range(40))
    producer.after = lambda _partition, _records: producer.open.clear()  # one acknowledgement, then silence
    _, task = await stage.start(stage.settings(drain_timeout_s=0.2), producer=producer)
    await stage.bus.wait_for_results(1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    committed = await stage.bus.committed(0)
    async with stage.service() as service:
        # All may have arrived already; what was not acknowledged is done again.
        finished = {"camera": "line/a", "status": "inspected", "reason": "none"}
        await wait_until(lambda: metric(service, "frames_total", **finished) == 40 - committed)
        results = await stage.bus.results()
    assert sequences(results) == {"a": list(range(40))}
    assert await stage.bus.committed(0) == 40


async def test_a_second_member_takes_over_partitions_and_gives_them_back(stage: Stage) -> None:
    async def publish(seqs: range) -> None:
        await stage.publish_many((camera, seq) for seq in seqs for camera in CAMERAS)

    def holds(service: Service, count: int) -> Callable[[], bool]:
        return lambda: service.pipeline is not None and len(service.pipeline.source.leases) == count

    async with stage.service() as first:
        await publish(range(10))
        await wait_until(holds(first, 8))
        second_model = FakeModel(stage.model.thresholds)
        settings = stage.settings()
        second = Service(
            settings,
            read_model=lambda _path: second_model,
            consumer=stage.bus.consumer(settings),
            producer=stage.bus.producer(settings),
            clock=stage.clock,
        )
        task = asyncio.create_task(second.run())
        await wait_until(holds(second, 4))
        await wait_until(holds(first, 4))
        await publish(range(10, 20))
        await stage.bus.wait_for_results(80)
        second.stop()
        assert await task == EXIT_CLEAN
        await wait_until(holds(first, 8))
        await publish(range(20, 30))
        results = await stage.bus.wait_for_results(120)
    assert sequences(results) == {camera: list(range(30)) for camera in CAMERAS}
    assert sum(second_model.batches) > 0
    assert len(results) == 120, "an orderly handover repeats nothing"


async def test_a_stop_finishes_what_was_begun_and_commits_it(stage: Stage) -> None:
    scoring, gate = stage.hold_device()
    await stage.publish_many(("a", seq) for seq in range(100))
    service, task = await stage.start()
    await asyncio.to_thread(scoring.wait, 60)
    service.stop()
    await wait_until(lambda: "partitions: stopping" in service.health.not_ready())
    gate.set()
    assert await task == EXIT_CLEAN
    results = await stage.bus.results()
    assert 0 < len(results) < 100, "the queue is left to others, what was begun is not"
    assert sequences(results)["a"] == list(range(len(results)))
    assert await stage.bus.committed(0) == len(results)


async def test_a_stop_sends_nothing_that_stands_behind_what_it_gives_up(stage: Stage) -> None:
    scoring, gate = stage.hold_device()
    for seq in range(100):
        await stage.publish("a", seq, **({"image": b"garbage"} if seq in {5, 90, 99} else {}))
    service, task = await stage.start()
    await asyncio.to_thread(scoring.wait, 60)
    await wait_until(lambda: metric(service, "in_flight_frames") == 100)
    service.stop()
    await wait_until(lambda: "partitions: stopping" in service.health.not_ready())
    gate.set()
    assert await task == EXIT_CLEAN
    done = len(await stage.bus.results())
    assert done < 90, "frames 90 and 99 were refused long ago, but others stand before them"
    stage.model.on_launch = lambda _size: None
    async with stage.service():
        results = await stage.bus.wait_for_results(100)
    assert sequences(results) == {"a": list(range(100))}
    assert len(results) == 100, "what was given up is answered once, by its next owner"


async def test_a_drain_that_takes_too_long_is_cut_short_and_says_so(stage: Stage) -> None:
    producer = UnreliableProducer(stage.bus.producer(stage.settings()))
    producer.open.clear()
    await stage.publish("a", 0)
    service, task = await stage.start(stage.settings(drain_timeout_s=0.2), producer=producer)
    await wait_until(lambda: stage.model.batches)
    service.stop()
    assert await task == EXIT_CUT_SHORT
    assert await stage.bus.committed(0) == 0


async def test_a_broken_bundle_ends_the_process_with_a_sentence(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    def read(path: Path) -> FakeModel:
        raise FileNotFoundError(f"{path}/bundle.json is not there")

    settings = stage.settings()
    service = Service(
        settings, read_model=read, consumer=stage.bus.consumer(settings), producer=stage.bus.producer(settings)
    )
    assert await service.run() == EXIT_FAILED
    assert "bundle.json is not there" in caplog.text


async def test_a_lost_device_ends_the_process_and_leaves_the_frames_to_others(stage: Stage) -> None:
    def lose(_size: int) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    await stage.publish("a", 0)
    stage.model.on_launch = lose
    _, task = await stage.start(stage.settings(drain_timeout_s=0.5))
    assert await task == EXIT_DEVICE_LOST
    stage.model.on_launch = lambda _size: None
    async with stage.service():
        (result,) = await stage.bus.wait_for_results(1)
    assert result.status == "inspected"


async def test_frames_in_flight_never_exceed_the_byte_budget_and_all_get_through(stage: Stage) -> None:
    producer = UnreliableProducer(stage.bus.producer(stage.settings()))
    raw = {"encoding": "raw", "raw": RAW_256, "image_digest": None}
    settings = stage.settings(limits={"max_frame_bytes": 70_000, "max_pixels": 65_536, "max_bytes_in_flight": 6 << 20})
    for seq in range(60):
        for camera in CAMERAS:
            await stage.publish(camera, seq, image=bytes([seq]) * 65_536, **raw)
    producer.open.clear()
    async with stage.service(settings, producer=producer) as service:
        await wait_until(lambda: stage.model.batches)
        producer.open.set()
        results = await stage.bus.wait_for_results(240)
        assert service.pipeline is not None
        budget = service.pipeline.budget
        assert budget.peak_bytes <= budget.limit_bytes
        assert budget.peak_bytes > budget.limit_bytes // 4, "the burst did not test the budget"
    assert all(result.status == "inspected" for result in results)
    assert sequences(results) == {camera: list(range(60)) for camera in CAMERAS}


async def test_a_verdict_that_waits_for_the_broker_holds_no_image(stage: Stage) -> None:
    producer = UnreliableProducer(stage.bus.producer(stage.settings()))
    producer.open.clear()
    await stage.publish("a", 1, image=bytes(65_536), encoding="raw", raw=RAW_256, image_digest=None)
    async with stage.service(producer=producer) as service:
        await wait_until(lambda: service.pipeline is not None and len(service.pipeline.sink))
        assert service.pipeline is not None
        assert 0 < service.pipeline.budget.used_bytes < 10_000
        producer.open.set()


async def test_a_partition_that_comes_back_with_frames_still_in_flight_is_not_stalled(stage: Stage) -> None:
    scoring, gate = stage.hold_device()
    settings = stage.settings(drain_timeout_s=0.2)
    await stage.publish_many(("a", seq) for seq in range(60))
    async with stage.service(settings) as service:
        await asyncio.to_thread(scoring.wait, 60)
        pipeline = service.pipeline
        assert pipeline is not None
        (epoch,) = {lease.epoch for lease in pipeline.source.leases}
        other = stage.bus.consumer(settings)
        await other.start(Bystander())
        await wait_until(lambda: any(lease.epoch > epoch for lease in pipeline.source.leases))
        await other.stop()
        await wait_until(lambda: len(pipeline.source.leases) == 8)
        gate.set()
        results = await stage.bus.wait_for_results(60)
    assert sequences(results) == {"a": list(range(60))}


async def test_a_budget_that_one_read_overruns_slows_frames_down_and_stops_none(stage: Stage) -> None:
    limits = {"max_frame_bytes": 1000, "max_pixels": 10_000, "max_bytes_in_flight": 140_000}
    await stage.publish_many(("a", seq) for seq in range(300))
    async with stage.service(stage.settings(limits=limits)) as service:
        results = await stage.bus.wait_for_results(300)
        assert service.pipeline is not None
        assert service.pipeline.budget.peak_bytes > 140_000, "the read did not overrun the budget"
    assert sequences(results) == {"a": list(range(300))}
