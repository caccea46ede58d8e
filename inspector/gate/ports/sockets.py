"""Settings for the sockets of both ports: a broken connection ends within seconds, and an address that is refused is explained."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from typing import Final

from inspector.errors import ConfigError

log = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 16
"""Of each port; further ones are refused."""
GONE_AFTER_S: Final = 5
"""A peer that acknowledges nothing for so long has gone, and no longer takes another's place."""

_PRIVILEGED: Final = 1024


def let_go_of_the_gone(transport: asyncio.BaseTransport) -> None:
    """End a connection whose peer has gone without a word, where the platform can: a few seconds after the last sign of it."""
    connected: socket.socket | None = transport.get_extra_info("socket")
    if connected is None:
        return
    ask = "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE"
    options = [(socket.SOL_SOCKET, "SO_KEEPALIVE", 1)]
    options += [(socket.IPPROTO_TCP, ask, GONE_AFTER_S - 3)]
    options += [(socket.IPPROTO_TCP, "TCP_KEEPINTVL", 1), (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3)]
    options += [(socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", GONE_AFTER_S * 1000)]
    for level, name, value in options:
        if not hasattr(socket, name):
            continue
        try:
            connected.setsockopt(level, getattr(socket, name), value)
        except OSError as exc:
            log.warning("a line that disconnects silently may keep its connection: %s: %s", name, exc)


def cannot_listen(setting: str, host: str, port: int, exc: OSError) -> ConfigError:
    """Return the sentence of an address that cannot be listened at."""
    mend = ""
    if exc.errno in {errno.EACCES, errno.EPERM} and 0 < port < _PRIVILEGED:
        mend = f"; a port below {_PRIVILEGED} needs CAP_NET_BIND_SERVICE; port {1000 + port} does not"
    return ConfigError(
        f"gate.host, {setting}: cannot listen on {host}:{port}: {exc.strerror or exc} (errno {exc.errno}){mend}"
    )
