"""Finds the end of a record batch that does not state it: from what follows it, or from the end of the partition.

The length in a batch cannot be trusted if its checksum does not match. And an answer may contain only this batch, because it is larger than
one fetch, or the last one. So it is fetched once more, with room for the header of the next batch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, NoError, NotLeaderForPartitionError, for_code
from aiokafka.protocol.fetch import FetchRequest

from inspector.bus.records import following_offset

WAIT_MS = 500
ROOM_BYTES = 64 * 1024
"""Beside the batch itself: the next one's header is all that counts of it."""

READ_UNCOMMITTED, READ_COMMITTED = 0, 1
_HAS_LAST_STABLE = 4  # version of the answer


class _Answer(NamedTuple):
    end: int
    """Behind the last record that may be read."""
    data: bytes


async def find_end(
    client: Any,  # noqa: ANN401 aiokafka ships no types
    partition: TopicPartition,
    offset: int,
    size_bytes: int,
    *,
    is_committed: bool,
) -> int | None:
    """Return the offset behind a record batch.

    Args:
        client: aiokafka's inner client, started.
        partition: where it stands.
        offset: within it.
        size_bytes: of the batch.
        is_committed: whether what transactions have not committed may not be read.

    Returns:
        None where it cannot be told.

    Raises:
        KafkaError: The broker does not answer.
    """
    answer = await _fetch(client, partition, offset, size_bytes + ROOM_BYTES, is_committed=is_committed)
    behind = following_offset(answer.data)
    if behind is not None:
        return behind if behind > offset else None
    # It stands alone though there was room for more: it is the last one.
    return answer.end if len(answer.data) <= size_bytes and answer.end > offset else None


async def _fetch(client: Any, partition: TopicPartition, offset: int, max_bytes: int, *, is_committed: bool) -> _Answer:  # noqa: ANN401
    node = client.cluster.leader_for_partition(partition)
    if node is None or node == -1:
        raise NotLeaderForPartitionError(partition)
    level = READ_COMMITTED if is_committed else READ_UNCOMMITTED
    topics = [(partition.topic, [(partition.partition, offset, max_bytes)])]
    response = await client.send(node, FetchRequest(WAIT_MS, 1, max_bytes, level, topics))
    for _, partitions in response.topics:
        for _, error_code, high, *rest in partitions:
            error = for_code(error_code)
            if error is not NoError:
                raise error(partition)
            stable = rest[0] if is_committed and response.API_VERSION >= _HAS_LAST_STABLE else -1
            return _Answer(high if stable < 0 else stable, rest[-1] or b"")
    raise KafkaError(f"the broker's answer does not mention {partition}")
