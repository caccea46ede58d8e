"""What bounds the sink: the pace of its attempts, what one batch holds, what it remembers of keys."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from inspector.stages import sink as sink_module
from tests.unit.inspector.stages.sink_bench import Bench
from tests.virtual_time import run_virtually


def test_attempts_come_ever_more_slowly_up_to_a_limit_and_begin_anew_after_a_success() -> None:
    async def send() -> list[float]:
        bench = Bench()
        bench.broker.plan = ["lost"] * 9 + ["ok", "lost", "ok"]
        async with bench.running():
            for count in (1, 2):
                bench.sink.put(bench.outgoing(b"x"))
                await bench.until_delivered(count)
        return bench.broker.attempts_s

    attempts_s = run_virtually(send())
    delays_s = [round(after - before, 3) for before, after in pairwise(attempts_s)]
    assert delays_s[:9] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]
    assert delays_s[9:] == [0.0, 0.05]


def test_a_topic_that_is_gone_is_asked_for_in_peace() -> None:
    async def ask() -> int:
        bench = Bench()
        bench.broker.gone = {"results"}
        async with bench.running():
            bench.sink.put(bench.outgoing(b"x"))
            await asyncio.sleep(10)
        return len(bench.broker.looked_up)

    assert run_virtually(ask()) <= 6


async def test_the_keys_of_strangers_are_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_module, "_CACHED_PARTITIONS", 2)
    bench = Bench()
    async with bench.running():
        for number, key in enumerate((b"a", b"b", b"b", b"c", b"a"), 1):
            bench.sink.put(bench.outgoing(b"x", key))
            await bench.until_delivered(number)
    assert bench.broker.looked_up == [b"a", b"b", b"c", b"a"], "b is remembered, a had to make room"


@pytest.mark.parametrize(("size", "count"), [(1, 500), (100_000, 2)])
async def test_a_batch_is_bounded_in_records_and_bytes(size: int, count: int) -> None:
    bench = Bench()
    bench.broker.largest = 10 * size
    for _ in range(count + 1):
        bench.sink.put(bench.outgoing(bytes(size)))
    async with bench.running():
        await bench.until_delivered(count + 1)
    assert bench.broker.batches == [count, 1]


async def test_a_record_larger_than_a_batch_goes_alone() -> None:
    bench = Bench()
    bench.broker.largest = 10**6
    for size in (300_000, 300_000):
        bench.sink.put(bench.outgoing(bytes(size)))
    async with bench.running():
        await bench.until_delivered(2)
    assert bench.broker.batches == [1, 1]


async def test_what_waits_is_counted_until_it_is_acknowledged() -> None:
    bench = Bench()
    for _ in range(3):
        bench.sink.put(bench.outgoing(b"x", deadletter=b"letter"))
    assert len(bench.sink) == 3, "verdicts, before they are parted into records"
    async with bench.running():
        await bench.until_delivered(3)
    assert len(bench.sink) == 0
