"""Stand-ins for tests: a clock that stands still, a bus in memory, a model that scores by brightness."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.errors import GeometryError
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.types import DLResult, DLSample, Thresholds
from inspector.bus.ports import (
    ConsumedRecord,
    Fault,
    Partition,
    ProducedRecord,
    RebalanceListener,
    ResultProducer,
    Survey,
)
from inspector.errors import AccessError, BusError, PartitionGoneError, StaleCommitError


class FakeClock:
    """Stands still until told otherwise; the wall clock may be set apart from the monotonic one."""

    def __init__(self, *, wall_us: int = 1_800_000_000_000_000, monotonic_s: float = 1000.0) -> None:
        """Start at these times."""
        self._wall_us = wall_us
        self._monotonic_s = monotonic_s

    def wall_us(self) -> int:
        """Return the wall clock's time."""
        return self._wall_us

    def monotonic_s(self) -> float:
        """Return the monotonic clock's time."""
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self._wall_us += round(seconds * 1e6)
        self._monotonic_s += seconds

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock, as an operator or NTP does."""
        self._wall_us += round(seconds * 1e6)


@dataclass(frozen=True)
class FakeRecord:
    """A record of the bus in memory."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    fault: Fault | None = None


@dataclass
class FakeBroker:
    """Topics and one consumer group in memory; rebalances eagerly, as the classic protocol does."""

    partitions: dict[str, int]
    logs: dict[Partition, list[FakeRecord]] = field(default_factory=dict)
    committed: dict[Partition, int] = field(default_factory=dict)
    commits: list[dict[Partition, int]] = field(default_factory=list)
    members: list[FakeConsumer] = field(default_factory=list)
    appended: asyncio.Event = field(default_factory=asyncio.Event)
    rebalancing: asyncio.Lock = field(default_factory=asyncio.Lock)
    made: dict[str, int] = field(default_factory=dict)

    def log(self, partition: Partition) -> list[FakeRecord]:
        """Return the records of a partition."""
        return self.logs.setdefault(partition, [])

    def append(
        self,
        partition: Partition,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        *,
        skip_offsets: int = 0,
        fault: Fault | None = None,
    ) -> None:
        """Append a record, `skip_offsets` behind the one before it, as compaction and transactions leave it."""
        log = self.log(partition)
        offset = (log[-1].offset + 1 if log else 0) + skip_offsets
        log.append(FakeRecord(*partition, offset, key, value, tuple(headers), fault))
        self.appended.set()

    def records(self, topic: str) -> list[FakeRecord]:
        """Return all records of a topic, partition by partition."""
        return [record for number in range(self.partitions[topic]) for record in self.log((topic, number))]

    def delete(self, topic: str) -> None:
        """Delete a topic, and with it what was committed of it."""
        del self.partitions[topic]
        self.made[topic] = self.made.get(topic, 0) + 1
        for kept in (self.logs, self.committed):
            for partition in [partition for partition in kept if partition[0] == topic]:
                del kept[partition]

    async def rebalance(self) -> None:
        """Revoke everything, then hand the partitions out in turn."""
        async with self.rebalancing:
            members = list(self.members)
            await asyncio.gather(*(member.revoke() for member in members))
            for number, member in enumerate(members):
                mine = [
                    (member.topic, partition)
                    for partition in range(self.partitions.get(member.topic, 0))
                    if partition % len(members) == number
                ]
                await member.assign(mine)


