"""Which task or thread failed first, and what is no failure since the process is ending."""

from __future__ import annotations

import asyncio

import pytest

from inspector.loop.supervisor import Supervisor


async def _ever() -> None:
    await asyncio.Event().wait()


async def _fail(after: asyncio.Event) -> None:
    await after.wait()
    raise ExceptionGroup("as a task group says it", [KeyError("gone")])


async def test_work_ends_by_itself_by_a_stop_or_by_a_crash() -> None:
    async def work() -> int:
        return 7

    assert await Supervisor().until_stopped(work()) == 7
    stopped = Supervisor()
    stopped.stop()
    assert await stopped.until_stopped(asyncio.Event().wait()) is None
    crashed = Supervisor()
    crashed.crash(KeyError("first"))
    crashed.crash(ValueError("second"))
    with pytest.raises(KeyError, match="first"):
        await crashed.until_stopped(_ever())


async def test_a_stop_a_task_that_fails_and_one_that_ends_are_told_apart() -> None:
    begin = asyncio.Event()
    begin.set()
    failing = Supervisor()
    failing.spawn(_ever())
    failing.spawn(_fail(begin))
    assert isinstance(await failing.failure(), KeyError)
    ending = Supervisor()
    ending.spawn(asyncio.sleep(0))
    assert str(await ending.failure()) == "a task that should never end has ended"
    stopped = Supervisor()
    stopped.spawn(_ever())
    stopped.stop()
    assert await stopped.failure() is None
    for supervisor in (failing, stopped):
        await supervisor.end()


async def test_who_waits_for_the_last_work_hears_of_a_failure_before_it_and_of_no_peaceful_end() -> None:
    supervisor = Supervisor()
    gate, begin = asyncio.Event(), asyncio.Event()
    peaceful = supervisor.spawn(asyncio.sleep(0))
    supervisor.spawn(_fail(begin))
    last = asyncio.ensure_future(gate.wait())
    waiting = asyncio.ensure_future(supervisor.failure_before(last))
    await peaceful
    await asyncio.sleep(0)
    assert not waiting.done()
    begin.set()
    assert isinstance(await waiting, KeyError)
    assert not last.done()
    gate.set()
    await last
    assert await supervisor.failure_before(last) is None
    await supervisor.end()


async def test_a_thread_that_crashes_is_heard_before_the_last_work_ends() -> None:
    supervisor = Supervisor()

    def fault() -> None:
        raise ZeroDivisionError("a fault of ours")

    last = asyncio.ensure_future(_ever())
    await asyncio.to_thread(supervisor.post, fault)
    assert isinstance(await supervisor.failure_before(last), ZeroDivisionError)
    last.cancel()


async def test_one_task_may_be_spared_until_the_end() -> None:
    supervisor = Supervisor()
    spared, other = supervisor.spawn(_ever()), supervisor.spawn(_ever())
    await supervisor.end(spared=spared)
    assert other.cancelled()
    assert not spared.done()
    await supervisor.end()
    assert spared.cancelled()
