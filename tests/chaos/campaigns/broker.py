"""The broker is frozen, killed, away at the start; its topics are deleted, made again, grown."""

from __future__ import annotations

import asyncio
import signal
import statistics
import time
from collections.abc import Callable

from deploy.local.kafka import KafkaNode
from tests.chaos.campaign import Campaign, Context
from tests.chaos.checker import Evidence, judge
from tests.chaos.readiness import Readiness
from tests.chaos.reading import read_topics
from tests.chaos.verdicts import TOO_LONG_S, add_recovery, add_rows
from tests.chaos.world import World, running_world

NOTICE_OUTAGE_S = 15.0
"""Ten seconds without word of the brokers (`inflight/watch`), a survey (2 s) that may last 5 s before it is given up less the 2 s that a second takes."""

NOTICE_TOPIC_S = 10.0
"""A survey every 2 s, and what a worker needs to act on it."""

AWAY_S = 3.0


async def run(context: Context) -> None:
    """Harm the broker, then its topics; each on a node of the campaign's own."""
    node = context.node("own")
    await asyncio.to_thread(node.start)
    await _outages(context, node)
    await _topics(context, node)


async def _outages(context: Context, node: KafkaNode) -> None:
    counts = context.counts
    recoveries: dict[str, list[float]] = {}
    async with running_world(context, node.bootstrap_servers) as world, world.supervised() as ended:
        readiness = Readiness(world.workers)
        async with readiness.watched():
            await asyncio.to_thread(node.stop)
            for _ in range(2):
                world.worker().start()
            begun = time.monotonic()
            await asyncio.sleep(counts["down_s"])
            readiness.so("started without a broker", begun, ready=False)
            took = await _until_well(world, node.start)
            recoveries["start with the broker down"] = [took]
            async with world.flowing(counts["rate"]):
                for seconds, times in ((counts["freeze_s"], counts["freezes"]), (counts["long_s"], counts["longs"])):
                    for _ in range(times):
                        took = await _harm(world, readiness, node.process.pause, seconds, node.process.resume)
                        recoveries.setdefault(f"SIGSTOP {seconds} s", []).append(took)
                for _ in range(counts["kills"]):
                    took = await _harm(world, readiness, node.process.kill, AWAY_S, node.start)
                    recoveries.setdefault("kill -9 and restart", []).append(took)
        await world.until_answered()
        findings = await world.judge()
    add_rows(context, findings)
    for what, took_s in recoveries.items():
        add_recovery(
            context,
            what,
            took_s,
            f"median {statistics.median(took_s):.1f} s, max {max(took_s):.1f} s from its return to a result of every camera",
            recoveries_s=took_s,
            restarts=ended,
        )
    readiness.add_row(context)


async def _harm(
    world: World, readiness: Readiness, harm: Callable[[], object], seconds: float, heal: Callable[[], object]
) -> float:
    """Take the broker away for a time; return how long it took after its return until every camera was heard of."""
    await world.until_settled()
    well = time.monotonic()
    await asyncio.sleep(2)
    readiness.so("all is well", well, ready=True)
    harm()
    begun = time.monotonic()
    await asyncio.sleep(seconds)
    readiness.so("the broker is away", begun, ready=False, notice_s=NOTICE_OUTAGE_S)
    took = await _until_well(world, heal)
    world.context.say(f"away for {seconds} s, back after {took:.1f} s")
    return took


async def _until_well(world: World, heal: Callable[[], object]) -> float:
    await asyncio.to_thread(heal)
    back, back_ms = time.monotonic(), time.time_ns() // 1_000_000
    if not world.acknowledged:
        await world.until_settled()
        await world.publish(1)
    await world.until_heard(back_ms)
    return time.monotonic() - back


