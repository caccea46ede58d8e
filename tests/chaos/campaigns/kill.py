"""kill -9 of a worker at seeded points of its own code, under load; it is started again, as an orchestrator would."""

from __future__ import annotations

import asyncio
import signal
import statistics
import time

from tests.chaos.campaign import Campaign, Context
from tests.chaos.launcher import POINTS
from tests.chaos.timing import longest_gaps_s
from tests.chaos.verdicts import add_rows
from tests.chaos.world import World, running_world

SESSION_S = 6.0
"""What `kafka.session_timeout_ms` is by default; the promise is measured with it."""

MOST_PASSAGES = 30
WORKERS = 2
SEEN_MS = 1000
"""What a worker has sent within so long of its death may arrive after it."""


async def run(context: Context) -> None:
    """Kill, watch the silence, start again, until the count is reached; then let the checker look."""
    silences: list[float] = []
    others: list[float] = []
    kills = 0
    deaths = [list(POINTS)[number % len(POINTS)] for number in range(context.counts["kills"])]
    context.rng.shuffle(deaths)
    async with running_world(context, hostile_share=0.05) as world:
        for _ in range(WORKERS):
            world.worker().start(_death(context, deaths))
        await world.until_settled()
        async with world.flowing(context.counts["rate"]):
            for number in range(context.counts["kills"]):
                if context.is_stopping:
                    break
                kills = number + 1
                own, other = await _kill(world, context, _death(context, deaths))
                silences += own
                others += other
                context.say(f"kill {number + 1}: silent {max(own):.1f} s, the other's cameras {max(other):.1f} s")
        await world.until_answered()
        findings = await world.judge()
    add_rows(context, findings)
    longest, most = max(silences, default=0.0), SESSION_S + context.counts["slack_s"]
    context.row(
        f"a killed worker's cameras are silent for at most the session of {SESSION_S:.0f} s and {context.counts['slack_s']} s more",
        trials=kills,
        figure=f"median {statistics.median(silences or [0]):.1f} s, max {longest:.1f} s, "
        f"{sum(s <= most for s in silences)} of {len(silences)} cameras within {most:.0f} s; "
        f"the other worker's cameras median {statistics.median(others or [0]):.1f} s, max {max(others, default=0.0):.1f} s",
        held=longest <= most if silences else None,
        is_time=True,
        silences_s=[round(s, 2) for s in silences],
        others_s=[round(s, 2) for s in others],
        statuses=dict(findings.statuses),
        duplicates=findings.duplicates,
        wrong=len(findings.wrong),
    )


def _death(context: Context, deaths: list[str]) -> str:
    """Return the next point, and after how many passages."""
    return f"{deaths.pop() if deaths else next(iter(POINTS))}:{context.rng.randint(1, MOST_PASSAGES)}"


async def _kill(world: World, context: Context, next_death: str) -> tuple[list[float], list[float]]:
    """Have one worker die as it was told at its start; return the silence (s) of its cameras and of the other's."""
    victim = context.rng.choice(world.workers)
    partitions = await asyncio.to_thread(victim.partitions)
    victim.arm()
    await world.until(lambda: not victim.is_running, f"{victim.name} dies")
    died_ms = time.time_ns() // 1_000_000
    assert victim.status == -signal.SIGKILL, f"{victim.name} ended with {victim.status}:\n{victim.log_tail()}"
    victim.start(next_death)
    cameras = {f"line/{camera}": partition in partitions for camera, partition in world.cameras.items()}
    await world.until(
        lambda: all(world.tail.last_ms.get(camera, 0) > died_ms + SEEN_MS for camera in cameras),
        "every camera is heard of again",
    )
    await world.until_settled()
    gaps = longest_gaps_s(world.tail.records, cameras, died_ms - SEEN_MS)
    return [gap for c, gap in gaps.items() if cameras[c]], [gap for c, gap in gaps.items() if not cameras[c]]


CAMPAIGN = Campaign(
    name="kill",
    summary="kill -9 of a worker at seeded points",
    full={"kills": 100, "rate": 10, "slack_s": 2},
    # A machine that does other things too must not fail it: the promise is that of the full run.
    smoke={"kills": 3, "rate": 10, "slack_s": 15},
    run=run,
    mutations={"commit_on_read": "every frame has a verdict"},
    mutated={"kills": 3, "rate": 25, "slack_s": 60},
)
