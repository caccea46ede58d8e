"""The source: reads only where there is room, commits only what is owed no more, and survives every rebalance."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import pytest
from prometheus_client import CollectorRegistry

from inspector.bus.ports import ConsumedRecord, Partition
from inspector.errors import AccessError, BusError, StaleCommitError
from inspector.inflight.lease import Lease
from inspector.observe.metrics import Metrics
from inspector.stages.source import Source
from tests.fakes import FakeBroker, FakeClock, FakeConsumer

TOPIC = "frames"


class Flow:
    """What stands behind the source: keeps the records until the test acknowledges them."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def read(self, lease: Lease, records: Sequence[ConsumedRecord]) -> None:
        self._bench.read += [(lease, record) for record in records]

    def closing(self, leases: Sequence[Lease]) -> None:
        self._bench.on_closing(leases)

    def ended(self, leases: Sequence[Lease]) -> None:
        self._bench.forgotten += leases


class Bench:
    """A source on a bus in memory; what it read is kept until the test acknowledges it."""

    def __init__(self, *, partitions: int = 4, cap: int = 1000, room: int = 100, drain_timeout_s: float = 5) -> None:
        self.broker = FakeBroker({TOPIC: partitions})
        self.consumer = FakeConsumer(self.broker, TOPIC)
        self.clock = FakeClock()
        self.registry = CollectorRegistry()
        self.read: list[tuple[Lease, ConsumedRecord]] = []
        self.room = room
        self.on_closing: Callable[[Sequence[Lease]], None] = self._give_up
        self.forgotten: list[Lease] = []
        self.source = Source(
            self.consumer,
            Flow(self),
            cap=cap,
            headroom=lambda: self.room,
            clock=self.clock,
            metrics=Metrics(self.registry),
            drain_timeout_s=drain_timeout_s,
        )
        self.task: asyncio.Task[None] | None = None

    def _give_up(self, _leases: Sequence[Lease]) -> None:
        for lease, record in self.read:
            lease.abandon(record.offset)

    def publish(self, partition: int, count: int = 1) -> None:
        for _ in range(count):
            self.broker.append((TOPIC, partition), None, b"x")

    async def start(self) -> None:
        await self.source.start()
        self.task = asyncio.create_task(self.source.run())

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.001)

    async def stop(self) -> bool:
        finished = await self.source.stop(5)
        assert self.task is not None
        await self.task
        return finished

    def acknowledge_all(self) -> None:
        for lease, record in self.read:
            lease.acknowledge(record.offset)
        self.read.clear()

    def commits(self, outcome: str) -> float:
        return self.registry.get_sample_value("inspector_commits_total", {"outcome": outcome}) or 0


async def test_only_what_is_acknowledged_is_committed() -> None:
    bench = Bench()
    bench.publish(0, 3)
    await bench.start()
    await bench.until(lambda: len(bench.read) == 3)
    await bench.source.commit(1)
    assert bench.broker.commits == []
    lease, record = bench.read[0]
    lease.acknowledge(record.offset)
    await bench.source.commit(1)
    await bench.source.commit(1)
    assert bench.broker.commits == [{(TOPIC, 0): 1}]
    assert await bench.stop() is True, "the other two were given up, so nobody waits for them"
    assert bench.broker.committed == {(TOPIC, 0): 1}


async def test_a_stop_waits_for_what_is_in_flight_and_no_longer_than_it_may() -> None:
    bench = Bench()
    bench.publish(0, 2)
    await bench.start()
    await bench.until(lambda: len(bench.read) == 2)
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
    await late.until(lambda: len(late.read) == 1)
    late.on_closing = lambda _leases: None
    assert await late.source.stop(0.05) is False


async def test_gaps_in_the_offsets_do_not_stall_commits() -> None:
    bench = Bench()
    for gap in (0, 7, 0, 3):
        bench.broker.append((TOPIC, 0), None, b"x", skip_offsets=gap)
    await bench.start()
    await bench.until(lambda: len(bench.read) == 4)
    bench.acknowledge_all()
    assert await bench.stop() is True
    assert bench.broker.committed == {(TOPIC, 0): 14}


async def test_a_partition_at_its_cap_is_not_read_and_the_others_are() -> None:
    bench = Bench(cap=2)
    bench.publish(0, 2)
    await bench.start()
    await bench.until(lambda: len(bench.read) == 2)
    bench.consumer.asked.clear()
    bench.publish(1, 1)
    await bench.until(lambda: len(bench.read) == 3)
    assert all((TOPIC, 0) not in asked for asked in bench.consumer.asked)
    bench.publish(0, 1)
    bench.acknowledge_all()
    bench.source.wake()
    await bench.until(lambda: len(bench.read) == 1)
    await bench.stop()


async def test_without_room_nothing_is_read_and_with_little_room_partitions_take_turns() -> None:
    bench = Bench(room=0)
    for partition in range(4):
        bench.publish(partition, 1)
    await bench.start()
    assert bench.consumer.asked == []
    bench.room = 1
    bench.source.wake()
    await bench.until(lambda: len(bench.read) == 4)
    assert {len(asked) for asked in bench.consumer.asked} == {1}
    await bench.stop()


async def test_a_rebalance_settles_commits_and_opens_new_leases() -> None:
    bench = Bench(partitions=2)
    bench.publish(0, 2)
    await bench.start()
    await bench.until(lambda: len(bench.read) == 2)
    old = bench.source.leases

    def finish(_leases: Sequence[Lease]) -> None:
        assert all(lease.closing and lease.live for lease in old)
        bench.acknowledge_all()

    bench.on_closing = finish
    await bench.broker.rebalance()
    assert bench.broker.committed == {(TOPIC, 0): 2}
    assert all(lease.ended for lease in old)
    assert bench.forgotten == old
    assert [lease.epoch for lease in bench.source.leases] == [2, 2]
    bench.on_closing = bench._give_up
    bench.publish(0, 1)
    await bench.until(lambda: len(bench.read) == 1)
    await bench.stop()


