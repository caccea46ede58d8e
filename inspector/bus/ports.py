"""What the service needs from a bus: protocols that `bus` implements for Kafka and the tests' fakes in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

Partition = tuple[str, int]
"""Topic and number."""

RECORD_OVERHEAD_BYTES = 128
"""What a record takes in a batch apart from its key, value and headers, at most."""


class Fault(NamedTuple):
    """Why a record is not to be believed, though it has its place and is owed an answer."""

    reason: Literal["malformed", "corrupt", "unsupported", "too_large"]
    detail: str


class ConsumedRecord(Protocol):
    """A record as read; `value` is held by reference, never copied here."""

    @property
    def topic(self) -> str: ...  # noqa: D102 the names are Kafka's
    @property
    def partition(self) -> int: ...  # noqa: D102
    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...  # noqa: D102
    @property
    def fault(self) -> Fault | None:
        """What is wrong with the record as such; then key, value and headers are what could be told of them."""
        ...


class ProducedRecord(NamedTuple):
    """A record to send."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]

    @property
    def size_bytes(self) -> int:
        """What it takes in a record batch, at most."""
        headers = sum(len(name) + len(value) + 8 for name, value in self.headers)
        return len(self.key) + len(self.value) + headers + RECORD_OVERHEAD_BYTES


class Survey(NamedTuple):
    """What the brokers say there is to read."""

    partitions: int
    """Of the topic; 0: there is none."""
    shared_out: int
    """How many this member knew when the group gave it its own; another number: others are read by nobody yet."""
    ends: Mapping[Partition, int]
    """The offset behind the last record that may be read, of each partition of this member."""


class RebalanceListener(Protocol):
    """Told about every change of the assignment, on the event loop, while the consumer delivers nothing."""

    async def on_assigned(self, partitions: set[Partition]) -> None:
        """Take note of the complete new assignment."""
        ...

    async def on_revoked(self, partitions: set[Partition]) -> None:
        """Finish and commit; when this returns, others may get the partitions."""
        ...


class FrameConsumer(Protocol):
    """Reads one topic as a member of a group."""

    @property
    def topic(self) -> str:
        """Its name."""
        ...

    async def start(self, listener: RebalanceListener) -> None:
        """Connect and join the group; the first assignment comes later, through `listener`."""
        ...

    async def read(
        self, partitions: Sequence[Partition], *, timeout_s: float, max_records: int
    ) -> Mapping[Partition, Sequence[ConsumedRecord]]:
        """Return what is there of these partitions, waiting up to `timeout_s` (longer during a rebalance).

        All of it was read under the assignment of the moment in which this returns; nothing of an earlier one comes.

        Raises:
            AccessError: An operator must act.
            BusError: Reading may go on.
        """
        ...

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit these offsets; may be cancelled.

        Raises:
            StaleCommitError: The group has rebalanced, or the topic is not the one that was read.
            BusError: They are not committed.
        """
        ...

    def end_offset(self, partition: Partition) -> int | None:
        """Return the offset behind the last record that may be read, as of the last fetch."""
        ...

    def position(self, partition: Partition) -> int | None:
        """Return the offset that is read next; None where that is not known yet."""
        ...

    async def survey(self) -> Survey:
        """Ask the brokers what there is to read, and join the group anew where it is no longer what was shared out.

        A topic that was deleted and made again is read from its beginning.

        Raises:
            AccessError: An operator must act.
            BusError: They do not tell.
        """
        ...

    async def stop(self) -> None:
        """Leave the group and disconnect; commits nothing."""
        ...


class ResultProducer(Protocol):
    """Sends records in batches that arrive as a whole or not at all."""

    async def start(self) -> None:
        """Connect."""
        ...

    async def partition_for(self, topic: str, key: bytes) -> int:
        """Return the partition that Kafka's default partitioner gives this key.

        Raises:
            BusError: The topic is unknown or may not be read about.
        """
        ...

    async def send(self, partition: Partition, records: Sequence[ProducedRecord]) -> int:
        """Send the first of `records`, as many as fit one record batch; return how many all replicas acknowledged.

        Raises:
            MessageTooLargeError: The broker will never take it.
            PartitionGoneError: The topic has no such partition any more; `partition_for` tells those that it has.
            AccessError: An operator must act.
            BusError: Whether they arrived is unknown; the same records are to be sent again.
        """
        ...

    async def stop(self) -> None:
        """Disconnect; what was not acknowledged is lost."""
        ...


class ResultTail(Protocol):
    """Looks at the last records of partitions, now and then."""

    async def look(
        self, partitions: Collection[Partition], tell: Callable[[ConsumedRecord], None], *, most: int
    ) -> None:
        """Tell of what was written since the look before, of each partition of the last `most` records at most; none is held.

        Of a partition that is looked at for the first time there is nothing yet: what was there is not this deployment's time.

        Raises:
            AccessError: An operator must act.
            BusError: Another look may do. Of the topics that can be read was told all the same.
        """
        ...

    async def stop(self) -> None:
        """Disconnect."""
        ...
