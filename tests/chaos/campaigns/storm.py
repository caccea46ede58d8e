"""A rebalance storm: a member joins or leaves every few seconds while frames flow."""

from __future__ import annotations

import asyncio
import signal
import time

from tests.chaos.campaign import Campaign, Context
from tests.chaos.timing import longest_gaps_s
from tests.chaos.verdicts import add_rows
from tests.chaos.worker import Worker
from tests.chaos.world import World, running_world

FEWEST, MOST = 1, 4
JOINED, GIVEN_BACK = "assigned", "giving back"
LOG_BYTES = 1 << 20


async def run(context: Context) -> None:
    """Let members come and go; then let the checker look."""
    async with running_world(context, hostile_share=0.05) as world:
        for _ in range(2):
            world.worker().start()
        await world.until_settled()
        began_ms = time.time_ns() // 1_000_000
        async with world.flowing(context.counts["rate"]):
            changes, leaving = await _storm(world, context)
            await world.until(lambda: not any(worker.is_running for worker in leaving), "who leaves has left")
            await world.until_settled()
        await world.until_answered()
        findings = await world.judge()
        generations = sum(worker.log.read_text().count(GIVEN_BACK) for worker in world.workers)
        statuses = {worker.status for worker in world.workers if not worker.is_running}
        gaps = longest_gaps_s(world.tail.records, [f"line/{camera}" for camera in world.cameras], began_ms)
    add_rows(context, findings)
    context.row(
        "who leaves does so in order",
        trials=changes,
        figure=f"{changes} joins and leaves, {generations} times partitions were given back; exit statuses {sorted(map(str, statuses))}; "
        f"{100 * findings.duplicates / max(1, findings.frames):.2f} % reprocessed; longest silence {max(gaps.values()):.1f} s",
        held=statuses <= {0},
        gaps_s=gaps,
        wrong=len(findings.wrong),
    )


async def _storm(world: World, context: Context) -> tuple[int, set[Worker]]:
    """Change the membership every `every_s`, for `seconds`; return how often, and who was told to leave."""
    until = time.monotonic() + context.counts["seconds"]
    leaving: set[Worker] = set()
    changes = 0
    while time.monotonic() < until and not context.is_stopping:
        staying = [worker for worker in world.workers if worker.is_running and worker not in leaving]
        members = [worker for worker in staying if JOINED in worker.log_tail(LOG_BYTES)]
        if len(members) <= FEWEST or (len(staying) < MOST and context.rng.random() < 0.5):
            world.worker().start()
        else:
            leaver = context.rng.choice(members)
            leaver.signal(signal.SIGTERM)
            leaving.add(leaver)
        changes += 1
        await asyncio.sleep(context.counts["every_s"])
    return changes, leaving


CAMPAIGN = Campaign(
    name="storm",
    summary="a member joins or leaves every few seconds",
    full={"seconds": 300, "every_s": 5, "rate": 10},
    smoke={"seconds": 20, "every_s": 5, "rate": 10},
    run=run,
    mutations={
        "sequence_bypassed": "first results of a camera keep its order",
        "late_commit": "no commit goes backwards",
    },
    mutated={"seconds": 30, "every_s": 5, "rate": 15},
)
