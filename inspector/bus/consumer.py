"""Reads frames from Kafka: `FrameConsumer` on aiokafka.

`getmany` never gets an empty list (which means all) and is never cancelled, and commits name their offsets.

A topic that was deleted and created again begins at offset 0, under the old name. Offsets of the old topic are wrong for it:
a late commit would skip its first records. So every commit first asks which topic it is. A member that finds
another one commits the beginnings of its partitions and joins the group again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, ConsumerStoppedError, IllegalStateError, KafkaError

from inspector.bus.connect import FETCH_BYTES, bus_errors, consumer_client, lacks, start_client, told_refusals
from inspector.bus.ending import find_end
from inspector.bus.incarnation import NO_ID, Incarnation, find_incarnation
from inspector.bus.ports import ConsumedRecord, Partition, RebalanceListener, Survey
from inspector.bus.records import INFLATED_BYTES, limit_inflated, unending, unreadable
from inspector.errors import BusError, StaleCommitError
from inspector.settings.kafka import KafkaSettings

log = logging.getLogger(__name__)

ASSIGNMENT_TIMEOUT_S = 2.0
"""For finding out which topic it is that was shared out; the group goes on without."""


class KafkaConsumer:
    """`FrameConsumer` on aiokafka. Event loop only."""

    def __init__(
        self,
        kafka: KafkaSettings,
        topic: str,
        *,
        max_partition_fetch_bytes: int,
        max_inflated_bytes: int = INFLATED_BYTES,
    ) -> None:
        """Prepare to read `topic`; nothing connects before `start`.

        Args:
            kafka: the brokers and the group.
            topic: of frames.
            max_partition_fetch_bytes: that one fetch takes from a partition, see `Settings.partition_fetch_bytes`.
            max_inflated_bytes: that the record batches of one fetch of a partition are inflated to; one that is larger by itself
                is answered as too large.
        """
        limit_inflated(topic, max_inflated_bytes)
        self._kafka = kafka
        self.topic = topic
        self._options = {
            "group_id": kafka.group_id,
            "max_partition_fetch_bytes": max_partition_fetch_bytes,
            "fetch_max_bytes": max(FETCH_BYTES, max_partition_fetch_bytes),
        }
        self._consumer: Any = None
        self._topic_id = NO_ID
        self._begins_anew = False
        """Between the beginning of another topic of the name and the next assignment: what was read is not what is meant."""
        self._shared_out: int | None = None  # before the first assignment

    async def start(self, listener: RebalanceListener) -> None:
        """Connect and join the group."""
        consumer = consumer_client(self._kafka, **self._options)
        async with bus_errors(f"connect to {self._kafka.bootstrap_servers}"):
            try:
                await start_client(consumer)
            except KafkaError:
                await consumer.stop()
                raise
        consumer.subscribe([self.topic], listener=_Listener(listener, self._note_assignment))
        self._consumer = consumer

    async def read(
        self, partitions: Sequence[Partition], *, timeout_s: float, max_records: int
    ) -> Mapping[Partition, Sequence[ConsumedRecord]]:
        """Return what is there of these partitions.

        aiokafka looks at the assignment while it collects what was fetched, and from there to here nothing is awaited; so
        no record of an earlier assignment comes.
        """
        if not partitions:
            raise ValueError("there are no partitions to read; for aiokafka an empty list would mean all of them")
        wanted = [TopicPartition(*partition) for partition in partitions]
        lacking = lacks(self._kafka, "Read", self.topic, reads_in_group=True)
        async with bus_errors(f"read {self.topic}", lacking):
            for partition in unending.keys() & set(wanted):
                if passed := await self._pass(partition):
                    return {partition: passed}
            try:
                records: Mapping[Partition, Sequence[ConsumedRecord]] = await self._consumer.getmany(
                    *wanted, timeout_ms=round(timeout_s * 1000), max_records=max_records
                )
            except ConsumerStoppedError as exc:
                raise BusError("could not read: the consumer has stopped") from exc
        return records

    async def _pass(self, partition: TopicPartition) -> Sequence[ConsumedRecord]:
        """Step over a record batch that does not tell where it ends; return a record for each of its offsets, none where that fails."""
        offset, size_bytes = unending.pop(partition)
        if self.position(partition) != offset:
            return []
        is_committed = self._kafka.isolation_level == "read_committed"
        client = self._consumer._client  # noqa: SLF001 the public consumer fetches what it likes
        end = await find_end(client, partition, offset, size_bytes, is_committed=is_committed)
        if end is None or self.position(partition) != offset:
            return []
        log.warning(
            "%s: offsets %d to %d cannot be read; they are answered as undecodable and skipped",
            partition,
            offset,
            end - 1,
        )
        self._consumer.seek(partition, end)
        return unreadable(partition, offset, end)

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit these offsets, and no others."""
        async with bus_errors("commit", lacks(self._kafka, reads_in_group=True)):
            now = await find_incarnation(self._consumer._client, self.topic)  # noqa: SLF001
            if self._is_another(now) or self._begins_anew:
                raise StaleCommitError(f"could not commit: topic {self.topic} was deleted, or created again")
            await self._commit({TopicPartition(*partition): offset for partition, offset in offsets.items()})

    async def _commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        try:
            await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as exc:
            raise StaleCommitError(f"could not commit: the group has rebalanced: {exc}") from exc

    def end_offset(self, partition: Partition) -> int | None:
        """Return the high watermark of the last fetch, or where the first open transaction begins."""
        state = self._state(partition)
        if state is None or state.highwater is None:
            return None
        stable = state.lso if self._kafka.isolation_level == "read_committed" else None
        end: int = state.highwater if stable is None or stable < 0 else stable
        return end

    def position(self, partition: Partition) -> int | None:
        """Return what is fetched next."""
        state = self._state(partition)
        position: int | None = state.position if state is not None and state.has_valid_position else None
        return position

    def _state(self, partition: Partition) -> Any:  # noqa: ANN401
        """Return what aiokafka knows of a partition; None where it is not this member's."""
        subscription = self._consumer._subscription.subscription  # noqa: SLF001 `position` would wait
        assignment = None if subscription is None else subscription.assignment
        return None if assignment is None else assignment.state_value(TopicPartition(*partition))

    async def survey(self) -> Survey:
        """Ask for the topic's id, its partitions and their ends."""
        client = self._consumer._client  # noqa: SLF001 the public consumer knows neither ids nor when it last asked
        lacking = lacks(self._kafka, "Describe", self.topic)
        async with bus_errors(f"look after {self.topic}", lacking), told_refusals(client):
            now = await find_incarnation(client, self.topic)
            known = self._known_partitions()
            if (now.partitions if now else 0) != known:
                await client.force_metadata_update()
            if now is not None and self._is_another(now):
                await self._begin_anew()
            if now is not None:
                self._topic_id = now.topic_id
                if self._shared_out is not None and self._shared_out != now.partitions == self._known_partitions():
                    # aiokafka has only the group's leader do so, which may be slow to hear of it.
                    self._consumer._coordinator.request_rejoin()  # noqa: SLF001
            assigned = self._consumer.assignment() if now is not None else set()
            ends = await self._consumer.end_offsets(assigned) if assigned else {}
        return Survey(
            now.partitions if now else 0,
            self._shared_out or 0,
            {(topic, number): end for (topic, number), end in ends.items()},
        )

    async def _begin_anew(self) -> None:
        """Read a topic that was made again from its beginning, whatever was committed of the one before."""
        self._begins_anew = True
        assigned = self._consumer.assignment()
        log.warning("topic %s was deleted and created again; it is read from its beginning", self.topic)
        if assigned:
            await self._commit(await self._consumer.beginning_offsets(assigned))
        self._consumer._coordinator.request_rejoin()  # noqa: SLF001 there is no public way to join anew

    def _is_another(self, now: Incarnation | None) -> bool:
        return now is None or self._topic_id not in {NO_ID, now.topic_id}

    def _known_partitions(self) -> int:
        return len(self._consumer.partitions_for_topic(self.topic) or ())

    async def _note_assignment(self, assigned: set[TopicPartition]) -> None:
        """Begin at the beginning of a topic that was made again since this member last had a part of it."""
        self._shared_out = self._known_partitions()
        self._begins_anew = False
        try:
            async with asyncio.timeout(ASSIGNMENT_TIMEOUT_S):
                now = await find_incarnation(self._consumer._client, self.topic)  # noqa: SLF001
                if now is None:
                    return
                if assigned and self._is_another(now):
                    for partition, offset in (await self._consumer.beginning_offsets(assigned)).items():
                        self._consumer.seek(partition, offset)
                self._topic_id = now.topic_id
        except (KafkaError, TimeoutError) as exc:
            log.warning("the id of topic %s could not be determined yet: %r", self.topic, exc)

    async def stop(self) -> None:
        """Leave the group and disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Hands aiokafka's callbacks on; what they raise would otherwise only be logged, so they must not raise."""

    def __init__(
        self, listener: RebalanceListener, on_assigned: Callable[[set[TopicPartition]], Awaitable[None]]
    ) -> None:
        self._listener = listener
        self._on_assigned = on_assigned

    async def on_partitions_revoked(self, revoked: set[Partition]) -> None:
        await self._listener.on_revoked({(topic, partition) for topic, partition in revoked})

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        await self._on_assigned(assigned)
        await self._listener.on_assigned({(topic, partition) for topic, partition in assigned})
