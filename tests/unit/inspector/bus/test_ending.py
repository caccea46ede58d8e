"""Where a batch ends that does not tell: from the one behind it, from the partition's end, or not at all."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import NotLeaderForPartitionError, OffsetOutOfRangeError
from aiokafka.protocol.fetch import FetchRequest

from inspector.bus.ending import find_end
from tests.record_batches import record_batch

PARTITION = TopicPartition("t", 3)
BATCH = bytes(record_batch([b"a", b"b"], base_offset=5))
NEXT = bytes(record_batch([b"c"], base_offset=9))


class Client:
    """Answers a fetch."""

    def __init__(self, data: bytes, *, high: int = 20, stable: int = 15, error: int = 0, leader: int = 1) -> None:
        self.cluster = SimpleNamespace(leader_for_partition=lambda _partition: leader)
        self.asked: list[FetchRequest] = []
        partition: tuple[Any, ...] = (3, error, high, stable, 0, [], -1, data)
        self._answer = SimpleNamespace(API_VERSION=11, topics=[("t", [partition])])

    async def send(self, node: int, request: Any) -> Any:
        self.asked.append(request)
        return self._answer


async def end(client: Client, *, is_committed: bool = True) -> int | None:
    return await find_end(client, PARTITION, 5, len(BATCH), is_committed=is_committed)


async def test_it_ends_where_the_next_one_begins() -> None:
    client = Client(BATCH + NEXT[:30])
    assert await end(client) == 9
    ((_, [(number, offset, size)]),) = client.asked[0].topics
    assert (number, offset) == (3, 5)
    assert size > len(BATCH) + 12, "there is room for the next one's beginning"


async def test_the_last_one_ends_where_the_partition_does() -> None:
    assert await end(Client(BATCH), is_committed=False) == 20
    assert await end(Client(BATCH)) == 15, "what is not committed may not be read"


async def test_what_goes_backwards_or_has_grown_meanwhile_tells_nothing() -> None:
    assert await end(Client(BATCH + bytes(record_batch([b"c"], base_offset=4)))) is None
    assert await end(Client(BATCH + b"few")) is None
    assert await end(Client(BATCH, high=5, stable=5)) is None


async def test_an_error_of_the_broker_is_told() -> None:
    with pytest.raises(OffsetOutOfRangeError):
        await end(Client(b"", error=1))
    with pytest.raises(NotLeaderForPartitionError):
        await end(Client(BATCH, leader=-1))
