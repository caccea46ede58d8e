"""How often the source reads, looks, commits and asks what there is: in made-up seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from inspector.bus.ports import ConsumedRecord, Partition, Survey
from inspector.errors import BusError
from inspector.stages.source import (
    COMMIT_TIMEOUT_S,
    IDLE_TIMEOUT_S,
    READ_TIMEOUT_S,
    RETRY_S,
    SURVEY_S,
    SURVEY_TIMEOUT_S,
)
from tests.unit.inspector.stages.source_bench import TOPIC, Bench


async def test_without_anything_to_read_it_looks_again_now_and_then_and_at_once_when_it_is_woken() -> None:
    bench = Bench(room=0)
    await bench.start()
    await asyncio.sleep(3.5 * IDLE_TIMEOUT_S)
    assert bench.looks_without_room == 4
    bench.source.wake()
    await asyncio.sleep(0.01)
    assert bench.looks_without_room == 5
    await bench.stop()


async def test_after_an_error_it_reads_again_a_moment_later(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    asked: list[dict[str, Any]] = []

    async def fail(partitions: Sequence[Partition], **given: Any) -> Mapping[Partition, Sequence[ConsumedRecord]]:
        asked.append({"partitions": sorted(number for _, number in partitions), **given})
        raise BusError("away")

    monkeypatch.setattr(bench.consumer, "read", fail)
    await bench.start()
    await asyncio.sleep(4.5 * RETRY_S)
    assert asked == [{"partitions": [0, 1, 2, 3], "timeout_s": READ_TIMEOUT_S, "max_records": 1000}] * 5
    assert bench.metric("read_errors_total") == 5
    await bench.stop()


async def test_partitions_take_turns_to_be_the_first_that_is_read() -> None:
    bench = Bench()
    await bench.start()
    await bench.until(lambda: len(bench.consumer.asked) >= 5)
    firsts = [asked[0][1] for asked in bench.consumer.asked[:5]]
    assert firsts == [1, 2, 3, 0, 1]
    await bench.stop()


async def test_what_the_brokers_have_is_asked_for_every_two_seconds() -> None:
    bench = Bench()
    await bench.start()
    watching = asyncio.create_task(bench.source.watch_forever())
    await asyncio.sleep(4.5 * SURVEY_S)
    assert bench.consumer.surveys == 5
    watching.cancel()
    await bench.stop()


async def test_brokers_that_never_answer_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()

    async def hang() -> Survey:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(bench.consumer, "survey", hang)
    await bench.start()
    watching = asyncio.create_task(bench.source.watch_forever())
    await asyncio.sleep(SURVEY_TIMEOUT_S + 1)
    bench.clock.advance(60)
    assert bench.source.not_ready == "the brokers have not told for 60 s what there is to read: no answer"
    watching.cancel()
    await bench.stop()


async def test_commits_come_at_their_interval_and_one_without_an_answer_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(partitions=1)
    bench.publish(0)
    await bench.start()
    await bench.until_read(1)
    bench.acknowledge_all()
    loop, begun_s = asyncio.get_running_loop(), list[float]()

    async def hang(_offsets: Mapping[Partition, int]) -> None:
        begun_s.append(loop.time())
        await asyncio.Event().wait()

    monkeypatch.setattr(bench.consumer, "commit", hang)
    first_s = loop.time()
    committing = asyncio.create_task(bench.source.commit_forever(3.0))
    await asyncio.sleep(3 + COMMIT_TIMEOUT_S - 0.1)
    assert bench.metric("commits_total", outcome="failed") == 0
    await asyncio.sleep(0.2 + 3)
    assert bench.metric("commits_total", outcome="failed") == 1
    assert [at_s - first_s for at_s in begun_s] == pytest.approx([3.0, 3 + COMMIT_TIMEOUT_S + 3])
    committing.cancel()
    await bench.stop()


@pytest.mark.parametrize(("drain_timeout_s", "took_s"), [(8.0, 6 + 1), (16.0, 12 + 1), (40.0, 35 + 1)])
async def test_a_quarter_of_the_time_to_give_partitions_back_is_the_commits_up_to_five_seconds(
    drain_timeout_s: float, took_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(partitions=1, drain_timeout_s=drain_timeout_s)
    commit = bench.consumer.commit

    async def slow(offsets: Mapping[Partition, int]) -> None:
        await asyncio.sleep(1)
        await commit(offsets)

    monkeypatch.setattr(bench.consumer, "commit", slow)
    bench.publish(0, 2)
    await bench.start()
    await bench.until_read(2)
    lease, record = bench.read[0]
    lease.acknowledge(record.offset)
    bench.on_closing = lambda _leases: None
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    await bench.source.on_revoked({(TOPIC, 0)})
    assert loop.time() - begun_s == pytest.approx(took_s)
    assert bench.broker.committed == {(TOPIC, 0): 1}
    await bench.stop()


async def test_what_is_assigned_is_counted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(partitions=2)
    assert (bench.source.assigned, bench.source.partitions(), bench.source.leases) == (False, set(), [])
    assert bench.source.not_ready == "the group is sharing out the partitions"
    with caplog.at_level("INFO"):
        await bench.start()
    assert bench.source.assigned
    assert bench.source.partitions() == {(TOPIC, 0), (TOPIC, 1)}
    assert [(lease.partition, lease.epoch, lease.cap) for lease in bench.source.leases] == [
        ((TOPIC, 0), 1, 1000),
        ((TOPIC, 1), 1, 1000),
    ]
    assert bench.metric("rebalances_total") == 1
    assert "assigned 2 partitions: [0, 1]" in caplog.messages
    await bench.stop()
