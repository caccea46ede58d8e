"""Reads results for the gate, from now on, from all partitions, without a group; and notices if this no longer works."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from inspector.bus.admin import require_topics
from inspector.bus.connect import bus_errors, consumer_client, start_client
from inspector.bus.ports import ConsumedRecord
from inspector.errors import BusError
from inspector.settings.kafka import KafkaSettings

log = logging.getLogger(__name__)

CHECK_S = 1.0
CHECK_TIMEOUT_S = 5.0
"""A cluster that does not tell its end offsets for so long does not deliver records either."""
STOP_S = 3.0
"""A reader that has not disconnected by then is left to itself."""
STALLED_AFTER_S = 5.0
"""A partition that holds records and is not read for so long is not read at all."""


class ResultReader(Protocol):
    """Reads the records of some topics that come from its start on."""

    async def start(self) -> None:
        """Connect, and stand behind the last record of each partition.

        Raises:
            AccessError: An operator must act.
            BusError: Worth another try.
            TopicError: A topic is missing; worth another try.
        """
        ...

    async def read(self, timeout_s: float) -> Sequence[ConsumedRecord]:
        """Return what has come, waiting up to `timeout_s` for it.

        Raises:
            AccessError: An operator must act.
            BusError: Worth another start.
        """
        ...

    async def check(self) -> str | None:
        """Return why what comes is not read, as a sentence; None: all that is there is being read."""
        ...

    async def stop(self) -> None:
        """Disconnect."""
        ...


class KafkaReader:
    """`ResultReader` on Kafka. Event loop only; may be started again after `stop`.

    A partition that is added later is read from its beginning. aiokafka then forgets where it was in the others: they go on there.
    """

    def __init__(self, kafka: KafkaSettings, topics: Sequence[str]) -> None:
        """Read these topics."""
        self._kafka = kafka
        self._topics = topics
        self._consumer: Any = None
        self._next: dict[Any, int] = {}
        """Where to go on in each partition that is read."""
        self._still: dict[Any, tuple[int, float]] = {}

    async def start(self) -> None:
        """Connect, and stand behind the last record of each partition."""
        await require_topics(self._kafka, self._topics)
        # Of what comes to be read later, a topic made again or a partition more, nothing is left out: it might be a nok.
        self._consumer = consumer_client(self._kafka, *self._topics, group_id=None, auto_offset_reset="earliest")
        async with bus_errors("read results"):
            await start_client(self._consumer)
            partitions = self._consumer.assignment()
            self._next = dict(await self._consumer.end_offsets(partitions))
            for partition, end in self._next.items():
                self._consumer.seek(partition, end)

    async def read(self, timeout_s: float) -> Sequence[ConsumedRecord]:
        """Return what has come, waiting up to `timeout_s` for it."""
        async with bus_errors("read results"):
            chunks = await self._consumer.getmany(timeout_ms=round(timeout_s * 1000))
            if self._consumer.assignment() != self._next.keys():
                chunks = await self._go_on(chunks)
        for partition, records in chunks.items():
            if records:
                self._next[partition] = records[-1].offset + 1
        return [record for records in chunks.values() for record in records]

    async def _go_on(self, chunks: Mapping[Any, Sequence[ConsumedRecord]]) -> dict[Any, Sequence[ConsumedRecord]]:
        """Go on where it was in the partitions that are known, and leave out what was read of them before."""
        partitions = self._consumer.assignment()
        ends = await self._consumer.end_offsets(partitions)
        # One that ends before is a new one of the old name.
        known = {p: at for p, at in self._next.items() if p in partitions and at <= ends[p]}
        fresh: dict[Any, Sequence[ConsumedRecord]] = {
            partition: [record for record in records if record.offset >= known.get(partition, 0)]
            for partition, records in chunks.items()
            if partition in partitions
        }
        self._next = dict.fromkeys(partitions, 0) | known
        for partition, at in known.items():
            records = fresh.get(partition)
            self._consumer.seek(partition, records[-1].offset + 1 if records else at)
        log.warning("partitions were added or removed: %s are read now", len(partitions))
        return fresh

    async def check(self) -> str | None:
        """Return why what comes is not read, as a sentence; None: all that is there is being read."""
        consumer, now_s = self._consumer, asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S), bus_errors("find out what there is to read"):
                ends = await consumer.end_offsets(consumer.assignment())
                positions = {partition: await consumer.position(partition) for partition in ends}
        except (BusError, TimeoutError) as exc:
            return str(exc) or f"the brokers have not answered for {CHECK_TIMEOUT_S:.0f} s"
        for partition, end in ends.items():
            before, since_s = self._still.get(partition, (-1, now_s))
            if positions[partition] != before or positions[partition] >= end:
                since_s = now_s
            self._still[partition] = (positions[partition], since_s)
            if positions[partition] == before and positions[partition] < end and now_s - since_s >= STALLED_AFTER_S:
                return f"{partition.topic}/{partition.partition} has records that are not read"
        return None

    async def stop(self) -> None:
        """Disconnect."""
        consumer, self._consumer = self._consumer, None
        self._still.clear()
        self._next.clear()
        if consumer is None:
            return
        # By itself and with an end: aiokafka waits for brokers that do not answer, and hands on the cancellation of its own tasks.
        stopping = asyncio.ensure_future(consumer.stop())
        await asyncio.wait({stopping}, timeout=STOP_S)
        if not stopping.done():
            stopping.cancel()
        elif not stopping.cancelled() and (error := stopping.exception()) is not None:
            log.warning("the reader of results did not disconnect cleanly: %r", error)
