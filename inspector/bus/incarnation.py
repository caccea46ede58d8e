"""Which topic has a name at the moment: a topic that was deleted and created again has the same name and another id.

aiokafka 0.14 asks for metadata without ids, so the request (Metadata, version 12, KIP-516) is described here.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, NamedTuple

from aiokafka.errors import (
    IncompatibleBrokerVersion,
    KafkaConnectionError,
    NoError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

NO_ID = bytes(16)


class Incarnation(NamedTuple):
    """A topic as it is now."""

    topic_id: bytes
    """`NO_ID` where the broker knows none."""
    partitions: int


class _Uuid:
    @staticmethod
    def encode(value: bytes) -> bytes:
        return value

    @staticmethod
    def decode(data: BytesIO) -> bytes:
        return data.read(16)


_TEXT = CompactString("utf-8")


class _Answer(Response):  # type: ignore[misc]  # aiokafka ships no types
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT), ("tags", TaggedFields)),
        ),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", _TEXT),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _Question(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", _TEXT), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _Ask(Request[_Question]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: type[_Question]) -> _Question:
        return request_struct_class([(NO_ID, self._topic, {})], False, False, {})


async def find_incarnation(client: Any, topic: str) -> Incarnation | None:  # noqa: ANN401 aiokafka ships no types
    """Return the id of the topic with this name, or None if there is none; a broker that creates topics on demand does not create it.

    Args:
        client: aiokafka's inner client, started.
        topic: the name.

    Raises:
        KafkaError: The broker does not tell.
    """
    node = client.get_random_node()
    if node is None:
        raise KafkaConnectionError("no broker is known")
    try:
        answer = await client.send(node, _Ask(topic))
    except (NotImplementedError, IncompatibleBrokerVersion):  # before Kafka 2.8, and the embedded one
        await client.force_metadata_update()
        known = client.cluster.partitions_for_topic(topic)
        return Incarnation(NO_ID, len(known)) if known else None
    (told,) = answer.topics
    error = for_code(told[0])
    if error is UnknownTopicOrPartitionError:
        return None
    if error is not NoError:
        raise error(topic)
    return Incarnation(told[2], len(told[4]))
