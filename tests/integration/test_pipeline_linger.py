"""Batches that wait for company: off while partitions are given back, and on again afterwards."""

from __future__ import annotations

from tests.buses import wait_until
from tests.stage import Bystander, Stage, by_seq, metric

BATCHING = {"max_batch_size": 3, "linger_ms": 9000}


async def test_an_incomplete_batch_is_finished_at_a_stop_without_its_linger(stage: Stage) -> None:
    async with stage.service(stage.settings(batching=BATCHING)) as service:
        await stage.publish("a", 0)
        await wait_until(lambda: metric(service, "queue_frames", stage="batch") == 1)
    assert [result.status for result in await stage.bus.results()] == ["inspected"]
    assert stage.model.batches == [1]


async def test_linger_works_again_after_a_rebalance(stage: Stage) -> None:
    settings = stage.settings(batching=BATCHING)
    async with stage.service(settings) as service:
        await wait_until(lambda: metric(service, "assigned_partitions") == 8)
        other = stage.bus.consumer(settings)
        await other.start(Bystander())
        await wait_until(lambda: metric(service, "assigned_partitions") == 4)
        await other.stop()
        await wait_until(lambda: metric(service, "assigned_partitions") == 8)
        await stage.publish("a", 0)
        await wait_until(lambda: metric(service, "queue_frames", stage="batch") == 1)
        for seq in (1, 2):
            await stage.publish("a", seq)
        results = by_seq(await stage.bus.wait_for_results(3))
    assert [results[seq].status for seq in range(3)] == ["inspected"] * 3
    assert stage.model.batches == [3]


async def test_a_linger_ends_in_time_for_what_the_last_batch_took(stage: Stage) -> None:
    """A batch took a quarter of a second, so one that is due in a second closes after three quarters."""
    taken_s = [0.25]
    stage.model.on_launch = lambda _size: stage.clock.advance(taken_s.pop() if taken_s else 0)
    async with stage.service(stage.settings(batching=BATCHING)) as service:
        for seq in range(3):
            await stage.publish("a", seq)
        await stage.bus.wait_for_results(3)
        await stage.publish("a", 3)
        await wait_until(lambda: metric(service, "queue_frames", stage="batch") == 1)
        stage.clock.advance(0.8)
        await stage.publish("b", 4)  # so that the pipeline looks at its clock
        results = by_seq(await stage.bus.wait_for_results(4))
        assert results[3].status == "inspected"
        assert stage.model.batches == [3, 1]
