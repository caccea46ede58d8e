"""What is said of an address that cannot be listened at."""

from __future__ import annotations

import errno

import pytest

from inspector.gate.ports.sockets import cannot_listen


@pytest.mark.parametrize(
    ("port", "number", "mend"),
    [
        (502, errno.EACCES, "; a port below 1024 needs CAP_NET_BIND_SERVICE; port 1502 does not"),
        (1502, errno.EACCES, ""),
        (502, errno.EADDRINUSE, ""),
    ],
)
def test_an_address_that_is_refused_says_why_and_what_would_do(port: int, number: int, mend: str) -> None:
    refused = cannot_listen("gate.modbus_port", "127.0.0.1", port, OSError(number, "no"))
    assert str(refused) == f"gate.host, gate.modbus_port: cannot listen on 127.0.0.1:{port}: no (errno {number}){mend}"
