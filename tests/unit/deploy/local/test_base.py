from __future__ import annotations

import socket

from deploy.local.base import LOOPBACK, free_port


def test_a_port_is_free_and_is_never_given_twice() -> None:
    # Among so many of a system's ports chance alone would repeat some.
    ports = [free_port() for _ in range(2000)]
    assert len(set(ports)) == len(ports)
    with socket.socket() as listener:
        listener.bind((LOOPBACK, ports[0]))
