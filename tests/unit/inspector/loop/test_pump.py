"""The pump: once for all who ask, later where told, and no error goes unheard."""

from __future__ import annotations

import asyncio

from inspector.loop.pump import Pump
from tests.virtual_time import run_virtually


async def test_many_wishes_in_one_turn_are_one_call() -> None:
    calls: list[int] = []
    pump = Pump(lambda: calls.append(1), lambda exc: None)
    for _ in range(5):
        pump.soon()
    assert calls == []
    await asyncio.sleep(0)
    assert calls == [1]
    pump.soon()
    await asyncio.sleep(0)
    assert calls == [1, 1]


async def test_a_later_wish_replaces_an_earlier_one_and_none_takes_it_back() -> None:
    called = asyncio.Event()
    pump = Pump(called.set, lambda exc: None)
    pump.after(3600)
    pump.after(-1)
    await asyncio.wait_for(called.wait(), 30)
    called.clear()
    pump.after(0)
    pump.after(None)
    pump.soon()
    await asyncio.wait_for(called.wait(), 30)
    called.clear()
    await asyncio.sleep(0)
    assert not called.is_set()


def test_what_was_asked_for_earlier_does_not_come_as_well() -> None:
    async def wait() -> list[float]:
        loop = asyncio.get_running_loop()
        calls: list[float] = []
        pump = Pump(lambda: calls.append(round(loop.time(), 3)), lambda exc: None)
        pump.after(1)
        pump.after(5)
        pump.after(3)
        await asyncio.sleep(10)
        return calls

    assert run_virtually(wait()) == [3]


async def test_what_it_raises_is_told() -> None:
    crashes: list[BaseException] = []

    def fail() -> None:
        raise ZeroDivisionError

    pump = Pump(fail, crashes.append)
    pump.soon()
    await asyncio.sleep(0)
    assert [type(exc) for exc in crashes] == [ZeroDivisionError]
    pump.soon()
    await asyncio.sleep(0)
    assert len(crashes) == 2
