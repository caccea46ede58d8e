"""Clients of Kafka: how each one connects, and what its failures mean.

Two settings avoid surprises of aiokafka 0.14: there is only one assignor, and there are no automatic commits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import create_conn
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from inspector.bus import records
from inspector.bus.doors import DoorError, speaks_tls, try_tls
from inspector.bus.patience import notice_dead_network
from inspector.credentials.certificates import client_context
from inspector.errors import AccessError, BusError
from inspector.settings.kafka import KafkaSettings

FETCH_BYTES = 16 * 1024 * 1024
"""What one answer of a broker holds at most, unless a single record is larger."""

HEARTBEAT_MS = 500
"""When a member has died, the others hear of it with their next heartbeat: so long their partitions' frames wait beyond the session."""

METADATA_MAX_AGE_MS = 5000
"""How old what a client knows of topics may become; aiokafka's default of five minutes leaves new partitions unread as long."""

METADATA_PAUSE_S = 0.1
"""Between two requests for metadata, as in Java's client. aiokafka asks without a pause as long as a topic is missing."""

REFUSALS = (
    ClusterAuthorizationFailedError,
    DoorError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
"""What trying again cannot solve: an operator must act."""

_MENDS: dict[type[Exception], str] = {
    ClusterAuthorizationFailedError: "creating topics needs the right Create on them",
    GroupAuthorizationFailedError: "grant Read on the group of kafka.group_id",
    IllegalSaslStateError: "this listener does not use passwords; set kafka.security_protocol to PLAINTEXT or SSL, or "
    "give the port of a listener that does",
    SaslAuthenticationFailed: "check kafka.sasl_username, kafka.sasl_password or kafka.sasl_mechanism",
    TopicAuthorizationFailedError: "grant Describe, and Read on the frames topic or Write on those of results and dead letters",
    UnsupportedSaslMechanismError: "set kafka.sasl_mechanism to one that the brokers support",
}


NO_BROKER = "no broker answers there; start it, or correct kafka.bootstrap_servers"


class NoBrokerError(KafkaConnectionError):  # type: ignore[misc] # aiokafka ships no types
    """No broker answers at any of the addresses; what aiokafka says of it is in no words for an operator."""


def connection_arguments(kafka: KafkaSettings) -> dict[str, Any]:
    """Return the keyword arguments that every aiokafka client shares: servers, security, name.

    Raises:
        ConfigError: A file of a certificate, key or password is not there, or not what it should be.
    """
    arguments: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap_servers,
        "client_id": kafka.client_id,
        "security_protocol": kafka.security_protocol,
        "request_timeout_ms": kafka.request_timeout_ms,
        "metadata_max_age_ms": METADATA_MAX_AGE_MS,
    }
    if kafka.security_protocol in {"SSL", "SASL_SSL"}:
        arguments["ssl_context"] = client_context(kafka.ssl_cafile, kafka.ssl_certfile, kafka.ssl_keyfile)
    if kafka.security_protocol.startswith("SASL"):
        arguments["sasl_mechanism"] = kafka.sasl_mechanism
        arguments["sasl_plain_username"] = kafka.sasl_username
        arguments["sasl_plain_password"] = kafka.read_password()
    return arguments


def admin_client(kafka: KafkaSettings) -> Any:  # noqa: ANN401 aiokafka ships no types
    """Return an unstarted admin client."""
    return AIOKafkaAdminClient(**connection_arguments(kafka))