async def test_a_late_acknowledgement_of_a_revoked_lease_commits_nothing() -> None:
    bench = Bench(partitions=1, drain_timeout_s=0.05)
    bench.publish(0, 2)
    await bench.start()
    await bench.until(lambda: len(bench.read) == 2)
    late = list(bench.read)
    bench.read.clear()
    await bench.broker.rebalance()
    await bench.until(lambda: len(bench.read) == 2)
    for lease, record in late:
        lease.acknowledge(record.offset)
    await bench.source.commit(1)
    assert bench.broker.commits == []
    redelivered = bench.registry.get_sample_value("inspector_frames_redelivered_total")
    assert redelivered == 2
    await bench.stop()


async def test_records_of_a_partition_that_is_being_given_back_are_left_to_its_next_owner() -> None:
    bench = Bench(partitions=1)
    await bench.start()
    lease = bench.source.leases[0]
    lease.close()
    bench.source._take(lease, [])
    bench.publish(0)
    bench.source._take(lease, bench.broker.log((TOPIC, 0)))
    bench.source._take(None, bench.broker.log((TOPIC, 0)))
    assert bench.read == []
    assert lease.distance == 0
    await bench.stop()


async def test_what_was_read_before_a_rebalance_is_left_to_the_lease_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(partitions=8)
    for partition in range(8):
        bench.publish(partition, 5)
    await bench.start()
    await bench.until(lambda: len(bench.read) == 40)
    flow_read = bench.source._flow.read
    rebalances: list[asyncio.Task[None]] = []

    def rebalance_after_the_first(lease: Lease, records: Sequence[ConsumedRecord]) -> None:
        flow_read(lease, records)
        if not rebalances:
            rebalances.append(asyncio.create_task(bench.broker.rebalance()))

    monkeypatch.setattr(bench.source._flow, "read", rebalance_after_the_first)
    async with bench.broker.rebalancing:  # so that one read has something of every partition
        for partition in range(8):
            bench.publish(partition, 5)
    await bench.until(lambda: rebalances and rebalances[0].done())
    leases = bench.source.leases
    await bench.until(lambda: all(lease.distance == 10 for lease in leases))
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
    await bench.until(lambda: len(bench.read) == 3)
    assert {lease.epoch for lease, _ in bench.read} == {2}
    bench.acknowledge_all()
    assert await bench.stop() is True
    assert bench.broker.committed == {(TOPIC, 0): 3}


async def test_a_commit_that_fails_is_counted_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.publish(0)
    await bench.start()
    await bench.until(lambda: len(bench.read) == 1)
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
    assert (bench.commits("stale"), bench.commits("failed"), bench.commits("ok")) == (1, 2, 1)
    await bench.stop()


async def test_a_commit_that_never_returns_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.publish(0)
    await bench.start()
    await bench.until(lambda: len(bench.read) == 1)
    bench.acknowledge_all()

    async def hang(_offsets: Mapping[Partition, int]) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(bench.consumer, "commit", hang)
    await bench.source.commit(0.01)
    assert bench.commits("failed") == 1
    await bench.stop()


async def test_reading_survives_faults_of_the_bus_but_not_a_refused_right(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    monkeypatch.setattr("inspector.stages.source.RETRY_S", 0.0)
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
    await bench.until(lambda: len(bench.read) == 1)
    failures.append(AccessError("not yours"))
    assert bench.task is not None
    with pytest.raises(AccessError, match="not yours"):
        await bench.task


async def test_a_consumer_that_only_fails_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    monkeypatch.setattr("inspector.stages.source.RETRY_S", 0.0)
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
    monkeypatch.setattr("inspector.stages.source.RETRY_S", 0.0)
    monkeypatch.setattr("inspector.stages.source.IDLE_TIMEOUT_S", 0.0)
    read, failures, looks = bench.consumer.read, 0, 0

    async def fail_twice(
        partitions: Sequence[Partition], *, timeout_s: float, max_records: int
    ) -> Mapping[Partition, Sequence[ConsumedRecord]]:
        nonlocal failures
        failures += 1
        bench.room = 0 if failures == 1 else 100
        if failures <= 2:
            raise BusError("a hiccup")
        return await read(partitions, timeout_s=timeout_s, max_records=max_records)

    def headroom() -> int:
        nonlocal looks
        looks += bench.room == 0
        return bench.room

    monkeypatch.setattr(bench.consumer, "read", fail_twice)
    monkeypatch.setattr(bench.source, "_headroom", headroom)
    bench.publish(0)
    await bench.start()
    await bench.until(lambda: looks)
    bench.clock.advance(40)
    bench.room = 100
    await bench.until(lambda: len(bench.read) == 1)
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
    bench.on_closing = bench._give_up
    await bench.stop()


async def test_an_assignment_that_comes_after_the_stop_is_not_worked_on() -> None:
    bench = Bench()
    await bench.start()
    await bench.stop()
    await bench.source.on_assigned({(TOPIC, 0)})
    assert bench.source.leases == []


async def test_the_lag_is_what_is_left_to_read() -> None:
    bench = Bench(partitions=1, cap=2)
    bench.publish(0, 5)
    await bench.start()
    await bench.until(lambda: len(bench.read) == 2)
    bench.source._report_lag()
    assert bench.registry.get_sample_value("inspector_consumer_lag_frames", {"partition": "0"}) == 3
    await bench.stop()
