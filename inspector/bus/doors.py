"""Why a broker refuses a connection: found by a connection of our own, because aiokafka gives no reason."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.errors import KafkaConnectionError

from inspector.credentials.certificates import ClientContext

PROBE_TIMEOUT_S = 5.0
ALERT_TIMEOUT_S = 1.0
"""A broker that refuses a client's certificate says so when the client is done with its part; what it sends otherwise, it sends when asked."""

_EXPIRED, _NOT_YET, _OTHER_HOST, _OTHER_ADDRESS = 10, 9, 62, 64
"""OpenSSL's X509_V_ERR_*."""

_SPEAKS_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"})


class DoorError(KafkaConnectionError):  # type: ignore[misc] # aiokafka ships no types
    """A broker refuses this client's way of connecting, or this client the broker's; an operator must act. The text is a sentence."""


async def try_tls(host: str, port: int, context: ssl.SSLContext, *, alert_s: float = ALERT_TIMEOUT_S) -> None:
    """Connect as TLS wants it, and leave again. Returns also where nobody answers: that is no matter of TLS.

    Args:
        host: of the broker.
        port: of its listener.
        context: the client's.
        alert_s: how long to wait for what the broker says of this client's certificate.

    Raises:
        DoorError: The broker's certificate, this client's, or the port is not right.
    """
    door = f"{host}:{port}"
    try:
        async with _connected(host, port, context) as reader, asyncio.timeout(alert_s):
            await reader.read(1)
    except ssl.SSLCertVerificationError as exc:
        raise DoorError(_of_broker(door, exc)) from exc
    except ssl.SSLError as exc:
        if sentence := _of_alert(door, exc, context):
            raise DoorError(sentence) from exc
    except (OSError, TimeoutError):
        return


async def speaks_tls(host: str, port: int) -> bool:
    """Whether TLS is spoken at a port, whatever the certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with _connected(host, port, context):
            return True
    except (OSError, TimeoutError):
        return False


@asynccontextmanager
async def _connected(host: str, port: int, context: ssl.SSLContext) -> AsyncIterator[asyncio.StreamReader]:
    async with asyncio.timeout(PROBE_TIMEOUT_S):
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        yield reader
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _of_broker(door: str, exc: ssl.SSLCertVerificationError) -> str:
    """Say what is wrong with the certificate that the broker shows."""
    if exc.verify_code == _EXPIRED:
        return f"the certificate that {door} shows has expired; renew it on the broker, or set this machine's clock"
    if exc.verify_code == _NOT_YET:
        return (
            f"the certificate that {door} shows is not valid yet; set the clock of this machine, or of the machine "
            "that issued it"
        )
    if exc.verify_code in {_OTHER_HOST, _OTHER_ADDRESS}:
        return (
            f"the certificate that {door} shows belongs to another host; use a name from the certificate in "
            "kafka.bootstrap_servers and in the brokers' advertised.listeners, or give the broker a certificate for "
            "this name"
        )
    return (
        f"the certificate that {door} shows is not signed by an authority that is trusted here "
        f"({exc.verify_message}); set kafka.ssl_cafile to the authority that signed it"
    )


def _of_alert(door: str, exc: ssl.SSLError, context: ssl.SSLContext) -> str | None:
    """Say what a broker did not like; None where it may be its trouble alone."""
    reason = exc.reason or ""
    if reason in _SPEAKS_NO_TLS:
        return (
            f"{door} does not use TLS; give the port of a TLS listener, or set kafka.security_protocol to the "
            "protocol that it uses"
        )
    if "ALERT" not in reason:
        return None
    own = context.certfile if isinstance(context, ClientContext) else None
    if own is None:
        return (
            f"{door} requires a client certificate (mutual TLS), but got none; set kafka.ssl_certfile and "
            "kafka.ssl_keyfile, or give the port of a listener that does not require one"
        )
    said = reason.rpartition("ALERT_")[2].lower().replace("_", " ")
    return (
        f"{door} refuses the certificate of kafka.ssl_certfile, {own} ({said}); it has expired, or is signed by an authority "
        "that the brokers' ssl.truststore does not hold"
    )
