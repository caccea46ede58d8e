"""Reads a small topic completely from its beginning, and what is added later; without a group, leaving no trace."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final, Protocol

from aiokafka.errors import KafkaError

from inspector.bus.admin import require_topics
from inspector.bus.connect import bus_errors, consumer_client, lacks, start_client
from inspector.bus.ports import ConsumedRecord
from inspector.bus.reading.window import read_up_to
from inspector.bus.records import limit_inflated
from inspector.settings.kafka import KafkaSettings

INFLATED_BYTES: Final = 4 * 1024 * 1024
PARTITION_FETCH_BYTES: Final = 256 * 1024
STOP_S: Final = 3.0
"""A reader that has not disconnected by then is left to itself."""


class LogReader(Protocol):
    """Reads one topic. Event loop only; may be started again after `stop`."""

    async def start(self) -> None:
        """Connect, and stand before the first record.

        Raises:
            AccessError: An operator must act.
            BusError: Worth another try.
            TopicError: The topic is missing.
        """
        ...

    async def read_to_end(self) -> list[ConsumedRecord]:
        """Return what lies between where it stands and the end as it is now, in the order of the log.

        Raises:
            AccessError: An operator must act.
            BusError: Worth another start.
        """
        ...

    async def read(self, timeout_s: float) -> Sequence[ConsumedRecord]:
        """Return what has come, waiting up to `timeout_s` for it.

        Raises:
            AccessError: An operator must act.
            BusError: Worth another start.
        """
        ...

    async def stop(self) -> None:
        """Disconnect."""
        ...


class KafkaLog:
    """`LogReader` on aiokafka, for a topic of one partition."""

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        """Prepare; nothing connects before `start`."""
        self._kafka = kafka
        self._topic = topic
        self._lacking = lacks(kafka, "Read", topic)
        self._consumer: Any = None

    async def start(self) -> None:
        """Connect, and stand before the first record."""
        await require_topics(self._kafka, [self._topic])
        limit_inflated(self._topic, INFLATED_BYTES)
        self._consumer = consumer_client(
            self._kafka,
            self._topic,
            group_id=None,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
        )
        async with bus_errors(f"read {self._topic}", self._lacking):
            await start_client(self._consumer)
            await self._consumer.seek_to_beginning(*self._consumer.assignment())

    async def read_to_end(self) -> list[ConsumedRecord]:
        """Return what lies between where it stands and the end as it is now."""
        found: list[ConsumedRecord] = []
        async with bus_errors(f"read {self._topic}", self._lacking):
            ends = await self._consumer.end_offsets(self._consumer.assignment())
            for partition, end in ends.items():
                await read_up_to(self._consumer, partition, end, found.append)
        return found

    async def read(self, timeout_s: float) -> Sequence[ConsumedRecord]:
        """Return what has come, waiting up to `timeout_s` for it."""
        async with bus_errors(f"read {self._topic}", self._lacking):
            chunks = await self._consumer.getmany(timeout_ms=round(timeout_s * 1000))
        return [record for records in chunks.values() for record in records]

    async def stop(self) -> None:
        """Disconnect, within bounds: aiokafka waits for brokers that do not answer."""
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        stopping = asyncio.ensure_future(consumer.stop())
        await asyncio.wait({stopping}, timeout=STOP_S)
        if not stopping.done():
            stopping.cancel()
        with contextlib.suppress(asyncio.CancelledError, KafkaError, TimeoutError):
            await stopping
