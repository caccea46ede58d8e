"""One of two workers sits behind a bad cable: late, lossy, cut. Needs root; skipped visibly elsewhere."""

from __future__ import annotations

import asyncio
import statistics
import time

from deploy.local.base import LOOPBACK, free_port
from tests.chaos.cable import Cable
from tests.chaos.campaign import Campaign, Context
from tests.chaos.timing import longest_gaps_s
from tests.chaos.verdicts import add_recovery, add_rows
from tests.chaos.world import World, running_world


async def run(context: Context) -> None:
    """Spoil the cable in three ways, mend it, see how long everything takes to be heard again."""
    counts = context.counts
    faults: dict[str, tuple[dict[str, float], int]] = {
        "100 ms each way": ({"delay_ms": 100}, counts["delay_s"]),
        "5 % of the packets lost": ({"loss": 0.05}, counts["loss_s"]),
        "all packets lost": ({"loss": 1.0}, counts["hole_s"]),
    }
    recoveries: dict[str, list[float]] = {}
    silences: dict[str, list[float]] = {}
    with Cable(context.seed) as cable:
        servers, behind = await asyncio.to_thread(_start_node, context, cable)
        async with running_world(context, servers, hostile_share=0.05) as world, world.supervised() as ended:
            world.worker().start()
            world.worker(
                before=("ip", "netns", "exec", cable.inside),
                host=cable.managed,
                environment={"INSPECTOR_KAFKA__BOOTSTRAP_SERVERS": behind, "INSPECTOR_HTTP__HOST": cable.managed},
            ).start()
            await world.until_settled()
            async with world.flowing(counts["rate"]):
                for _ in range(counts["rounds"]):
                    for what, (wrong, seconds) in faults.items():
                        recovery, silence = await _spoil(world, cable, wrong, seconds)
                        context.say(f"{what} for {seconds} s: silent {silence:.1f} s, well {recovery:.1f} s after")
                        recoveries.setdefault(what, []).append(recovery)
                        silences.setdefault(what, []).append(silence)
            await world.until_answered()
            findings = await world.judge()
    add_rows(context, findings)
    for what, took in recoveries.items():
        add_recovery(
            context,
            what,
            took,
            f"recovery median {statistics.median(took):.1f} s, max {max(took):.1f} s; "
            f"longest silence of a camera {max(silences[what]):.1f} s in {faults[what][1]} s",
            recoveries_s=took,
            silences_s=silences[what],
            restarts=ended,
            duplicates=findings.duplicates,
        )


def _start_node(context: Context, cable: Cable) -> tuple[str, str]:
    """Start a node with two doors; return the addresses of the one on loopback and of the one behind the cable."""
    plain, behind, controller = free_port(), free_port(), free_port()
    doors = f"CLIENTS://{LOOPBACK}:{plain},CABLE://{cable.outer}:{behind}"
    node = context.node(
        "own",
        {
            "listeners": f"{doors},CONTROLLER://{LOOPBACK}:{controller}",
            "advertised.listeners": doors,
            "controller.quorum.bootstrap.servers": f"{LOOPBACK}:{controller}",
            "listener.security.protocol.map": "CLIENTS:PLAINTEXT,CABLE:PLAINTEXT,CONTROLLER:PLAINTEXT",
        },
    )
    node.port = plain
    return node.start().bootstrap_servers, f"{cable.outer}:{behind}"


async def _spoil(world: World, cable: Cable, wrong: dict[str, float], seconds: int) -> tuple[float, float]:
    """Return how long (s) it took from the mending until all was settled again, and the longest silence of a camera."""
    await world.until_settled()
    begun_ms = time.time_ns() // 1_000_000
    cable.wrong(**wrong)
    await asyncio.sleep(seconds)
    cable.wrong()
    mended, mended_ms = time.monotonic(), time.time_ns() // 1_000_000
    await world.until_heard(mended_ms)
    await world.until_settled()
    recovery = time.monotonic() - mended
    gaps = longest_gaps_s(world.tail.records, [f"line/{camera}" for camera in world.cameras], begun_ms)
    return recovery, max(gaps.values())


CAMPAIGN = Campaign(
    name="network",
    summary="one of two workers sits behind a cable that delays, loses, is cut",
    full={"rounds": 5, "delay_s": 30, "loss_s": 30, "hole_s": 30, "rate": 10},
    smoke={"rounds": 1, "delay_s": 4, "loss_s": 4, "hole_s": 10, "rate": 10},
    run=run,
    mutations={"commit_on_read": "every frame has a verdict"},
    mutated={"rounds": 1, "delay_s": 0, "loss_s": 0, "hole_s": 12, "rate": 25},
)