async def _topics(context: Context, node: KafkaNode) -> None:
    """Delete the frames topic and make it again, give it more partitions, delete the results topic and make it again."""
    few = context.counts["frames"]
    old, new = ["a", "b", "c", "d"], ["e", "f"]
    recoveries: dict[str, float] = {}
    async with running_world(context, node.bootstrap_servers, cameras=6, partitions=4) as world:
        readiness = Readiness(world.workers)
        async with world.supervised() as ended, readiness.watched():
            for _ in range(2):
                world.worker().start()
            await world.until_settled()
            await world.publish(few, old)
            await world.until_answered()
            earlier = await read_topics(world.servers, world.topics["frames"])

            await world.delete_topic("frames")
            begun = time.monotonic()
            await asyncio.sleep(context.counts["down_s"])
            readiness.so("the frames topic is gone", begun, ready=False, notice_s=NOTICE_TOPIC_S)
            await world.make_topics("frames")
            recoveries["frames topic deleted and made again"] = await _answered(world, few, old)

            await world.until_settled()
            earlier += await read_topics(world.servers, world.topics["frames"])
            known = len(world.acknowledged)
            recoveries["frames topic made again behind the workers' backs"] = await _behind_their_backs(world, few, old)
            excused = {f"{made.name.camera_id}-{made.name.seq}" for made in world.acknowledged[known:]}

            await world.until_settled()
            begun = time.monotonic()
            await world.grow(6)
            recoveries["frames topic grown from 4 to 6"] = await _answered(world, few, new)
            await world.until_settled()

            results = await read_topics(world.servers, world.topics["results"])
            await world.delete_topic("results")
            await world.publish(few, old)
            await asyncio.sleep(context.counts["down_s"])
            await world.make_topics("results")
            recoveries["results topic deleted and made again"] = await _answered(world, few, old)
        evidence = await world.evidence(earlier)
    # Offsets of a topic that was made again begin anew: what it held before is judged as a topic of its own.
    before = [record._replace(topic=f"{record.topic} before") for record in results]
    findings = judge(Evidence(evidence.frames, [*before, *evidence.results], evidence.deadletters, key=evidence.key))
    # Behind the workers' backs they read on from the old position until they have looked (2 s), and begin at the beginning then.
    add_rows(context, findings, only=("missing", "false_pass", "unrecognised"), about="topics: ")
    others = [words for words in findings.reordered if not any(f" part {part} " in words for part in excused)]
    context.row(
        "topics: first results of a camera keep its order, but in a topic made again behind the workers' backs",
        trials=findings.frames,
        figure=f"{len(others)}; {len(findings.reordered) - len(others)} in that topic",
        held=not others,
        broken=others,
    )
    for what, took in recoveries.items():
        add_recovery(context, what, [took], f"all answered {took:.1f} s after the first frame", restarts=ended)
    readiness.add_row(context)


async def _behind_their_backs(world: World, few: int, cameras: list[str]) -> float:
    """Freeze the workers while the topic is made again and gets more frames than they had read of the old one."""
    for worker in world.workers:
        worker.signal(signal.SIGSTOP)
    try:
        await world.delete_topic("frames")
        await world.make_topics("frames")
        await world.publish(3 * few, cameras)
    finally:
        for worker in world.workers:
            worker.signal(signal.SIGCONT)
    return await _answered(world, 1, cameras)


async def _answered(world: World, count: int, cameras: list[str]) -> float:
    begun = time.monotonic()
    await world.publish(count, cameras)
    answered = await world.until_answered(patience_s=TOO_LONG_S)
    return time.monotonic() - begun if answered else TOO_LONG_S


CAMPAIGN = Campaign(
    name="broker",
    summary="the broker is frozen, killed, away at the start; topics are deleted, made again, grown",
    full={"freezes": 10, "freeze_s": 5, "longs": 5, "long_s": 30, "kills": 10, "down_s": 20, "rate": 5, "frames": 50},
    smoke={"freezes": 1, "freeze_s": 5, "longs": 0, "long_s": 30, "kills": 1, "down_s": 5, "rate": 5, "frames": 10},
    run=run,
    mutations={"always_ready": "/readyz says the truth", "incarnation_ignored": "every frame has a verdict"},
    mutated={"freezes": 0, "freeze_s": 5, "longs": 1, "long_s": 20, "kills": 0, "down_s": 12, "rate": 5, "frames": 10},
)
