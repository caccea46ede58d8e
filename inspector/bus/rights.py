"""Asks the broker which rights a client has on topics and a group, and grants rights, with requests that aiokafka does not send by itself.

Metadata of version 8 (KIP-430) tells the rights on each topic and creates no topic, unlike aiokafka's own request. Granting does
what `kafka-acls --add` does; the broker passes the request on to the controller.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    IncompatibleBrokerVersion,
    TopicAuthorizationFailedError,
    for_code,
)
from aiokafka.protocol.admin import CreateAclsRequest, DescribeGroupsResponse_v3
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from inspector.bus.connect import bus_errors
from inspector.errors import AccessError, BusError

Right = Literal["Read", "Write", "Create", "Delete", "Alter", "Describe"]

_BITS: dict[Right, int] = {"Read": 3, "Write": 4, "Create": 5, "Delete": 6, "Alter": 7, "Describe": 8}
"""Kafka's `AclOperation`, as bits of what it tells."""
_NOT_TOLD = -(2**31)


class TopicRights(NamedTuple):
    """What is known of one topic; `rights` and `partitions` are None where the broker does not tell."""

    state: Literal["there", "missing", "forbidden"]
    rights: frozenset[Right] | None = None
    partitions: int | None = None


def rights_of(bits: int) -> frozenset[Right] | None:
    """Return the rights in a broker's answer; None where it tells of none, as one without an authorizer may."""
    if bits == _NOT_TOLD:
        return None
    return frozenset(right for right, bit in _BITS.items() if bits >> bit & 1)


class _MetadataResponse(Response):  # type: ignore[misc] # aiokafka ships no types
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", String("utf-8")), ("port", Int32), ("rack", String("utf-8")))),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class _MetadataStruct(RequestStruct):  # type: ignore[misc] # aiokafka ships no types
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", Array(String("utf-8"))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class TopicRightsRequest(Request[_MetadataStruct]):  # type: ignore[misc] # aiokafka ships no types
    """Asks for these topics, and creates none of them."""

    API_KEY = 3

    def __init__(self, topics: list[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataStruct]) -> _MetadataStruct:  # noqa: D102 aiokafka's
        return request_struct_class(self._topics, False, False, True)


class _GroupsStruct(RequestStruct):  # type: ignore[misc] # aiokafka ships no types
    API_KEY = 15
    API_VERSION = 3
    RESPONSE_TYPE = DescribeGroupsResponse_v3  # aiokafka's own request of this version names another
    SCHEMA = Schema(("groups", Array(String("utf-8"))), ("include_authorized_operations", Boolean))


class GroupRightsRequest(Request[_GroupsStruct]):  # type: ignore[misc] # aiokafka ships no types
    """Asks for the rights on one group."""

    API_KEY = 15

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, request_struct_class: type[_GroupsStruct]) -> _GroupsStruct:  # noqa: D102 aiokafka's
        return request_struct_class([self._group], True)


def topic_rights(response: Any) -> dict[str, TopicRights]:  # noqa: ANN401 aiokafka ships no types
    """Return what a broker's answer to a `TopicRightsRequest` says."""
    found: dict[str, TopicRights] = {}
    for code, name, _internal, partitions, operations in response.topics:
        if for_code(code) is TopicAuthorizationFailedError:
            found[name] = TopicRights("forbidden")
        elif not partitions:  # unknown, or just being made
            found[name] = TopicRights("missing")
        else:
            found[name] = TopicRights("there", rights_of(operations), len(partitions))
    return found


ResourceType = Literal["topic", "group", "cluster"]
Operation = Literal["Read", "Write", "Create", "Describe", "DescribeConfigs", "Alter"]

CLUSTER = "kafka-cluster"
"""Name of the one resource of its type."""

_TYPES: Final[dict[ResourceType, int]] = {"topic": 2, "group": 3, "cluster": 4}
_OPERATIONS: Final[dict[Operation, int]] = {
    "Read": 3,
    "Write": 4,
    "Create": 5,
    "Alter": 7,
    "Describe": 8,
    "DescribeConfigs": 10,
}
_LITERAL, _ALLOW, _EVERY_HOST = 3, 3, "*"


class Acl(NamedTuple):
    """One right of one principal on one resource, from every host."""

    principal: str
    """`User:camera`."""
    operation: Operation
    resource_type: ResourceType
    name: str


async def create_acls(client: Any, acls: Sequence[Acl]) -> None:  # noqa: ANN401 aiokafka ships no types
    """Grant rights; those that were granted before stay as they are, and none is taken away.

    Args:
        client: a started admin client.
        acls: what to grant.

    Raises:
        AccessError: This client may not (it needs Alter on the cluster).
        BusError: The broker has no such thing as rights, or refuses one.
    """
    for acl in acls:
        what = f"grant {acl.principal} {acl.operation} on {acl.resource_type} {acl.name}"
        request = CreateAclsRequest(
            _TYPES[acl.resource_type],
            acl.name,
            _LITERAL,
            acl.principal,
            _EVERY_HOST,
            _OPERATIONS[acl.operation],
            _ALLOW,
        )
        async with bus_errors(what):
            try:
                response = await client._send_request(request)  # noqa: SLF001 there is no public way
            except (NotImplementedError, IncompatibleBrokerVersion) as exc:
                raise BusError(f"could not {what}: this broker does not manage rights") from exc
        ((code, message),) = response.creation_responses
        error = for_code(code)
        if error is ClusterAuthorizationFailedError:
            raise AccessError(
                f"could not {what}: this client lacks the right Alter on the cluster; use an administrator's account"
            )
        if code:
            raise BusError(
                f"could not {what}: {message or error.description}; the brokers need an authorizer (authorizer.class.name)"
            )
