"""What the source commits: what is acknowledged, one commit at a time, and again after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

import pytest

from inspector.bus.ports import Partition
from inspector.errors import BusError, StaleCommitError
from tests.unit.inspector.stages.source_bench import TOPIC, Bench


async def test_only_what_is_acknowledged_is_committed() -> None:
    bench = Bench()
    bench.publish(0, 3)
    await bench.start()
    await bench.until_read(3)
    await bench.source.commit(1)
    assert bench.broker.commits == []
    lease, record = bench.read[0]
    lease.acknowledge(record.offset)
    await bench.source.commit(1)
    await bench.source.commit(1)
    assert bench.broker.commits == [{(TOPIC, 0): 1}]
    assert await bench.stop() is True, "the other two were given up, so nobody waits for them"
    assert bench.broker.committed == {(TOPIC, 0): 1}


async def test_gaps_in_the_offsets_do_not_stall_commits() -> None:
    bench = Bench()
    for gap in (0, 7, 0, 3):
        bench.broker.append((TOPIC, 0), None, b"x", skip_offsets=gap)
    await bench.start()
    await bench.until_read(4)
    bench.acknowledge_all()
    assert await bench.stop() is True
    assert bench.broker.committed == {(TOPIC, 0): 14}


async def test_a_commit_that_fails_is_counted_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.publish(0)
    await bench.start()
    await bench.until_read(1)
    bench.acknowledge_all()
    commit = bench.consumer.commit
    failures: list[Exception] = [StaleCommitError("rebalanced"), BusError("away"), TimeoutError()]

    async def fail(offsets: Mapping[Partition, int]) -> None:
        if failures:
            raise failures.pop(0)
        await commit(offsets)

    monkeypatch.setattr(bench.consumer, "commit", fail)
    for _ in range(4):
        await bench.source.commit(1)
    assert bench.broker.committed == {(TOPIC, 0): 1}
    counted = [bench.metric("commits_total", outcome=outcome) for outcome in ("stale", "failed", "ok")]
    assert counted == [1, 2, 1]
    await bench.stop()


async def test_a_commit_that_never_returns_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.publish(0)
    await bench.start()
    await bench.until_read(1)
    bench.acknowledge_all()

    async def hang(_offsets: Mapping[Partition, int]) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(bench.consumer, "commit", hang)
    await bench.source.commit(0.01)
    assert bench.metric("commits_total", outcome="failed") == 1
    await bench.stop()


async def test_two_commits_never_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The later one would be overtaken by the earlier, and the mark in the broker would go back."""
    bench = Bench(partitions=1)
    bench.publish(0, 2)
    await bench.start()
    await bench.until_read(2)
    begun: list[int] = []
    gate = asyncio.Event()
    commit = bench.consumer.commit

    async def slow(offsets: Mapping[Partition, int]) -> None:
        begun.extend(offsets.values())
        await gate.wait()
        await commit(offsets)

    monkeypatch.setattr(bench.consumer, "commit", slow)
    commits = []
    for lease, record in bench.read:
        lease.acknowledge(record.offset)
        commits.append(asyncio.create_task(bench.source.commit(30)))
        for _ in range(10):
            await asyncio.sleep(0)
    assert begun == [1], "the second waits for the first"
    gate.set()
    await asyncio.gather(*commits)
    assert begun == [1, 2]
    assert bench.broker.committed == {(TOPIC, 0): 2}
    await bench.stop()


async def test_commits_go_on_by_themselves() -> None:
    bench = Bench(partitions=1)
    await bench.start()
    committing = asyncio.create_task(bench.source.commit_forever(0.001))
    for offset in (1, 2):
        bench.publish(0)
        await bench.until_read(1)
        bench.acknowledge_all()
        await bench.until(partial(bench.broker.committed.__eq__, {(TOPIC, 0): offset}))
    committing.cancel()
    await asyncio.gather(committing, return_exceptions=True)
    await bench.stop()