class FakeConsumer:
    """`FrameConsumer` on a `FakeBroker`."""

    def __init__(self, broker: FakeBroker, topic: str, *, chunk_bytes: int = 1 << 20) -> None:
        """Read `topic`, up to `chunk_bytes` of a partition at a time."""
        self.topic = topic
        self._broker = broker
        self._chunk_bytes = chunk_bytes
        self._listener: RebalanceListener | None = None
        self._positions: dict[Partition, int] = {}
        self._made = 0
        self._shared_out = 0
        self.asked: list[Sequence[Partition]] = []
        self.stuck: set[Partition] = set()  # that are not read, without a word
        self.surveys = 0
        self.blind = False  # whether the brokers do not tell what there is
        self.refusal: str | None = None  # what they say to who asks

    async def start(self, listener: RebalanceListener) -> None:
        self._listener = listener
        self._broker.members.append(self)
        await self._broker.rebalance()

    async def revoke(self) -> None:
        if self._listener is not None and self._positions:
            await self._listener.on_revoked(set(self._positions))

    async def assign(self, partitions: Iterable[Partition]) -> None:
        self._made = self._broker.made.get(self.topic, 0)
        self._shared_out = self._broker.partitions.get(self.topic, 0)
        self._positions = {partition: self._broker.committed.get(partition, 0) for partition in partitions}
        if self._listener is not None:
            await self._listener.on_assigned(set(self._positions))

    async def read(
        self, partitions: Sequence[Partition], *, timeout_s: float, max_records: int
    ) -> Mapping[Partition, Sequence[ConsumedRecord]]:
        assert partitions, "an empty list would mean all partitions"
        self.asked.append(partitions)
        async with self._broker.rebalancing:
            chunks = self._chunks(partitions, max_records)
        if not chunks:
            self._broker.appended.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._broker.appended.wait()
            except TimeoutError:
                return {}
        return chunks

    def _chunks(self, partitions: Sequence[Partition], max_records: int) -> dict[Partition, list[ConsumedRecord]]:
        chunks: dict[Partition, list[ConsumedRecord]] = {}
        for partition in partitions:
            if partition not in self._positions or partition in self.stuck:
                continue
            size = 0
            for record in self._broker.log(partition):
                if record.offset < self._positions[partition]:
                    continue
                size += len(record.value or b"")
                if max_records == 0 or (partition in chunks and size > self._chunk_bytes):
                    break
                chunks.setdefault(partition, []).append(record)
                max_records -= 1
            if partition in chunks:
                self._positions[partition] = chunks[partition][-1].offset + 1
        return chunks

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        if self.topic not in self._broker.partitions or self._made != self._broker.made.get(self.topic, 0):
            raise StaleCommitError("could not commit: the topic was deleted, or created again")
        if not set(offsets) <= set(self._positions):
            raise StaleCommitError("could not commit: not assigned")
        self._broker.commits.append(dict(offsets))
        self._broker.committed.update(offsets)

    def end_offset(self, partition: Partition) -> int | None:
        log = self._broker.log(partition)
        return log[-1].offset + 1 if log else 0

    def position(self, partition: Partition) -> int | None:
        return self._positions.get(partition)

    async def survey(self) -> Survey:
        self.surveys += 1
        if self.blind:
            raise BusError("no broker answers")
        if self.refusal is not None:
            raise AccessError(self.refusal)
        told = self._broker.partitions.get(self.topic, 0)
        if told != self._shared_out or self._made != self._broker.made.get(self.topic, 0):
            await self._broker.rebalance()
        return Survey(told, self._shared_out, {p: self.end_offset(p) or 0 for p in self._positions})

    async def stop(self) -> None:
        if self in self._broker.members:
            self._broker.members.remove(self)
            self._positions = {}
            await self._broker.rebalance()

    async def die(self) -> None:
        """Vanish without a word, as after SIGKILL; the group notices."""
        self._listener = None
        await self.stop()


class FakeProducer:
    """`ResultProducer` on a `FakeBroker`."""

    def __init__(self, broker: FakeBroker) -> None:
        self._broker = broker

    async def start(self) -> None:
        """Nothing to connect to."""

    async def partition_for(self, topic: str, key: bytes) -> int:
        if topic not in self._broker.partitions:
            raise BusError(f"no topic {topic}")
        return zlib.crc32(key) % self._broker.partitions[topic]

    async def send(self, partition: Partition, records: Sequence[ProducedRecord]) -> int:
        await asyncio.sleep(0)
        topic, number = partition
        if topic not in self._broker.partitions:
            raise BusError(f"no topic {topic}")
        if number >= self._broker.partitions[topic]:
            raise PartitionGoneError(f"no partition {number} of {topic}")
        for record in records:
            self._broker.append(partition, record.key, record.value, record.headers)
        return len(records)

    async def stop(self) -> None:
        """Nothing to disconnect from."""


