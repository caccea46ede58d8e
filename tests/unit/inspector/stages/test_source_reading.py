"""What the source reads: below the cap, where there is room, in turn; and which faults it survives."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from inspector.bus.ports import ConsumedRecord, Partition
from inspector.errors import AccessError, BusError
from tests.unit.inspector.stages.source_bench import TOPIC, Bench


async def test_a_partition_at_its_cap_is_not_read_and_the_others_are() -> None:
    bench = Bench(cap=2)
    bench.publish(0, 2)
    await bench.start()
    await bench.until_read(2)
    bench.consumer.asked.clear()
    bench.publish(1, 1)
    await bench.until_read(3)
    assert all((TOPIC, 0) not in asked for asked in bench.consumer.asked)
    bench.publish(0, 1)
    bench.acknowledge_all()
    bench.source.wake()
    await bench.until_read(1)
    await bench.stop()


async def test_one_read_brings_no_more_than_the_cap() -> None:
    bench = Bench(cap=2, partitions=1)
    bench.publish(0, 5)
    await bench.start()
    await bench.until_read(2)
    bench.acknowledge_all()
    bench.source.wake()
    await bench.until_read(2)
    await bench.stop()


async def test_without_room_nothing_is_read_and_with_little_room_partitions_take_turns() -> None:
    bench = Bench(room=0)
    for partition in range(4):
        bench.publish(partition, 1)
    await bench.start()
    assert bench.consumer.asked == []
    bench.room = 1
    bench.source.wake()
    await bench.until_read(4)
    assert {len(asked) for asked in bench.consumer.asked} == {1}
    await bench.stop()


async def test_reading_survives_faults_of_the_bus_but_not_a_refused_right(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    read = bench.consumer.read
    failures: list[Exception] = [BusError("away"), BusError("still away")]

    async def fail(
        partitions: Sequence[Partition], *, timeout_s: float, max_records: int
    ) -> Mapping[Partition, Sequence[ConsumedRecord]]:
        if failures:
            raise failures.pop(0)
        return await read(partitions, timeout_s=timeout_s, max_records=max_records)

    monkeypatch.setattr(bench.consumer, "read", fail)
    bench.publish(0)
    await bench.start()
    await bench.until_read(1)
    failures.append(AccessError("not yours"))
    assert bench.task is not None
    with pytest.raises(AccessError, match="not yours"):
        await bench.task


async def test_a_consumer_that_only_fails_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    attempts = 0

    async def fail(*_: object, **__: object) -> Mapping[Partition, Sequence[ConsumedRecord]]:
        nonlocal attempts
        attempts += 1
        if attempts == 3:  # one success begins the count anew
            return {}
        bench.clock.advance(12)
        raise BusError("the coordinator is dead")

    monkeypatch.setattr(bench.consumer, "read", fail)
    await bench.start()
    assert bench.task is not None
    with pytest.raises(BusError, match="dead"):
        await bench.task
    assert attempts == 7


async def test_time_without_room_does_not_count_as_failing(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(partitions=1)
    read, failures = bench.consumer.read, 0

    async def fail_twice(
        partitions: Sequence[Partition], *, timeout_s: float, max_records: int
    ) -> Mapping[Partition, Sequence[ConsumedRecord]]:
        nonlocal failures
        failures += 1
        bench.room = 0 if failures == 1 else 100
        if failures <= 2:
            raise BusError("a hiccup")
        return await read(partitions, timeout_s=timeout_s, max_records=max_records)

    monkeypatch.setattr(bench.consumer, "read", fail_twice)
    bench.publish(0)
    await bench.start()
    await bench.until(lambda: bench.looks_without_room)
    bench.clock.advance(40)
    bench.room = 100
    await bench.until_read(1)
    await bench.stop()


async def test_one_lag_is_what_is_left_to_read_the_other_what_is_not_committed() -> None:
    bench = Bench(partitions=1, cap=2)
    bench.publish(0, 5)
    await bench.start()
    await bench.until_read(2)
    committing = asyncio.create_task(bench.source.commit_forever(0.001))
    await bench.until(lambda: bench.metric("read_lag_frames", partition="0") == 3)
    assert bench.metric("consumer_lag_frames", partition="0") == 5, "two are read and none is committed"
    bench.acknowledge_all()
    await bench.until(lambda: bench.metric("consumer_lag_frames", partition="0") == 3)
    committing.cancel()
    await asyncio.gather(committing, return_exceptions=True)
    await bench.stop()


async def test_what_has_more_to_read_is_known_from_the_ends_of_partitions_and_of_reads() -> None:
    """Also of a partition whose last offsets hold no record, as compaction and transactions leave it."""
    bench = Bench(cap=1000)
    bench.publish(1, 3)
    await bench.start()
    await bench.until_read(3)
    await bench.until(lambda: bench.have_more == set())
    bench.room = 0
    await bench.until(lambda: bench.looks_without_room)
    bench.publish(1, 1)
    bench.publish(2, 1)
    bench.source.wake()
    await bench.until(lambda: bench.have_more == {1, 2})
    bench.room = 100
    bench.source.wake()
    await bench.until_read(5)
    await bench.until(lambda: bench.have_more == set())
    await bench.stop()
