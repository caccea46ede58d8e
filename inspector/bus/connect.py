"""Clients of Kafka: how each connects, and what its failures mean. Kafka, behind the protocols of `ports`.

What is done here because aiokafka 0.14 would otherwise surprise: one assignor, and no automatic commits.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import create_conn
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from inspector.bus import records
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
    GroupAuthorizationFailedError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
    ssl.SSLCertVerificationError,
)
"""What trying again does not mend: an operator must act."""

_MENDS: dict[type[Exception], str] = {
    ClusterAuthorizationFailedError: "who writes needs Write on the topics of results and dead letters, before Kafka 3.0 "
    "IdempotentWrite on the cluster too (or kafka.idempotent = false); who makes topics needs Create",
    GroupAuthorizationFailedError: "grant Read on the group of kafka.group_id",
    SaslAuthenticationFailed: "mend kafka.sasl_username, kafka.sasl_password or kafka.sasl_mechanism",
    TopicAuthorizationFailedError: "grant Describe, and Read on the frames topic or Write on those of results and dead letters",
    UnsupportedSaslMechanismError: "set kafka.sasl_mechanism to one that the brokers offer",
    ssl.SSLCertVerificationError: "mend kafka.ssl_cafile, or the host names in kafka.bootstrap_servers",
}


NO_BROKER = "no broker answers there; start it or correct kafka.bootstrap_servers"


class NoBrokerError(KafkaConnectionError):  # type: ignore[misc] # aiokafka ships no types
    """No broker answers at any of the addresses; what aiokafka says of it is in no words for an operator."""


def connection_arguments(kafka: KafkaSettings) -> dict[str, Any]:
    """Return the keyword arguments that every aiokafka client shares: servers, security, name."""
    arguments: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap_servers,
        "client_id": kafka.client_id,
        "security_protocol": kafka.security_protocol,
        "request_timeout_ms": kafka.request_timeout_ms,
        "metadata_max_age_ms": METADATA_MAX_AGE_MS,
    }
    if kafka.security_protocol in {"SSL", "SASL_SSL"}:
        context = ssl.create_default_context(cafile=_path(kafka.ssl_cafile))
        if kafka.ssl_certfile is not None:
            context.load_cert_chain(str(kafka.ssl_certfile), _path(kafka.ssl_keyfile))
        arguments["ssl_context"] = context
    if kafka.security_protocol.startswith("SASL"):
        arguments["sasl_mechanism"] = kafka.sasl_mechanism
        arguments["sasl_plain_username"] = kafka.sasl_username
        password = kafka.sasl_password
        arguments["sasl_plain_password"] = None if password is None else password.get_secret_value()
    return arguments


def _path(path: object) -> str | None:
    return None if path is None else str(path)


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
    try:
        await inner.bootstrap()
    except KafkaConnectionError as exc:
        await _raise_refusal(inner)
        raise NoBrokerError(*exc.args) from exc
    if not inner.cluster.brokers():
        raise KafkaConnectionError("the bootstrap server answers, but no broker of its cluster is up yet")
    await client.start()


async def _raise_refusal(inner: Any) -> None:  # noqa: ANN401
    """Raise why a broker refuses this client, where one does: aiokafka logs it, and says that it cannot connect.

    Raises:
        KafkaError: One of `REFUSALS`, or a certificate that does not fit.
    """
    shared = ("client_id", "request_timeout_ms", "ssl_context", "security_protocol")
    sasl = ("sasl_mechanism", "sasl_plain_username", "sasl_plain_password")
    arguments = {name: getattr(inner, f"_{name}") for name in (*shared, *sasl)}
    for host, port, _ in inner.hosts:
        try:
            connection = await create_conn(host, port, **arguments)
        except REFUSALS:
            raise
        except (KafkaError, OSError, TimeoutError):
            continue
        connection.close()


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


@asynccontextmanager
async def bus_errors(action: str) -> AsyncIterator[None]:
    """Turn aiokafka's errors inside a block into ours; `action` completes "could not …".

    Raises:
        AccessError: One of `REFUSALS`: an operator must act.
        BusError: Any other, or a time that ran out: brokers come back by themselves.
    """
    try:
        yield
    except (KafkaError, TimeoutError, ssl.SSLCertVerificationError) as exc:
        kind = AccessError if isinstance(exc, REFUSALS) else BusError
        mend = next((f"; {mend}" for refusal, mend in _MENDS.items() if isinstance(exc, refusal)), "")
        what = NO_BROKER if isinstance(exc, NoBrokerError) else f"{type(exc).__name__}: {exc}"
        raise kind(f"could not {action}: {what}{mend}") from exc
