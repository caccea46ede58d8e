"""A topic that was made anew with fewer partitions: its verdicts find others, in order, and nothing waits for ever."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.inspector.stages.sink_bench import Bench, first_occurrences
from tests.virtual_time import run_virtually


@given(
    keys=st.lists(st.sampled_from([b"k", b"kk", b"kkk", b"kkkk"]), min_size=1, max_size=20),
    before=st.integers(0, 20),
    most=st.integers(1, 4),
    plan=st.lists(st.sampled_from(["ok", "lost", "unknown", "first only"]), max_size=8),
)
def test_whenever_it_shrinks_everything_arrives_and_each_key_keeps_its_order(
    keys: list[bytes], before: int, most: int, plan: list[str]
) -> None:
    async def check() -> None:
        bench = Bench()
        bench.broker.plan = plan
        async with bench.running():
            for number, key in enumerate(keys):
                if number == before:
                    bench.broker.most["results"] = most
                bench.sink.put(bench.outgoing(b"%s %d" % (key, number), key))
                await asyncio.sleep(0)
            bench.broker.most["results"] = most
            await bench.until_delivered(len(keys))
        assert len(bench.sink) == 0
        arrived = first_occurrences([value for values in bench.broker.arrived.values() for value in values])
        assert len(arrived) == len(keys)
        for key in set(keys):
            # What came before the shrinking lies in the partition that was; behind it in the one that is.
            then, now = (len(key), len(key) % most)
            values = bench.broker.arrived.get(("results", then), []) + (
                bench.broker.arrived.get(("results", now), []) if now != then else []
            )
            mine = [value for value in first_occurrences(values) if value.split()[0] == key]
            assert mine == [b"%s %d" % (key, number) for number, other in enumerate(keys) if other == key]

    run_virtually(check())


async def test_verdicts_of_an_ended_lease_are_not_moved() -> None:
    bench = Bench()
    bench.broker.most["results"] = 1
    bench.sink._partitions["results", b"k"] = 1
    bench.events.on_retry = bench.lease.end
    async with bench.running():
        bench.sink.put(bench.outgoing(b"1"))
        async with asyncio.timeout(30):
            while len(bench.sink):
                await asyncio.sleep(0.001)
    assert bench.broker.arrived == {}


async def test_a_partition_that_is_gone_is_no_place_that_was_sent_to() -> None:
    """Or it would be looked at, in vain, for as long as the process lives."""
    bench = Bench()
    bench.broker.most["results"] = 1
    bench.sink._partitions["results", b"k"] = 1
    async with bench.running():
        bench.sink.put(bench.outgoing(b"1"))
        await bench.until_delivered(1)
    assert bench.sink.partitions == {("results", 0)}
