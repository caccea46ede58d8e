"""The sink: in order, again until acknowledged, late verdicts caught at the door, poison made smaller or refused."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.inflight.lease import Lease
from inspector.stages import sink as sink_module
from tests.unit.inspector.stages.sink_bench import Bench, first_occurrences
from tests.virtual_time import run_virtually


@given(plan=st.lists(st.sampled_from(["ok", "lost", "unknown", "first only"]), max_size=12), count=st.integers(1, 12))
def test_whatever_fails_everything_arrives_and_first_occurrences_keep_their_order(plan: list[str], count: int) -> None:
    async def check() -> None:
        bench = Bench()
        bench.broker.plan = list(plan)
        values = [b"%d" % number for number in range(count)]
        async with bench.running():
            for value in values:
                bench.sink.put(bench.outgoing(value))
                if len(value) % 2:
                    await asyncio.sleep(0)
            await bench.until_delivered(count)
        assert first_occurrences(bench.broker.arrived["results", 1]) == values
        assert len(bench.sink) == 0

    run_virtually(check())


@given(
    plan=st.lists(st.sampled_from(["ok", "lost", "unknown", "first only"]), max_size=8),
    lookups=st.lists(st.booleans(), max_size=8),
    keys=st.lists(st.sampled_from([b"a", b"b", b"cc"]), min_size=1, max_size=12),
    cached=st.integers(1, 3),
)
def test_whatever_look_up_fails_the_verdicts_of_a_key_keep_their_order(
    plan: list[str], lookups: list[bool], keys: list[bytes], cached: int
) -> None:
    async def check() -> None:
        bench = Bench()
        bench.broker.plan, bench.broker.lookups = list(plan), list(lookups)
        async with bench.running():
            for number, key in enumerate(keys):
                bench.sink.put(bench.outgoing(b"%s %d" % (key, number), key))
                if number % 2:
                    await asyncio.sleep(0)
            await bench.until_delivered(len(keys))
        for key in set(keys):
            arrived = [value for value in bench.broker.arrived["results", len(key)] if value.startswith(key + b" ")]
            sent = [b"%s %d" % (key, number) for number, other in enumerate(keys) if other == key]
            assert first_occurrences(arrived) == sent
        assert len(bench.sink) == 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sink_module, "_CACHED_PARTITIONS", cached)
        run_virtually(check())


async def test_a_topic_that_is_gone_holds_up_no_other_and_its_verdicts_wait_in_order() -> None:
    bench = Bench()
    bench.broker.gone = {"gone"}
    async with bench.running():
        bench.sink.put(bench.outgoing(b"1", topic="gone"))
        bench.sink.put(bench.outgoing(b"2"))
        bench.sink.put(bench.outgoing(b"3", topic="gone"))
        await bench.until_delivered(1)
        assert bench.broker.arrived == {("results", 1): [b"2"]}
        assert len(bench.sink) == 2
        bench.broker.gone = set()
        await bench.until_delivered(3)
    assert bench.broker.arrived["gone", 1] == [b"1", b"3"]
    assert set(bench.events.retried) == {"result"}


async def test_verdicts_of_an_ended_lease_do_not_wait_for_a_topic_that_is_gone() -> None:
    bench = Bench()
    bench.broker.gone = {"gone"}
    bench.events.on_retry = bench.lease.end
    async with bench.running():
        bench.sink.put(bench.outgoing(b"1", topic="gone"))
        async with asyncio.timeout(30):
            while len(bench.sink):
                await asyncio.sleep(0.001)
    assert bench.broker.arrived == {}


async def test_what_collects_while_a_batch_is_on_its_way_goes_as_one() -> None:
    bench = Bench()
    async with bench.running():
        for number in range(50):
            bench.sink.put(bench.outgoing(b"%d" % number))
        await bench.until_delivered(50)
    assert len(bench.broker.batches) <= 2


async def test_a_lane_that_fails_does_not_hold_up_the_others() -> None:
    bench = Bench()
    bench.broker.plan = ["lost"]
    async with bench.running():
        bench.sink.put(bench.outgoing(b"1", b"k"))
        bench.sink.put(bench.outgoing(b"2", b"kk"))
        await bench.until_delivered(2)
    assert bench.broker.arrived == {("results", 1): [b"1"], ("results", 2): [b"2"]}
    assert bench.events.retried == ["result"]


async def test_a_frame_is_delivered_when_result_and_dead_letter_are() -> None:
    bench = Bench()
    bench.broker.plan = ["ok", "lost", "lost", "ok"]
    async with bench.running():
        bench.sink.put(bench.outgoing(b"1", deadletter=b"letter"))
        await bench.until_delivered(1)
    assert bench.broker.arrived == {("results", 1): [b"1"], ("dead", 0): [b"letter"]}
    assert bench.events.retried == ["dead letter", "dead letter"]


async def test_a_late_verdict_is_turned_just_before_it_is_sent_and_only_then() -> None:
    bench = Bench()
    bench.broker.plan = ["unknown"]
    now_s = bench.clock.monotonic_s()
    async with bench.running():
        bench.sink.put(bench.outgoing(b"1", deadline_s=now_s))
        bench.sink.put(bench.outgoing(b"2", deadline_s=now_s + 1))
        await bench.until_delivered(2)
    assert first_occurrences(bench.broker.arrived["results", 1]) == [b"late 1", b"2"]


async def test_a_refusal_that_is_late_stays_what_it_was() -> None:
    bench = Bench()
    async with bench.running():
        bench.sink.put(bench.outgoing(b"1", deadline_s=bench.clock.monotonic_s(), status="failed"))
        await bench.until_delivered(1)
    assert bench.broker.arrived == {("results", 1): [b"1"]}


async def test_a_late_verdict_of_an_ended_lease_is_not_even_turned() -> None:
    bench = Bench()
    bench.lease.end()
    bench.sink.put(bench.outgoing(b"1", deadline_s=bench.clock.monotonic_s()))
    bench.lease = Lease(("frames", 0), 2, cap=1000)
    bench.sink.put(bench.outgoing(b"2"))
    async with bench.running():
        await bench.until_delivered(1)
    assert bench.broker.arrived == {("results", 1): [b"2"]}
    assert bench.events.late_frames == []


async def test_a_verdict_that_may_have_arrived_is_sent_again_unchanged() -> None:
    bench = Bench()
    bench.broker.plan = ["unknown"]
    outgoing = bench.outgoing(b"1", deadline_s=bench.clock.monotonic_s() + 1)
    bench.events.on_retry = lambda: bench.clock.advance(5)
    async with bench.running():
        bench.sink.put(outgoing)
        await bench.until_delivered(1)
    assert bench.broker.arrived["results", 1] == [b"1", b"1"]


async def test_frames_of_an_ended_lease_are_not_sent_nor_sent_again() -> None:
    bench = Bench()
    bench.broker.plan = ["lost"]
    bench.events.on_retry = bench.lease.end
    async with bench.running():
        bench.sink.put(bench.outgoing(b"1"))
        async with asyncio.timeout(30):
            while not bench.lease.ended:
                await asyncio.sleep(0.001)
        bench.sink.put(bench.outgoing(b"2"))
        bench.lease = Lease(("frames", 0), 2, cap=1000)
        bench.sink.put(bench.outgoing(b"3"))
        await bench.until_delivered(1)
    assert bench.broker.arrived == {("results", 1): [b"3"]}


async def test_a_record_that_is_too_large_is_made_smaller_and_its_neighbours_are_not() -> None:
    bench = Bench()
    bench.broker.largest = 100
    async with bench.running():
        for value in (b"1", b"big" * 100, b"2"):
            bench.sink.put(bench.outgoing(value))
        await bench.until_delivered(3)
    assert bench.broker.arrived["results", 1] == [b"1", b"small", b"2"]


@pytest.mark.parametrize(
    ("value", "plan", "error"), [(b"x" * 200, [], "max.message.bytes"), (b"1", ["refused"], "refused")]
)
async def test_what_can_never_be_sent_ends_the_sink(value: bytes, plan: list[str], error: str) -> None:
    bench = Bench()
    bench.broker.largest = 100
    bench.broker.plan = plan
    bench.sink.put(bench.outgoing(value))
    with pytest.raises(ExceptionGroup) as caught:
        await bench.sink.run()
    assert error in str(caught.value.exceptions[0])
