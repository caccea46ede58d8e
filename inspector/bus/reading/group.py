"""Reads results as a member of a group; begins a little before the committed offset, so that repeats are recognised.

As in `bus.consumer`: commits name their offsets, `getmany` is never cancelled, rebalances are eager.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, ConsumerStoppedError, IllegalStateError, KafkaError

from inspector.bus.admin import require_topics
from inspector.bus.connect import bus_errors, consumer_client, lacks, start_client
from inspector.bus.ports import ConsumedRecord, Partition
from inspector.bus.records import limit_inflated
from inspector.errors import BusError, StaleCommitError
from inspector.settings.kafka import KafkaSettings

log = logging.getLogger(__name__)

LOOK_BACK: Final = 2_000
"""Records before the committed one that are read again: a result that an inspector repeats after its own restart lies within them."""
INFLATED_BYTES: Final = 16 * 1024 * 1024
_NEVER_MS: Final = 24 * 3600 * 1000
"""A member whose storage is full reads nothing for as long as it waits, and stays a member."""


class GroupListener(Protocol):
    """Told about every change of the assignment, on the event loop."""

    async def on_assigned(self, begins: Mapping[Partition, int]) -> None:
        """Take note of the new assignment: of each partition the first offset that was not committed. What lies before was acted on."""
        ...

    async def on_revoked(self) -> None:
        """Finish and commit; when this returns, others may get the partitions."""
        ...


class GroupReader(Protocol):
    """Reads topics as a member of a group. Event loop only."""

    async def start(self, listener: GroupListener) -> None:
        """Connect and join the group.

        Raises:
            AccessError: An operator must act.
            BusError: Worth another try.
            TopicError: A topic is missing; worth another try.
        """
        ...

    async def read(self, *, timeout_s: float, max_records: int) -> Mapping[Partition, Sequence[ConsumedRecord]]:
        """Return what is there, waiting up to `timeout_s`; all of it was read under the assignment of the moment of return.

        Raises:
            AccessError: An operator must act.
            BusError: Reading may go on.
        """
        ...

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit these offsets.

        Raises:
            StaleCommitError: The group has moved on.
            BusError: They are not committed.
        """
        ...

    def unread(self) -> Mapping[Partition, int]:
        """Return how many records of each assigned partition are still to be read, as of the last fetch."""
        ...

    def has_all(self) -> bool:
        """Whether every partition of the topics is this member's."""
        ...

    async def stop(self) -> None:
        """Leave the group and disconnect."""
        ...


class KafkaGroup:
    """`GroupReader` on aiokafka."""

    def __init__(
        self, kafka: KafkaSettings, topics: Collection[str], group_id: str, *, session_timeout_ms: int
    ) -> None:
        """Prepare; nothing connects before `start`."""
        self._kafka = kafka.model_copy(update={"group_id": group_id, "session_timeout_ms": session_timeout_ms})
        self._topics = sorted(topics)
        self._consumer: Any = None
        for topic in topics:
            limit_inflated(topic, INFLATED_BYTES)

    async def start(self, listener: GroupListener) -> None:
        """Connect and join the group."""
        await require_topics(self._kafka, self._topics)
        consumer = consumer_client(
            self._kafka,
            group_id=self._kafka.group_id,
            max_poll_interval_ms=_NEVER_MS,
            max_partition_fetch_bytes=self._kafka.max_partition_fetch_bytes,
        )
        async with bus_errors(f"connect to {self._kafka.bootstrap_servers}"):
            try:
                await start_client(consumer)
            except KafkaError:
                await consumer.stop()
                raise
        self._consumer = consumer
        consumer.subscribe(self._topics, listener=_Listener(listener, self))

    async def read(self, *, timeout_s: float, max_records: int) -> Mapping[Partition, Sequence[ConsumedRecord]]:
        """Return what is there."""
        lacking = lacks(self._kafka, "Read", ", ".join(self._topics), reads_in_group=True)
        async with bus_errors("read results", lacking):
            try:
                chunks: Mapping[Partition, Sequence[ConsumedRecord]] = await self._consumer.getmany(
                    timeout_ms=round(timeout_s * 1000), max_records=max_records
                )
            except ConsumerStoppedError as exc:
                raise BusError("could not read: the consumer has stopped") from exc
        return chunks

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit these offsets."""
        async with bus_errors("commit", lacks(self._kafka, reads_in_group=True)):
            try:
                await self._consumer.commit({TopicPartition(*place): offset for place, offset in offsets.items()})
            except (CommitFailedError, IllegalStateError) as exc:
                raise StaleCommitError(f"could not commit: the group has rebalanced: {exc}") from exc

    def unread(self) -> Mapping[Partition, int]:
        """Return how many records of each assigned partition are still to be read."""
        found: dict[Partition, int] = {}
        for place in self._consumer.assignment() if self._consumer is not None else ():
            end = self._consumer.highwater(place)
            state = self._consumer._subscription.subscription.assignment.state_value(place)  # noqa: SLF001 `position` would wait
            if end is not None and state.has_valid_position:
                found[tuple(place)] = max(0, end - state.position)
        return found

    def has_all(self) -> bool:
        """Whether every partition of the topics is this member's."""
        known = {
            TopicPartition(topic, number)
            for topic in self._topics
            for number in self._consumer.partitions_for_topic(topic) or ()
        }
        return bool(known) and self._consumer.assignment() == known

    @contextmanager
    def held(self, assigned: Collection[TopicPartition]) -> Iterator[None]:
        """Read nothing of these partitions meanwhile: the listener would not know them yet, and nobody would read it again."""
        self._consumer.pause(*assigned)
        try:
            yield
        finally:
            self._consumer.resume(*(self._consumer.assignment() & set(assigned)))

    async def begin(self, assigned: Collection[TopicPartition]) -> dict[Partition, int]:
        """Go back a little before what was committed; return where that is not yet done."""
        begins: dict[Partition, int] = {}
        if not assigned:
            return begins
        try:
            oldest = await self._consumer.beginning_offsets(assigned)
            for place in assigned:
                committed = await self._consumer.committed(place)
                if committed is not None:
                    begins[tuple(place)] = committed
                    self._consumer.seek(place, max(oldest[place], min(committed, committed - LOOK_BACK)))
        except KafkaError as exc:
            log.warning("reading begins at the committed offsets, because nothing else could be determined: %r", exc)
        return begins

    async def stop(self) -> None:
        """Leave the group and disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Hands aiokafka's callbacks on; what they raise would otherwise only be logged, so they must not raise."""

    def __init__(self, listener: GroupListener, group: KafkaGroup) -> None:
        self._listener = listener
        self._group = group

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        if revoked:
            await self._listener.on_revoked()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        with self._group.held(assigned):
            begins = await self._group.begin(assigned)
            await self._listener.on_assigned({tuple(place): 0 for place in assigned} | begins)
