"""A source on a bus in memory, for the tests of `inspector.stages.source`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry

from inspector.bus.ports import ConsumedRecord, Partition
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
        self._bench.on_read()

    def closing(self, leases: Sequence[Lease]) -> None:
        self._bench.on_closing(leases)

    def ended(self, leases: Sequence[Lease]) -> None:
        self._bench.forgotten += leases


class Bench:
    """A source on a bus in memory; what it read is kept until the test acknowledges it."""

    def __init__(
        self,
        *,
        partitions: int = 4,
        cap: int = 1000,
        room: int = 100,
        drain_timeout_s: float = 5,
        chunk_bytes: int = 1 << 20,
    ) -> None:
        self.broker = FakeBroker({TOPIC: partitions})
        self.consumer = FakeConsumer(self.broker, TOPIC, chunk_bytes=chunk_bytes)
        self.clock = FakeClock()
        self.registry = CollectorRegistry()
        self.read: list[tuple[Lease, ConsumedRecord]] = []
        self.room = room
        self.looks_without_room = 0
        self.have_more: set[int] = set()
        self.on_read: Callable[[], None] = lambda: None
        self.on_closing: Callable[[Sequence[Lease]], None] = self.give_up
        self.forgotten: list[Lease] = []
        self.source = Source(
            self.consumer,
            Flow(self),
            cap=cap,
            choose=self.choose,
            clock=self.clock,
            metrics=Metrics(self.registry),
            drain_timeout_s=drain_timeout_s,
        )
        self.task: asyncio.Task[None] | None = None

    def choose(self, partitions: Sequence[Partition], has_more: Callable[[Partition], bool]) -> list[Partition]:
        self.looks_without_room += self.room == 0
        self.have_more = {number for topic, number in partitions if has_more((topic, number))}
        return list(partitions)[: self.room]

    def give_up(self, _leases: Sequence[Lease]) -> None:
        """Abandon what is in flight, as the pipeline does with what no stage has begun."""
        for lease, record in self.read:
            lease.abandon(record.offset)

    def finish(self, _leases: Sequence[Lease]) -> None:
        """Acknowledge what is in flight, as the pipeline does with what was begun."""
        self.acknowledge_all()

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

    async def until_read(self, count: int) -> None:
        await self.until(lambda: len(self.read) == count)

    async def stop(self) -> bool:
        finished = await self.source.stop(5)
        assert self.task is not None
        await self.task
        return finished

    def acknowledge_all(self) -> None:
        for lease, record in self.read:
            lease.acknowledge(record.offset)
        self.read.clear()

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"inspector_{name}", labels) or 0
