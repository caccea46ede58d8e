"""The source's eye on itself: what it should read, what it reads, and when to say so or to give up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from inspector.errors import AccessError, HangError
from tests.unit.inspector.stages.source_bench import TOPIC, Bench

MOMENT_S = 0.001


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr("inspector.stages.source.SURVEY_S", MOMENT_S)
    bench = Bench(partitions=2)
    await bench.start()
    yield bench
    await bench.stop()


async def surveyed(bench: Bench) -> None:
    """Return after the source has begun to look twice, and so has looked once."""
    before = bench.consumer.surveys
    await bench.until(lambda: bench.consumer.surveys >= before + 2)


async def test_a_stuck_partition_is_told_of_and_then_ends_the_process_while_others_are_read(bench: Bench) -> None:
    bench.consumer.stuck.add((TOPIC, 1))
    watching = asyncio.create_task(bench.source.watch_forever())
    bench.publish(1, 3)
    await bench.until(lambda: bench.source.not_ready is None)
    await surveyed(bench)
    bench.clock.advance(11)
    await bench.until(lambda: "partition 1 of frames holds 3 records" in (bench.source.not_ready or ""))
    assert bench.metric("partition_stalled_seconds", partition="1") == 11
    assert bench.metric("partition_stalled_seconds", partition="0") == 0
    bench.publish(0, 2)
    await bench.until_read(2)
    bench.clock.advance(20)
    with pytest.raises(HangError, match="none of them was read for 31 s, although the brokers answer"):
        await watching


async def test_it_is_told_from_which_record_on_a_partition_is_stuck(bench: Bench) -> None:
    watching = asyncio.create_task(bench.source.watch_forever())
    bench.publish(1, 2)
    await bench.until_read(2)
    bench.consumer.stuck.add((TOPIC, 1))
    bench.publish(1, 3)
    await surveyed(bench)
    bench.clock.advance(11)
    await surveyed(bench)
    assert bench.source.not_ready == (
        "partition 1 of frames holds 3 records from offset 2 on, and none of them was read for 11 s"
    )
    watching.cancel()


async def test_a_partition_without_room_may_stand_still(bench: Bench) -> None:
    bench.room = 0
    watching = asyncio.create_task(bench.source.watch_forever())
    await surveyed(bench)
    await surveyed(bench)
    bench.publish(0, 3)
    await bench.until(lambda: bench.source.not_ready is None)
    for _ in range(5):
        await surveyed(bench)
        bench.clock.advance(9)
    assert not watching.done()
    watching.cancel()


async def test_brokers_that_are_away_make_unready_and_end_nothing(bench: Bench) -> None:
    watching = asyncio.create_task(bench.source.watch_forever())
    bench.consumer.stuck.add((TOPIC, 0))
    bench.publish(0)
    await bench.until(lambda: bench.source.not_ready is None)
    bench.consumer.blind = True
    await surveyed(bench)
    for _ in range(10):
        bench.clock.advance(10)
        await surveyed(bench)
    assert "have not told for 100 s what there is to read: no broker answers" in (bench.source.not_ready or "")
    assert not watching.done()
    bench.consumer.blind = False
    await bench.until(lambda: bench.source.not_ready is None)
    watching.cancel()


async def test_while_the_group_shares_out_the_partitions_and_at_the_end_it_is_not_ready(bench: Bench) -> None:
    watching = asyncio.create_task(bench.source.watch_forever())
    await bench.until(lambda: bench.source.not_ready is None)
    seen: list[str | None] = []
    bench.on_closing = lambda _leases: seen.append(bench.source.not_ready)
    await bench.broker.rebalance()
    assert seen == ["the group is sharing out the partitions"]
    await bench.until(lambda: bench.source.not_ready is None)
    watching.cancel()
    await bench.stop()
    assert bench.source.not_ready == "stopping"


async def test_the_lag_is_there_before_the_first_record(bench: Bench) -> None:
    bench.consumer.stuck.add((TOPIC, 1))
    bench.publish(1, 3)
    committing = asyncio.create_task(bench.source.commit_forever(MOMENT_S))
    await bench.until(lambda: bench.metric("consumer_lag_frames", partition="1") == 3)
    assert bench.metric("read_lag_frames", partition="1") == 3
    committing.cancel()


async def test_a_refusal_makes_unready_at_once_and_ends_only_if_it_lasts(bench: Bench) -> None:
    watching = asyncio.create_task(bench.source.watch_forever())
    await bench.until(lambda: bench.source.not_ready is None)
    bench.consumer.refusal = "could not look after frames: SaslAuthenticationFailed; mend kafka.sasl_password"
    await bench.until(lambda: "mend kafka.sasl_password" in (bench.source.not_ready or ""))
    bench.clock.advance(25)
    await surveyed(bench)
    assert not watching.done(), "a password may be changed here a little later than there"
    bench.consumer.refusal = None
    await bench.until(lambda: bench.source.not_ready is None)
    bench.clock.advance(25)
    bench.consumer.refusal = "could not look after frames: SaslAuthenticationFailed; mend kafka.sasl_password"
    await surveyed(bench)
    bench.clock.advance(30)
    with pytest.raises(AccessError, match=r"mend kafka\.sasl_password"):
        await watching
