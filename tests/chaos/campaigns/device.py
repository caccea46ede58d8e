"""Faults of the device: want of memory, NaN and errors all the while, and now and then a loss or a hang."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

import msgpack

from inspector.watchdog.limits import EXIT_DEVICE_HANGS, EXIT_DEVICE_LOST
from tests.chaos.campaign import Campaign, Context
from tests.chaos.checker import Record, judge
from tests.chaos.device import BEGUN_BY, NAMED_BY, ROOM
from tests.chaos.verdicts import add_rows
from tests.chaos.world import World, running_world

KINDS = {"lost": EXIT_DEVICE_LOST, "hang": EXIT_DEVICE_HANGS}
WATCHDOG_S = 4
BURST_EVERY_S = 2
END_S = 60.0
"""The watchdog's limit, the drain and disconnecting, on a machine that does ten other things."""


async def run(context: Context) -> None:
    """Let two workers compute on devices with faults, and lose or hang one of them in turn."""
    settings = {"watchdog.device_s": WATCHDOG_S, "watchdog.loop_s": 60}
    statuses: dict[str, list[int | None]] = {kind: [] for kind in KINDS}
    rooms: list[float] = []
    wants = 0.0
    async with running_world(context, settings=settings) as world:
        for kind in KINDS:
            world.worker(environment={NAMED_BY: kind}).start()
        await world.until_settled()
        async with world.flowing(context.counts["rate"]):
            for second in range(context.counts["seconds"]):
                # Memory is wanting half of the time, and a quick device has no large batch unless many frames come at once.
                if second % BURST_EVERY_S == 0:
                    await world.publish(context.counts["burst"])
                await asyncio.sleep(1)
                rooms += [worker.metric("inspector_batch_room_frames") for worker in world.workers]
            wants = sum(worker.metric("inspector_out_of_memory_total") for worker in world.workers)
            for number in range(context.counts["faults"]):
                kind = list(KINDS)[number % len(KINDS)]
                status = await _end_one(world, number % len(KINDS))
                statuses[kind].append(status)
                context.say(f"fault {number + 1}: {kind}, status {status}")
        await world.until_answered()
        evidence = await world.evidence()
    add_rows(context, judge(evidence))
    for kind, expected in KINDS.items():
        found = statuses[kind]
        context.row(
            f"a device that is {'lost' if kind == 'lost' else 'hung'} ends its worker with status {expected}",
            trials=len(found),
            figure=f"{Counter(found).most_common()} of {len(found)}",
            held=all(status == expected for status in found),
        )
    reasons = Counter(_reasons(evidence.results))
    failed = {reason: count for (status, reason), count in reasons.items() if status == "failed"}
    context.row(
        "want of memory halves batches, and costs no frame its verdict",
        trials=round(wants),
        figure=f"{wants:.0f} batches did not fit, smallest room {min(rooms):.0f}, {failed.get('out_of_memory', 0)} frames failed for it",
        held=wants > 0 and 1 <= min(rooms) <= ROOM and "out_of_memory" not in failed,
    )
    context.row(
        "a picture that breaks the model, or whose score is no number, is failed, and no other",
        trials=sum(reasons.values()),
        figure=f"{failed}",
        held=set(failed) == {"device", "non_finite"} and sum(failed.values()) < 0.5 * sum(reasons.values()),
        reasons={" ".join(key): count for key, count in reasons.items()},
    )


async def _end_one(world: World, number: int) -> int | None:
    """Let one worker's fault begin; return the status that it ended with by itself (None: it did not), and start it again."""
    worker = world.workers[number]
    worker.signal(BEGUN_BY)
    give_up = asyncio.get_running_loop().time() + END_S
    while worker.is_running and asyncio.get_running_loop().time() < give_up:
        await asyncio.sleep(0.1)
    status = worker.status
    worker.end()
    worker.start()
    await world.until_settled()
    return status


def _reasons(results: Iterable[Record]) -> list[tuple[str, str]]:
    """Return status and reason of each different result."""
    found: dict[bytes, tuple[str, str]] = {}
    for record in results:
        message = msgpack.unpackb(record.value or b"")
        found.setdefault(message["result_id"], (message["status"], message["reason"]))
    return list(found.values())


CAMPAIGN = Campaign(
    name="device",
    summary="a device with faults",
    full={"faults": 20, "seconds": 60, "rate": 10, "burst": 100},
    smoke={"faults": 2, "seconds": 8, "rate": 8, "burst": 40},
    run=run,
    mutations={
        "watchdog_sleeps": "a device that is hung ends its worker",
        "loss_overlooked": "a device that is lost ends its worker",
        "want_is_final": "want of memory halves batches",
    },
)
