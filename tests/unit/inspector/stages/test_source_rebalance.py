"""Partitions that come and go: what is finished, committed, given up, and read again under the next lease."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

import pytest

from inspector.bus.ports import ConsumedRecord, Partition
from inspector.inflight.lease import Lease
from tests.unit.inspector.stages.source_bench import TOPIC, Bench
from tests.virtual_time import run_virtually


async def test_a_stop_waits_for_what_is_in_flight_and_no_longer_than_it_may() -> None:
    bench = Bench()
    bench.publish(0, 2)
    await bench.start()
    await bench.until_read(2)
    bench.on_closing = lambda _leases: None
    stopping = asyncio.create_task(bench.source.stop(5))
    await bench.until(lambda: bench.source.leases[0].closing)
    for lease, record in bench.read:
        assert not stopping.done()
        lease.acknowledge(record.offset)
        bench.source.wake()
        await asyncio.sleep(0)
    assert await stopping is True
    assert bench.broker.committed == {(TOPIC, 0): 2}

    late = Bench()
    late.publish(0)
    await late.start()
    await late.until_read(1)
    late.on_closing = lambda _leases: None
    assert await late.source.stop(0.05) is False


async def test_a_rebalance_settles_commits_and_opens_new_leases() -> None:
    bench = Bench(partitions=2)
    bench.publish(0, 2)
    await bench.start()
    await bench.until_read(2)
    old = bench.source.leases

    def finish(leases: Sequence[Lease]) -> None:
        assert all(lease.closing and not lease.ended for lease in old)
        bench.finish(leases)

    bench.on_closing = finish
    await bench.broker.rebalance()
    assert bench.broker.committed == {(TOPIC, 0): 2}
    assert all(lease.ended for lease in old)
    assert bench.forgotten == old
    assert [lease.epoch for lease in bench.source.leases] == [2, 2]
    bench.on_closing = bench.give_up
    bench.publish(0, 1)
    await bench.until_read(1)
    await bench.stop()


async def test_a_late_acknowledgement_of_a_revoked_lease_commits_nothing() -> None:
    bench = Bench(partitions=1, drain_timeout_s=0.05)
    bench.publish(0, 2)
    await bench.start()
    await bench.until_read(2)
    late = list(bench.read)
    bench.read.clear()
    await bench.broker.rebalance()
    await bench.until_read(2)
    for lease, record in late:
        lease.acknowledge(record.offset)
    await bench.source.commit(1)
    assert bench.broker.commits == []
    await bench.stop()


async def test_every_frame_that_is_read_again_is_counted_however_small_the_chunks() -> None:
    bench = Bench(partitions=1, chunk_bytes=1)  # a record at a time
    bench.publish(0, 5)
    await bench.start()
    await bench.until_read(5)
    assert bench.metric("frames_redelivered_total") == 0
    for again in (1, 2):
        await bench.broker.rebalance()
        await bench.until_read(5 + 5 * again)
        assert bench.metric("frames_redelivered_total") == 5 * again
    await bench.stop()


async def test_records_of_a_partition_that_is_being_given_back_are_left_to_its_next_owner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(partitions=1)
    bench.publish(0, 2)
    asked, answers = asyncio.Event(), asyncio.Queue[int]()

    async def answer(*_: object, **__: object) -> Mapping[Partition, Sequence[ConsumedRecord]]:
        asked.set()
        offset = await answers.get()
        return {(TOPIC, 0): bench.broker.log((TOPIC, 0))[offset : offset + 1]}

    monkeypatch.setattr(bench.consumer, "read", answer)
    await bench.start()
    answers.put_nowait(0)
    await bench.until_read(1)
    await asked.wait()
    bench.on_closing = lambda _leases: answers.put_nowait(1)  # while frame 0 is still being finished
    revoking = asyncio.create_task(bench.source.on_revoked({(TOPIC, 0)}))
    await bench.until(lambda: answers.qsize() == 0 and bench.source.leases[0].closing)
    for _ in range(10):
        await asyncio.sleep(0)
    assert bench.source.leases[0].in_flight == 1
    bench.acknowledge_all()
    bench.source.wake()
    await revoking
    assert (bench.read, bench.broker.committed) == ([], {(TOPIC, 0): 1})
    bench.on_closing = bench.give_up
    await bench.source.on_assigned({(TOPIC, 0)})
    asked.clear()
    bench.source.wake()
    await asked.wait()
    await bench.source.on_revoked({(TOPIC, 0)})
    answers.put_nowait(1)  # and when there is no lease at all
    for _ in range(10):
        await asyncio.sleep(0)
    assert (answers.qsize(), bench.read) == (0, [])
    await bench.stop()


async def test_what_was_read_before_a_rebalance_is_left_to_the_lease_after_it() -> None:
    bench = Bench(partitions=8)
    for partition in range(8):
        bench.publish(partition, 5)
    await bench.start()
    await bench.until_read(40)
    rebalances: list[asyncio.Task[None]] = []

    def rebalance_after_the_first() -> None:
        if not rebalances:
            rebalances.append(asyncio.create_task(bench.broker.rebalance()))

    bench.on_read = rebalance_after_the_first
    async with bench.broker.rebalancing:  # so that one read has something of every partition
        for partition in range(8):
            bench.publish(partition, 5)
    await bench.until(lambda: rebalances and rebalances[0].done())
    leases = bench.source.leases
    await bench.until(lambda: all(lease.in_flight == 10 for lease in leases))
    for lease, record in bench.read:
        if lease in leases and record.offset >= 5:
            lease.acknowledge(record.offset)
    assert [lease.committable() for lease in leases] == [None] * 8, "offsets 0 to 4 are not answered"
    for lease in leases:
        offsets = [record.offset for of, record in bench.read if of is lease]
        assert offsets == list(range(10)), "each offset once, in order"
    await bench.stop()


async def test_what_a_read_brings_that_waited_through_a_rebalance_is_the_new_leases() -> None:
    bench = Bench(partitions=2)
    await bench.start()
    async with bench.broker.rebalancing:
        bench.publish(0, 3)
        asked = len(bench.consumer.asked)
        await bench.until(lambda: len(bench.consumer.asked) > asked)
        await bench.consumer.revoke()
        await bench.consumer.assign([(TOPIC, 0), (TOPIC, 1)])
    await bench.until_read(3)
    assert {lease.epoch for lease, _ in bench.read} == {2}
    bench.acknowledge_all()
    assert await bench.stop() is True
    assert bench.broker.committed == {(TOPIC, 0): 3}


async def test_who_joins_with_nothing_to_give_back_does_not_say_that_it_gives_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    bench = Bench(partitions=1)
    await bench.source.on_revoked(set())
    assert "giving back" not in caplog.text
    await bench.start()
    await bench.source.on_revoked({(TOPIC, 0)})
    assert "giving back 1 partitions" in caplog.text
    await bench.stop()


async def test_a_revocation_never_raises_into_the_consumer() -> None:
    bench = Bench()
    await bench.start()

    def fail(_leases: Sequence[Lease]) -> None:
        raise RuntimeError("closing failed")

    bench.on_closing = fail
    old = bench.source.leases
    await bench.source.on_revoked({(TOPIC, 0)})
    assert all(lease.ended for lease in old)
    bench.on_closing = bench.give_up
    await bench.stop()


def test_an_assignment_and_a_stop_are_acted_on_at_once() -> None:
    async def idle() -> tuple[float, float]:
        bench = Bench(partitions=1)
        await bench.start()
        await bench.source.on_revoked({(TOPIC, 0)})
        await asyncio.sleep(0.1)
        bench.consumer.asked.clear()
        loop = asyncio.get_running_loop()
        assigned_s = loop.time()
        await bench.source.on_assigned({(TOPIC, 0)})
        await bench.until(lambda: bench.consumer.asked)
        asked_s = loop.time()
        await bench.source.on_revoked({(TOPIC, 0)})
        await asyncio.sleep(0.1)
        stopped_s = loop.time()
        await bench.stop()
        return asked_s - assigned_s, loop.time() - stopped_s

    until_asked_s, until_ended_s = run_virtually(idle())
    assert until_asked_s < 0.01
    assert until_ended_s < 0.01


async def test_an_assignment_that_comes_after_the_stop_is_not_worked_on() -> None:
    bench = Bench()
    await bench.start()
    await bench.stop()
    await bench.source.on_assigned({(TOPIC, 0)})
    assert bench.source.leases == []
