"""SIGTERM under load, again and again: a stop finishes what was begun, commits it, and comes to an end."""

from __future__ import annotations

import asyncio
import statistics
import time

from tests.chaos.campaign import Campaign, Context
from tests.chaos.timing import percentile
from tests.chaos.verdicts import add_rows
from tests.chaos.worker import Worker
from tests.chaos.world import World, running_world

HANG_S = 45.0
"""`drain_timeout_s` (20 s in a `World`), and what disconnecting and joining the threads may take at most."""


async def run(context: Context) -> None:
    """Stop one of two workers in turn under load, and start it again."""
    stops: list[float] = []
    statuses: list[int | None] = []
    async with running_world(context) as world:
        for _ in range(2):
            world.worker().start()
        await world.until_settled()
        async with world.flowing(context.counts["rate"]):
            for number in range(context.counts["stops"]):
                if context.is_stopping:
                    break
                worker = world.workers[number % 2]
                seconds, status = await _stop(world, context, worker)
                stops.append(seconds)
                statuses.append(status)
                context.say(f"stop {number + 1}: {seconds:.2f} s, status {status}")
                worker.start()
                await world.until_settled()
        await world.until_answered()
        findings = await world.judge()
    add_rows(context, findings)
    count = len(stops)
    if not count:
        context.row("SIGTERM ends a worker", trials=0, figure="the run was ended before", held=None)
        return
    hangs = sum(status is None for status in statuses)
    context.row(
        "SIGTERM ends a worker",
        trials=count,
        figure=f"median {statistics.median(stops):.2f} s, p99 {percentile(stops, 0.99):.2f} s, max {max(stops):.2f} s; {hangs} hangs",
        held=hangs == 0,
        stops_s=[round(stop, 3) for stop in stops],
    )
    others = [status for status in statuses if status != 0]
    context.row(
        "a stop finishes everything that was begun, and says so with status 0",
        trials=count,
        figure=f"{count - len(others)} of {count} with status 0",
        held=not others,
        statuses=others,
    )
    context.row(
        "what a stop has finished is not done again",
        trials=findings.frames,
        figure=f"{findings.duplicates} of {findings.frames} frames reprocessed",
        held=findings.duplicates == 0,
    )


async def _stop(world: World, context: Context, worker: Worker) -> tuple[float, int | None]:
    """Send SIGTERM at a moment of chance; return the seconds until the end and the status, None: it hung."""
    await asyncio.sleep(context.rng.random())
    sent = time.monotonic()
    worker.signal(15)
    while worker.is_running and time.monotonic() - sent < HANG_S:
        await asyncio.sleep(0.005)
    seconds, status = time.monotonic() - sent, worker.status
    worker.end()
    return seconds, status


CAMPAIGN = Campaign(
    name="sigterm",
    summary="SIGTERM under load",
    full={"stops": 50, "rate": 15},
    smoke={"stops": 3, "rate": 15},
    run=run,
    mutations={"drain_skipped": "what a stop has finished is not done again"},
    mutated={"stops": 3, "rate": 25},
)
