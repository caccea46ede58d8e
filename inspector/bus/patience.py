"""Connections that notice a dead network.

When packets are lost silently, TCP sends them again after longer and longer pauses, and aiokafka waits for `request_timeout_ms`, which
must be longer than a rebalance may take. So a client would receive nothing for up to half a minute after the network is back. Here the
kernel closes a connection on which nothing was acknowledged for `DEAD_AFTER_S`, and an attempt to connect ends after `CONNECT_S`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import weakref
from typing import Any

log = logging.getLogger(__name__)

DEAD_AFTER_S = 10.0
"""What is sent and not acknowledged by the other side's kernel for so long ends its connection. A broker that is only slow, or
stopped, still acknowledges."""

CONNECT_S = 10.0
"""For one attempt to connect, greeting and password included; the next one begins with a fresh packet."""

_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux alone has it


def notice_dead_network(client: Any) -> None:  # noqa: ANN401 aiokafka ships no types
    """Bound the connections of a client that is not started yet.

    Args:
        client: aiokafka's inner client (`AIOKafkaClient`).
    """
    connect = client._get_conn  # noqa: SLF001 there is no setting for either
    known: weakref.WeakSet[Any] = weakref.WeakSet()

    async def connect_within_bounds(node_id: Any, **options: Any) -> Any:  # noqa: ANN401
        try:
            async with asyncio.timeout(CONNECT_S):
                connection = await connect(node_id, **options)
        except TimeoutError:
            log.error("cannot connect to node %s: no answer within %.0f s", node_id, CONNECT_S)  # noqa: TRY400 says it all
            client.force_metadata_update()
            return None
        if connection is not None and connection not in known:
            known.add(connection)
            _give_up_when_dead(connection)
        return connection

    client._get_conn = connect_within_bounds  # noqa: SLF001


def _give_up_when_dead(connection: Any) -> None:  # noqa: ANN401
    writer = connection._writer  # noqa: SLF001 None: it is closed already
    found = None if writer is None else writer.get_extra_info("socket")
    if found is not None and _USER_TIMEOUT is not None:
        found.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, int(DEAD_AFTER_S * 1000))