class UnreliableProducer:
    """Passes on to another producer, but for the sends that a test lets go wrong."""

    def __init__(self, inner: ResultProducer) -> None:
        self._inner = inner
        self.before: Callable[[Partition, Sequence[ProducedRecord]], None] = lambda _partition, _records: None
        self.after: Callable[[Partition, Sequence[ProducedRecord]], None] = lambda _partition, _records: None
        self.open = asyncio.Event()
        self.open.set()
        self.sent: list[int] = []

    async def start(self) -> None:
        await self._inner.start()

    async def partition_for(self, topic: str, key: bytes) -> int:
        return await self._inner.partition_for(topic, key)

    async def send(self, partition: Partition, records: Sequence[ProducedRecord]) -> int:
        """Call `before` (which may raise: not delivered), send, call `after` (which may raise: delivered, unknown)."""
        await self.open.wait()
        self.before(partition, records)
        count = await self._inner.send(partition, records)
        self.sent.append(count)
        self.after(partition, records)
        return count

    async def stop(self) -> None:
        await self._inner.stop()


class FakeModel:
    """Scores a picture by its brightness (mean / 256); some brightnesses misbehave."""

    name = "brightness"
    version = "1"
    digest = "ab" * 32
    preprocess_param = DLPreprocessParam(image_width=64, image_height=64)
    inputs_per_picture = 1
    golden_images: Sequence[NDArray[np.uint8]] = (np.full((64, 64), 32, np.uint8),)
    golden_scores: Sequence[float] = (0.125,)
    thresholds: Thresholds

    RAISES_IN_BATCH = 201
    RAISES_ALWAYS = 202
    NOT_FINITE = 203

    def __init__(self, thresholds: Thresholds) -> None:
        self.thresholds = thresholds
        self.batches: list[int] = []
        self.on_launch: Callable[[int], None] = lambda _size: None
        self.drops_a_result = False
        self.warmed: list[int] = []

    def check_geometry(self, sample: DLSample) -> None:
        if sample.channels != 1 or abs(sample.original_width / sample.original_height - 1) > 0.02:
            raise GeometryError(f"{sample.original_width} x {sample.original_height} is not square and gray")

    def launch(self, images: Sequence[NDArray[np.uint8]]) -> FakePending:
        self.batches.append(len(images))
        self.on_launch(len(images))
        levels = [round(float(image.mean())) for image in images]
        if self.RAISES_ALWAYS in levels or (len(images) > 1 and self.RAISES_IN_BATCH in levels):
            raise RuntimeError("this picture breaks the model")
        return FakePending(levels, short=self.drops_a_result and len(images) > 1)

    def warm_up(self, batch_sizes: Iterable[int]) -> None:
        self.warmed = sorted({*self.warmed, *batch_sizes})


class FakePending:
    """A batch that is done at once."""

    def __init__(self, levels: list[int], *, short: bool) -> None:
        self._levels = levels[1:] if short else levels

    def finish(self) -> list[DLResult]:
        """Return the results."""
        return [
            DLResult(
                anomaly_score=float("nan") if level == FakeModel.NOT_FINITE else level / 256,
                anomaly_image=np.zeros((64, 64), np.float32),
            )
            for level in self._levels
        ]


class FakeTail:
    """`ResultTail` on a `FakeBroker`."""

    def __init__(self, broker: FakeBroker) -> None:
        """Look at its partitions."""
        self._broker = broker
        self._next: dict[Partition, int] = {}

    async def look(
        self, partitions: Collection[Partition], tell: Callable[[ConsumedRecord], None], *, most: int
    ) -> None:
        for partition in partitions:
            log = self._broker.log(partition)
            end = log[-1].offset + 1 if log else 0
            begin = max(self._next.get(partition, end), end - most)
            self._next[partition] = end
            for record in log:
                if record.offset >= begin:
                    tell(record)

    async def stop(self) -> None: ...
