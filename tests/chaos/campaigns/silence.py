"""All workers are killed under a running line: nothing may pass, the gate must say so, and all goes on after their return and a reset."""

from __future__ import annotations

import asyncio
import signal
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgpack
from aiokafka.admin import NewTopic

from deploy.local.base import free_port
from tests.chaos.campaign import Campaign, Context
from tests.chaos.commands import Command
from tests.chaos.frames import LINE
from tests.chaos.reading import administering, read_topics
from tests.chaos.world import World, running_world

STOPPED_S = 5.0
"""The line stands so long after the last heartbeat is missed, by the gate's own beat and the simulator's."""

WORKERS = 2
PASSED_BEFORE = 5
"""Parts that pass between a return and the next kill."""
RESET_AFTER_S = 2


async def run(context: Context) -> None:
    """Kill and bring back, over one port of the gate after the other."""
    for over in ("tcp", "modbus")[: context.counts["ports"]]:
        ports = {"gate.tcp_port": free_port(), "gate.modbus_port": free_port()}
        settings = ports | {
            "gate.line_id": LINE,
            "gate.window_ms": 2500,
            "gate.lead_ms": 500,
            "gate.accept_simulated": True,
            "gate.heartbeat_timeout_ms": context.counts["heartbeat_ms"],
            "heartbeat.interval_ms": 500,
        }
        async with running_world(context, cameras=2, settings=settings) as world:
            await _try(context, world, over)


async def _try(context: Context, world: World, over: str) -> None:
    heartbeats = NewTopic(f"{world.prefix}.heartbeats", 1, 1)
    async with administering(world.servers) as admin:
        await admin.create_topics([heartbeats])
    for _ in range(WORKERS):
        world.worker().start()
    await world.until_settled()
    stops: list[float] = []
    returns: list[float] = []
    async with _line(context, world, over) as (gate, line):
        for number in range(context.counts["silences"]):
            stop, back = await _silence(context, world, gate, line)
            stops.append(stop)
            returns.append(back)
            context.say(
                f"{over} {number + 1}: the line stood {stop:.1f} s after the kill, ran {back:.1f} s after the return"
            )
        await _until_passed(world, line, PASSED_BEFORE)
        told = line.finish()
    await _add_rows(context, world, over, told)
    times = context.counts["silences"]
    context.row(
        f"{over}: silence stops the line",
        trials=times,
        figure=f"median {statistics.median(stops):.1f} s, max {max(stops):.1f} s after all workers were killed",
        held=len(stops) == times and max(stops) <= context.counts["heartbeat_ms"] / 1000 + STOPPED_S,
        is_time=True,
        stops_s=[round(stop, 2) for stop in stops],
    )
    context.row(
        f"{over}: parts pass again after the workers are back and the gate is reset",
        trials=times,
        figure=f"median {statistics.median(returns):.1f} s, max {max(returns):.1f} s after the workers were ready",
        held=len(returns) == times,
        returns_s=[round(back, 2) for back in returns],
    )


@asynccontextmanager
async def _line(context: Context, world: World, over: str) -> AsyncIterator[tuple[Command, Command]]:
    """A gate, and a line that has begun to pass parts."""
    pictures = context.folder / f"pictures-{over}"
    pictures.mkdir()
    for kind, images in world.frames.pictures.items():
        # One nok in five, as elsewhere; names decide the order.
        for number, image in enumerate(images if kind == "ok" else images[: len(images) // 4]):
            (pictures / f"{number:03d}-{kind}.png").write_bytes(image)
    config = ["--config", str(world.settings_file), "--json"]
    gate = Command(f"gate-{over}", context.folder, ["gate", *config], mutation=context.mutation)
    simulator = ["line-simulator", *config, "--over", over, "--pictures", str(pictures)]
    simulator += ["--parts", "1000000", "--interval-ms", "200", "--reset-after-s", str(RESET_AFTER_S)]
    line: Command | None = None
    try:
        await world.until(lambda: any(event["state"] == "running" for event in _states(gate)), "the gate runs")
        line = Command(f"line-{over}", context.folder, simulator)
        await _until_passed(world, line, PASSED_BEFORE)
        yield gate, line
    finally:
        for command in (gate, line):
            if command is not None:
                command.end()


async def _silence(context: Context, world: World, gate: Command, line: Command) -> tuple[float, float]:
    """Kill all workers; return when the line stopped, and when parts passed again after the workers' return."""
    await asyncio.sleep(context.rng.random())
    stopped, faults = _count(line, "stopped"), len(_faults(gate))
    killed = time.monotonic()
    for worker in world.workers:
        worker.signal(signal.SIGKILL)
    await world.until(lambda: _count(line, "stopped") > stopped and len(_faults(gate)) > faults, "the line stops")
    stood = time.monotonic() - killed
    await asyncio.sleep(context.counts["silent_s"])
    for worker in world.workers:
        worker.end()
        worker.start()
    await world.until_settled()
    back = time.monotonic()
    await _until_passed(world, line, 1)
    ran = time.monotonic() - back
    await _until_passed(world, line, PASSED_BEFORE)
    return stood, ran


async def _until_passed(world: World, line: Command, more: int) -> None:
    before = _count(line, "passed")
    await world.until(lambda: _count(line, "passed") >= before + more, f"{more} more parts pass")


def _count(command: Command, event: str) -> int:
    return sum(line["event"] == event for line in command.lines())


def _states(gate: Command) -> list[dict[str, Any]]:
    return [line for line in gate.lines() if line["event"] == "state"]


def _faults(gate: Command) -> list[dict[str, Any]]:
    return [line for line in _states(gate) if line["state"] == "fault"]


async def _add_rows(context: Context, world: World, over: str, told: list[dict[str, Any]]) -> None:
    """Compare what the rejector let through with what the results topic says; the line's own account comes beside it."""
    said: dict[str, set[str]] = defaultdict(set)
    for record in await read_topics(world.servers, world.topics["results"]):
        result = msgpack.unpackb(record.value or b"")
        if result["status"] == "inspected" and result["anomaly_class_id"] == 0:
            said[result["part_id"]].add(result["camera_id"])
    passed = [line["part_id"] for line in told if line["event"] == "passed"]
    summary = told[-1]
    without = sorted(
        {part for part in passed if said[part] != set(world.cameras)} | set(summary["passed_without_verdict"])
    )
    twice = summary["acted_twice"] + len(passed) - len(set(passed))
    parts = summary["announced"]
    context.row(
        f"{over}: no part passes without an ok of every camera",
        trials=parts,
        figure=f"{len(without)} of {len(passed)} passed, {summary['rejected']} rejected",
        held=not without and bool(passed),
        without=without[:20],
        whys=summary["whys"],
    )
    context.row(
        f"{over}: no part is acted on twice, none is left between",
        trials=parts,
        figure=f"{twice} twice; {parts - summary['passed'] - summary['rejected']} neither passed nor rejected",
        held=twice == 0 and parts == summary["passed"] + summary["rejected"],
    )


CAMPAIGN = Campaign(
    name="silence",
    summary="all workers are killed under a running line and its gate",
    full={"silences": 20, "silent_s": 5, "ports": 2, "heartbeat_ms": 3000},
    smoke={"silences": 1, "silent_s": 2, "ports": 1, "heartbeat_ms": 3000},
    run=run,
    mutations={"silence_passes": "no part passes without an ok of every camera"},
    # Without a watch over heartbeats for as long as a mutant needs to let parts through.
    mutated={"silences": 1, "silent_s": 2, "ports": 1, "heartbeat_ms": 10_000},
)
