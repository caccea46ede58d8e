"""A network that swallows packets without a word: connections end by themselves, attempts to connect too."""

from __future__ import annotations

import asyncio
import socket

import pytest

from inspector.bus.patience import CONNECT_S, DEAD_AFTER_S, notice_dead_network
from tests.virtual_time import run_virtually


class Connection:
    """Has a socket, as aiokafka's has; closed: no writer."""

    def __init__(self, own: socket.socket | None) -> None:
        self._socket = own
        self._writer = None if own is None else self

    def get_extra_info(self, what: str) -> socket.socket | None:
        assert what == "socket"
        return self._socket


class Client:
    """Gives one connection, or never any."""

    def __init__(self, connection: Connection | None) -> None:
        self.connection = connection
        self.asked: list[tuple[object, dict[str, object]]] = []
        self.metadata_updates = 0

    def force_metadata_update(self) -> None:
        self.metadata_updates += 1

    async def _get_conn(self, node_id: object, **options: object) -> Connection:
        self.asked.append((node_id, options))
        if self.connection is None:
            await asyncio.Event().wait()
        assert self.connection is not None
        return self.connection


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has no TCP_USER_TIMEOUT")
def test_the_kernel_closes_a_connection_on_which_nothing_is_acknowledged() -> None:
    with socket.socket() as own:
        client = Client(Connection(own))
        notice_dead_network(client)
        for _ in range(2):
            assert run_virtually(client._get_conn(1, group=3)) is client.connection
        assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == DEAD_AFTER_S * 1000
        assert client.asked == [(1, {"group": 3})] * 2


def test_a_connection_that_closed_meanwhile_is_handed_on() -> None:
    client = Client(Connection(None))
    notice_dead_network(client)
    assert run_virtually(client._get_conn(1)) is client.connection


def test_an_attempt_to_connect_without_an_answer_ends_and_metadata_is_asked_for_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = Client(None)
    notice_dead_network(client)

    async def connect() -> float:
        assert await client._get_conn(7) is None
        return asyncio.get_running_loop().time()

    assert run_virtually(connect()) == CONNECT_S
    assert client.metadata_updates == 1
    assert caplog.messages == ["cannot connect to node 7: no answer within 10 s"]
