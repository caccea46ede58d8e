"""What failures of the bus mean: which an operator must mend, and which pass by themselves."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaTimeoutError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
)

from inspector.bus.connect import METADATA_PAUSE_S, bus_errors, pace_metadata
from inspector.errors import AccessError, BusError
from tests.virtual_time import run_virtually


@pytest.mark.parametrize(
    "refusal",
    [
        ClusterAuthorizationFailedError,
        GroupAuthorizationFailedError,
        SaslAuthenticationFailed,
        TopicAuthorizationFailedError,
    ],
)
async def test_a_refused_right_is_for_an_operator(refusal: type[Exception]) -> None:
    with pytest.raises(AccessError, match=rf"could not list topics: {refusal.__name__}"):
        async with bus_errors("list topics"):
            raise refusal


@pytest.mark.parametrize("fault", [KafkaConnectionError, KafkaTimeoutError, TimeoutError])
async def test_what_may_pass_by_itself_is_a_fault_of_the_bus(fault: type[Exception]) -> None:
    with pytest.raises(BusError, match=r"could not commit: .*gone") as caught:
        async with bus_errors("commit"):
            raise fault("gone")
    assert type(caught.value) is BusError
    assert isinstance(caught.value.__cause__, fault)


async def test_faults_of_ours_stay_what_they_are() -> None:
    with pytest.raises(ZeroDivisionError):
        async with bus_errors("commit"):
            raise ZeroDivisionError


class Client:
    """Notes when it asked for metadata."""

    def __init__(self) -> None:
        self.asked_s: list[float] = []

    async def _metadata_update(self, cluster: object, topics: object) -> object:
        self.asked_s.append(asyncio.get_running_loop().time())
        return cluster, topics


def test_a_client_asks_for_metadata_at_once_and_then_with_a_pause() -> None:
    async def ask() -> None:
        client = Client()
        pace_metadata(client)
        for number in range(5):
            assert await client._metadata_update("cluster", number) == ("cluster", number)
        assert client.asked_s == pytest.approx([number * METADATA_PAUSE_S for number in range(5)])
        await asyncio.sleep(10)
        await client._metadata_update("cluster", 5)
        assert client.asked_s[-1] == pytest.approx(10 + 4 * METADATA_PAUSE_S)

    run_virtually(ask())
