"""What failures of the bus mean: which an operator must mend, and which pass by themselves."""

from __future__ import annotations

import pytest
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaTimeoutError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
)

from inspector.bus.connect import bus_errors
from inspector.errors import AccessError, BusError


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
