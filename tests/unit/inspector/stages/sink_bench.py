"""A sink on a producer that fails as told, for the tests of `inspector.stages.sink`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from inspector.bus.ports import Partition, ProducedRecord
from inspector.errors import AccessError, BusError, MessageTooLargeError, PartitionGoneError
from inspector.inflight.budget import Budget
from inspector.inflight.frame import Frame, Outgoing
from inspector.inflight.lease import Lease
from inspector.stages.sink import Sink
from schemas import Identity, RecordSource, Status
from tests.fakes import FakeClock


def first_occurrences(values: Sequence[bytes]) -> list[bytes]:
    return list(dict.fromkeys(values))


class Broker:
    """A producer that fails as told and keeps what arrived."""

    def __init__(self) -> None:
        self.arrived: dict[Partition, list[bytes]] = {}
        self.plan: list[str] = []
        self.lookups: list[bool] = []
        self.looked_up: list[bytes] = []
        self.attempts_s: list[float] = []
        self.gone: set[str] = set()
        self.most: dict[str, int] = {}
        """Of topics that were made anew: how many partitions they have."""
        self.largest = 10_000
        self.batches: list[int] = []

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def partition_for(self, topic: str, key: bytes) -> int:
        self.looked_up.append(key)
        await asyncio.sleep(0)
        if topic in self.gone or (self.lookups and not self.lookups.pop(0)):
            raise BusError(f"no topic {topic}")
        return len(key) % self.most.get(topic, 1000)

    async def send(self, partition: Partition, records: Sequence[ProducedRecord]) -> int:
        self.attempts_s.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0)
        if partition[1] >= self.most.get(partition[0], 1000):
            raise PartitionGoneError("no such partition any more")
        step = self.plan.pop(0) if self.plan else "ok"
        if step == "lost":
            raise BusError("lost")
        if step == "refused":
            raise AccessError("refused")
        if any(len(record.value) > self.largest for record in records):
            raise MessageTooLargeError("too large")
        count = 1 if step == "first only" else len(records)
        self.arrived.setdefault(partition, []).extend(record.value for record in records[:count])
        self.batches.append(count)
        if step == "unknown":
            raise BusError("arrived, but nobody knows")
        return count


class Events:
    """What the sink said."""

    def __init__(self) -> None:
        self.delivered_frames: list[Frame] = []
        self.retried: list[str] = []
        self.late_frames: list[Frame] = []
        self.on_retry: Callable[[], None] = lambda: None
        self.progress = asyncio.Event()

    def late(self, outgoing: Outgoing) -> None:
        self.late_frames.append(outgoing.frame)
        outgoing.status, outgoing.reason = "expired", "late_before_send"
        outgoing.result = outgoing.result._replace(value=b"late " + outgoing.result.value)

    def smaller(self, record: ProducedRecord) -> ProducedRecord | None:
        return record._replace(value=b"small") if record.value.startswith(b"big") else None

    def delivered(self, outgoing: Outgoing) -> None:
        self.delivered_frames.append(outgoing.frame)
        self.progress.set()

    def send_retried(self, *, deadletter: bool) -> None:
        self.retried.append("dead letter" if deadletter else "result")
        self.on_retry()


class Bench:
    def __init__(self) -> None:
        self.broker = Broker()
        self.events = Events()
        self.clock = FakeClock()
        self.sink = Sink(self.broker, self.events, self.clock)
        self.lease = Lease(("frames", 0), 1, cap=1000)

    def outgoing(
        self,
        value: bytes,
        key: bytes = b"k",
        *,
        topic: str = "results",
        deadline_s: float = 1e9,
        deadletter: bytes | None = None,
        status: Status = "inspected",
    ) -> Outgoing:
        frame = Frame(
            lease=self.lease,
            source=RecordSource(topic="frames", partition=0, offset=0),
            key=None,
            value=None,
            identity=Identity(),
            camera="c",
            deadline_at=None,
            deadline_s=deadline_s,
            reservation=Budget(1).hold(0),
        )
        letter = None if deadletter is None else ProducedRecord("dead", b"", deadletter, [])
        return Outgoing(frame, status, "none", ProducedRecord(topic, key, value, []), letter, 1 + (letter is not None))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.sink.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                self.events.progress.clear()
                await self.events.progress.wait()

    async def until_delivered(self, count: int) -> None:
        await self.until(lambda: len(self.events.delivered_frames) == count)