def consumer_client(kafka: KafkaSettings, *topics: str, **options: Any) -> Any:  # noqa: ANN401
    """Return an unstarted aiokafka consumer of `topics`, for clients; `options` override the defaults.

    What it returns are `records.Record`s: one that cannot be read has a `fault`, and must be believed nothing.
    """
    records.install()
    defaults: dict[str, Any] = {
        "enable_auto_commit": False,
        "auto_offset_reset": kafka.auto_offset_reset,
        "isolation_level": kafka.isolation_level,
        "fetch_max_wait_ms": kafka.fetch_max_wait_ms,
        "fetch_max_bytes": FETCH_BYTES,
        "session_timeout_ms": kafka.session_timeout_ms,
        "heartbeat_interval_ms": min(HEARTBEAT_MS, kafka.session_timeout_ms // 3),
        "rebalance_timeout_ms": kafka.rebalance_timeout_ms,
        # Exactly one: with several, aiokafka joins once for each; its sticky assignor is broken.
        "partition_assignment_strategy": (RoundRobinPartitionAssignor,),
    }
    return AIOKafkaConsumer(*topics, **connection_arguments(kafka), **(defaults | options))


def producer_client(kafka: KafkaSettings, **options: Any) -> Any:  # noqa: ANN401
    """Return an unstarted aiokafka producer that waits for all replicas; `options` override the defaults."""
    defaults: dict[str, Any] = {"acks": "all", "enable_idempotence": kafka.idempotent}
    return AIOKafkaProducer(**connection_arguments(kafka), **(defaults | options))


async def start_client(client: Any) -> None:  # noqa: ANN401
    """Start one of these clients, of a cluster that is up.

    A cluster whose brokers are all fenced (just started, or just back from a stall) answers, and names no broker. aiokafka
    takes that for connected: a producer's start then tries for ever, a consumer fails an assertion in a task that nobody
    watches. So the bootstrap comes first, by itself; the second one in `start` finds a cluster.

    Raises:
        NoBrokerError: None can be reached.
        KafkaError: The one that answered refuses this client, or names no broker.
    """
    inner = client.client if isinstance(client, AIOKafkaProducer) else client._client  # noqa: SLF001 no public way
    pace_metadata(inner)
    notice_dead_network(inner)
    try:
        await inner.bootstrap()
    except KafkaConnectionError as exc:
        await _raise_refusal(inner)
        raise NoBrokerError(NO_BROKER) from exc
    brokers = inner.cluster.brokers()
    if not brokers:
        raise KafkaConnectionError("the bootstrap server answers, but no broker of its cluster is running yet")
    # The addresses that the cluster advertises may be others than that of the bootstrap, and certificates may not name them.
    if inner._ssl_context is not None:  # noqa: SLF001
        await asyncio.gather(*(try_tls(node.host, node.port, inner._ssl_context, alert_s=0) for node in brokers))  # noqa: SLF001
    await client.start()


async def _raise_refusal(inner: Any) -> None:  # noqa: ANN401
    """Raise why a broker refuses this client, where one does: aiokafka logs it, and says that it cannot connect.

    Raises:
        KafkaError: One of `REFUSALS`.
        NoBrokerError: One takes the connection and closes it.
    """
    shared = ("client_id", "request_timeout_ms", "ssl_context", "security_protocol")
    sasl = ("sasl_mechanism", "sasl_plain_username", "sasl_plain_password")
    arguments = {name: getattr(inner, f"_{name}") for name in (*shared, *sasl)}
    protocol, context = arguments["security_protocol"], arguments["ssl_context"]
    for host, port, _ in inner.hosts:
        if context is not None:
            await try_tls(host, port, context)
        try:
            connection = await create_conn(host, port, **arguments)
            try:
                await connection.send(MetadataRequest([]))
            finally:
                connection.close()
        except REFUSALS:
            raise
        except (KafkaConnectionError, ConnectionResetError) as exc:
            if context is None and await speaks_tls(host, port):
                raise DoorError(
                    f"{host}:{port} uses TLS, but kafka.security_protocol is {protocol}; set it to "
                    f"{'SASL_SSL' if protocol.startswith('SASL') else 'SSL, or SASL_SSL with a password'}"
                ) from exc
            raise NoBrokerError(
                f"{host}:{port} accepts connections and closes them at once; if this goes on, its listener needs "
                f"another kafka.security_protocol than {protocol}"
            ) from exc
        except (KafkaError, OSError, TimeoutError):
            continue


@asynccontextmanager
async def told_refusals(inner: Any) -> AsyncIterator[None]:  # noqa: ANN401
    """Find out, where what is asked inside the block fails, whether the brokers refuse this client.

    A client that was taken once may be refused later: its password was changed, or its certificate has run out. aiokafka logs that
    and tries for ever; to whoever asks something it says that no broker is there.

    Args:
        inner: aiokafka's inner client.

    Raises:
        KafkaError: That of the block, or the refusal.
    """
    try:
        yield
    except KafkaError as exc:
        if not isinstance(exc, REFUSALS):
            await _raise_refusal(inner)
        raise


def pace_metadata(client: Any) -> None:  # noqa: ANN401
    """Let a client ask for metadata at most every `METADATA_PAUSE_S`."""
    ask = client._metadata_update  # noqa: SLF001 there is no setting for it
    loop = asyncio.get_running_loop()
    next_s = loop.time()

    async def ask_paced(cluster: Any, topics: Any) -> Any:  # noqa: ANN401
        nonlocal next_s
        begin_s = max(next_s, loop.time())
        next_s = begin_s + METADATA_PAUSE_S
        await asyncio.sleep(begin_s - loop.time())
        return await ask(cluster, topics)

    client._metadata_update = ask_paced  # noqa: SLF001


Lacks = Mapping[type[Exception], str]
"""What a client lacks where the broker refuses it with such an error: `User:camera lacks the right Write on topic frames`."""


def lacks(
    kafka: KafkaSettings, right: str = "", topic: str = "", *, reads_in_group: bool = False, writes: bool = False
) -> Lacks:
    """Say what is missing, of which right, on what, for whom.

    Args:
        kafka: tells who the client is.
        right: that the topic asks for: Read, Write, Describe.
        topic: its name, or several.
        reads_in_group: whether the right to read in the group may be missing, too.
        writes: whether the right to be a producer may be missing, too.
    """
    who = kafka.principal
    found: dict[type[Exception], str] = {}
    if topic:
        found[TopicAuthorizationFailedError] = f"{who} lacks the right {right} on topic {topic}"
    if reads_in_group:
        found[GroupAuthorizationFailedError] = f"{who} lacks the right Read on group {kafka.group_id}"
    if writes:
        found[ClusterAuthorizationFailedError] = (
            f"{who} lacks the right Write on any topic (before Kafka 3.0 IdempotentWrite on the cluster, or kafka.idempotent = false)"
        )
    return found


@asynccontextmanager
async def bus_errors(action: str, lacking: Lacks = MappingProxyType({})) -> AsyncIterator[None]:
    """Turn aiokafka's errors inside a block into ours; `action` completes "could not …", `lacking` says which right is missing.

    Raises:
        AccessError: One of `REFUSALS`: an operator must act.
        BusError: Any other, or a time that ran out: brokers come back by themselves.
    """
    try:
        yield
    except (KafkaError, TimeoutError) as exc:
        kind = AccessError if isinstance(exc, REFUSALS) else BusError
        raise kind(f"could not {action}: {_said(exc, lacking)}") from exc


def _said(exc: Exception, lacking: Lacks) -> str:
    if isinstance(exc, DoorError | NoBrokerError):
        return str(exc.args[0])
    missing = next((told for refusal, told in lacking.items() if isinstance(exc, refusal)), None)
    if missing is not None:
        return f"{type(exc).__name__}: {missing}; grant it (`inspector topics acls` prints the rights of each role)"
    mend = next((f"; {mend}" for refusal, mend in _MENDS.items() if isinstance(exc, refusal)), "")
    return f"{type(exc).__name__}: {exc}{mend}"
