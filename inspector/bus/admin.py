"""Kafka's administration: which topics exist, how they are set, and creating them.

aiokafka's admin client returns error codes instead of raising; here they become errors or plain data.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    IncompatibleBrokerVersion,
    KafkaError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from inspector.bus.connect import REFUSALS, admin_client, bus_errors, start_client
from inspector.bus.rights import (
    Acl,
    GroupRightsRequest,
    Right,
    TopicRights,
    TopicRightsRequest,
    create_acls,
    rights_of,
    topic_rights,
)
from inspector.errors import AccessError, BusError, TopicError
from inspector.settings.kafka import KafkaSettings

PROPAGATION_S = 30.0
"""How long the brokers may take to learn of a topic that the controller has made."""


@dataclass(frozen=True)
class TopicSpec:
    """A topic as it should be; `config` holds Kafka's own keys and values as text."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TopicState:
    """A topic as it is; `config` is empty where the broker tells nothing of it."""

    partitions: int
    replication: int
    config: Mapping[str, str] = field(default_factory=dict)


class BusAdmin:
    """An admin client that is connected. Event loop only; see `connect_admin`."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 aiokafka ships no types
        """Wrap a started client."""
        self._client = client

    async def num_brokers(self) -> int:
        """Return how many brokers the cluster's metadata names."""
        async with bus_errors("describe the cluster"):
            cluster = await self._client.describe_cluster()
        return len(cluster["brokers"])

    async def topic(self, name: str) -> TopicState | None:
        """Return the state of a topic, or None where there is no such topic."""
        async with bus_errors(f"describe topic {name}"):
            # Asked by name, a broker that makes topics on demand would make this one: ask for all.
            if name not in await self._client.list_topics():
                state = (await self.rights([name]))[name].state
                if state == "forbidden":
                    raise AccessError(
                        f"this client lacks the right Describe on topic {name}, or the topic does not exist; grant "
                        "Describe, and Read or Write"
                    )
                if state == "missing":
                    return None  # otherwise it was made, or its right granted, since the topics were listed
            (described,) = await self._client.describe_topics([name])
        error = for_code(described["error_code"])
        if error is UnknownTopicOrPartitionError:
            return None
        _check(described["error_code"], "", f"describe topic {name}")
        partitions = described["partitions"]
        replication = min((len(partition["replicas"]) for partition in partitions), default=0)
        return TopicState(len(partitions), replication, await self.config(name))

    async def rights(self, names: Sequence[str]) -> dict[str, TopicRights]:
        """Return what is known about topics, and which rights this client has on each; creates none of them.

        A broker that cannot be asked this (the embedded one) tells of topics alone.
        """
        async with bus_errors("ask for the rights on the topics"):
            try:
                response = await self._client._send_request(TopicRightsRequest(list(names)))  # noqa: SLF001 no public way
            except (NotImplementedError, IncompatibleBrokerVersion):
                listed = set(await self._client.list_topics())
                return {name: TopicRights("there" if name in listed else "missing") for name in names}
        return topic_rights(response)

    async def group_rights(self, group: str) -> frozenset[Right] | None:
        """Return the rights on a consumer group; None where the broker does not tell."""
        async with bus_errors(f"ask for the rights on group {group}"):
            try:
                coordinator = await self._coordinator(group)
                response = await self._client._send_request_to_node(coordinator, GroupRightsRequest(group))  # noqa: SLF001
            except GroupAuthorizationFailedError:
                return frozenset()
            except (NotImplementedError, IncompatibleBrokerVersion):
                return None
        ((code, *_, operations),) = response.groups
        if for_code(code) is GroupAuthorizationFailedError:
            return frozenset()
        return None if code else rights_of(operations)

    async def _coordinator(self, group: str) -> int:
        """Return the group's broker; a cluster that never had a group first makes the topic of their offsets."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + PROPAGATION_S
        while True:
            try:
                node: int = await self._client.find_coordinator(group)
            except GroupCoordinatorNotAvailableError:
                if loop.time() > deadline_s:
                    raise
                await asyncio.sleep(0.1)
            else:
                return node

    async def grant(self, acls: Sequence[Acl]) -> None:
        """Grant rights, as `create_acls` does."""
        await create_acls(self._client, acls)

    async def create(self, topics: Sequence[TopicSpec]) -> set[str]:
        """Create topics; return the names of those made, without those that were there already.

        They can be used when this returns.

        Raises:
            TopicError: The broker refuses one, for instance for want of brokers to replicate to.
            BusError: The brokers do not tell of a new topic within `PROPAGATION_S`.
        """
        new = [
            NewTopic(
                t.name, num_partitions=t.partitions, replication_factor=t.replication, topic_configs=dict(t.config)
            )
            for t in topics
        ]
        async with bus_errors("create topics"):
            response = await self._client.create_topics(new)
        made = set()
        for name, code, *message in response.topic_errors:
            if for_code(code) is TopicAlreadyExistsError:
                continue
            _check(code, message[0] if message else "", f"create topic {name}")
            made.add(name)
        await self._see(made)
        return made

    async def _see(self, made: set[str]) -> None:
        """Wait until the brokers tell of new topics: the controller's yes comes before they know.

        Raises:
            BusError: They do not within `PROPAGATION_S`.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + PROPAGATION_S
        while True:
            async with bus_errors("list topics"):
                unseen = made.difference(await self._client.list_topics())
            if not unseen:
                return
            if loop.time() > deadline_s:
                raise BusError(
                    f"the topics were created, but the brokers do not list them yet: {', '.join(sorted(unseen))}"
                )
            await asyncio.sleep(0.05)

    async def config(self, name: str) -> dict[str, str]:
        """Return how a topic is set; empty where the broker does not tell, for want of the right DescribeConfigs or of such a request."""
        try:
            responses = await self._client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        except KafkaError:
            return {}  # the embedded broker has no such request
        entries: dict[str, str] = {}
        for response in responses:
            for _code, _message, _kind, _resource, config in response.resources:
                entries.update({entry[0]: entry[1] for entry in config if entry[1] is not None})
        return entries


async def require_topics(kafka: KafkaSettings, topics: Sequence[str]) -> None:
    """Refuse a missing topic; a consumer would wait for it without a word.

    Raises:
        TopicError: One is missing.
        BusError: The broker cannot be reached.
    """
    async with connect_admin(kafka) as admin:
        for topic in topics:
            if await admin.topic(topic) is None:
                raise TopicError(f"topic {topic} does not exist; create it with `inspector topics apply`")


@asynccontextmanager
async def connect_admin(kafka: KafkaSettings) -> AsyncIterator[BusAdmin]:
    """Connect for the duration of a block.

    Raises:
        BusError: No broker answers.
        AccessError: The broker refuses the credentials.
    """
    client = admin_client(kafka)
    async with bus_errors(f"connect to {kafka.bootstrap_servers}"):
        try:
            await start_client(client)
        except BaseException:
            await client.close()
            raise
    try:
        yield BusAdmin(client)
    finally:
        await client.close()


def _check(code: int, message: str | None, action: str) -> None:
    error = for_code(code)
    if code == 0:
        return
    kind = AccessError if issubclass(error, REFUSALS) else TopicError
    raise kind(f"could not {action}: {message or error.description}")
