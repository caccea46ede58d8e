"""Overload: one camera sends up to ten times what the device can do, another its share; what is answered in time, and what it costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.chaos.campaign import Campaign, Context
from tests.chaos.checker import Record, body_of
from tests.chaos.launcher import PICTURE_S
from tests.chaos.verdicts import add_rows
from tests.chaos.worker import Worker
from tests.chaos.world import World, running_world

LOADS = (0.5, 0.8, 1.0, 1.3, 1.5, 2.0, 10.0)
"""What the flooding camera sends and the other one beside, in units of the capacity."""

EACH_S = 0.04
CAPACITY = 1 / EACH_S
OTHER_PER_S = 2.0
BUDGET_MS = 1000
FLOOD, OTHER = "a", "b"
CALM_S = 10.0
"""After the last flood, at half of the capacity."""
RECOVERED_S = 3.0
"""The last frame that is late was captured so long after the flood at most: what had been sent is given up at once."""
CALM = 0.5
"""Its load."""


@dataclass
class Phase:
    """The same load for some seconds; times are microseconds of the wall clock."""

    load: float
    began_us: int
    ended_us: int = 0
    offered: dict[str, int] = field(default_factory=lambda: {FLOOD: 0, OTHER: 0})
    in_time: dict[str, int] = field(default_factory=lambda: {FLOOD: 0, OTHER: 0})

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.ended_us - self.began_us) / 1e6

    @property
    def goodput(self) -> float:
        """Frames that were answered in time, of those that could be."""
        return sum(self.in_time.values()) / min(CAPACITY * self.seconds, sum(self.offered.values()))


async def run(context: Context) -> None:
    """Send at each load; then look at the verdicts and at the process."""
    settings = {
        "deadline.default_budget_ms": BUDGET_MS,
        "device_threads": 1,
        "batching.max_batch_size": 8,
        "limits.max_pixels": 1_000_000,
        "limits.max_bytes_in_flight": 24 << 20,
    }
    async with running_world(context, cameras=2, settings=settings) as world:
        worker = world.worker(environment={PICTURE_S: str(EACH_S)})
        worker.start()
        await world.until_settled()
        await _send(world, 0.5, 3)  # its pace is learnt
        await world.until_answered()
        idle = worker.memory_bytes("VmRSS")
        phases = [await _send(world, load, context.counts["seconds"]) for load in LOADS]
        calm = await _send(world, CALM, CALM_S)
        await world.until_answered()
        _memory(context, worker, idle)
        findings = await world.judge()
        _count(phases, calm, world.tail.records)
        late_oks = sum(map(_is_late_ok, world.tail.records))
        recovery_s = _recovery_s(calm, world.tail.records)
    _goodput(context, phases)
    context.row(
        "a late ok is never acted on",
        trials=findings.verdicts,
        figure=f"{len(findings.false_pass)} said ok after their deadline; {late_oks} were on their way when it passed, and the actuator left them",
        held=not findings.false_pass,
        broken=findings.false_pass[:5],
    )
    context.row(
        "after the flood all is in time again",
        trials=1,
        figure=f"the last late frame was captured {recovery_s:.1f} s after it",
        held=recovery_s <= RECOVERED_S,
        is_time=True,
    )
    add_rows(context, findings, leave_out=("false_pass",))


async def _send(world: World, load: float, seconds: float) -> Phase:
    """Let both cameras send at a load."""
    phase = Phase(load, time.time_ns() // 1000)
    async with world.flowing(OTHER_PER_S, [OTHER]), world.flowing(load * CAPACITY - OTHER_PER_S, [FLOOD]):
        await asyncio.sleep(seconds)
    phase.ended_us = time.time_ns() // 1000
    return phase


def _count(phases: Sequence[Phase], calm: Phase, records: Sequence[Record]) -> None:
    for phase, camera, in_time, _ in _frames([*phases, calm], records):
        phase.offered[camera] += 1
        phase.in_time[camera] += in_time


def _frames(phases: Sequence[Phase], records: Sequence[Record]) -> list[tuple[Phase, str, bool, int]]:
    """Return phase, camera, whether its verdict was in time where it arrived, and the capture of every frame's first result."""
    found, seen = [], set()
    for record in records:
        body = body_of(record) or {}
        captured, camera = body.get("captured_at"), body.get("camera_id")
        if body.get("result_id") in seen or not isinstance(captured, int) or camera not in {FLOOD, OTHER}:
            continue
        seen.add(body["result_id"])
        phase = next((p for p in phases if p.began_us <= captured <= p.ended_us), None)
        if phase is not None:
            in_time = body["status"] == "inspected" and record.timestamp_ms * 1000 <= body["deadline_at"]
            found.append((phase, str(camera), in_time, captured))
    return found


def _is_late_ok(record: Record) -> bool:
    body = body_of(record) or {}
    return body.get("anomaly_class_id") == 0 and record.timestamp_ms * 1000 > body["deadline_at"]


def _recovery_s(calm: Phase, records: Sequence[Record]) -> float:
    late = [captured for _, _, in_time, captured in _frames([calm], records) if not in_time]
    return (max(late) - calm.began_us) / 1e6 if late else 0.0


def _goodput(context: Context, phases: Sequence[Phase]) -> None:
    least, least_other = context.counts["goodput_percent"] / 100, context.counts["other_percent"] / 100
    shares = {f"{phase.load:.0%}": round(phase.goodput, 3) for phase in phases}
    came = {f"{phase.load:.0%}": round(sum(phase.offered.values()) / phase.seconds / CAPACITY, 2) for phase in phases}
    context.row(
        f"at any load at least {least:.0%} of the capacity is answered in time",
        trials=sum(sum(phase.offered.values()) for phase in phases),
        figure=", ".join(f"{load} {share:.2f}" for load, share in shares.items())
        + f" (of the flood came {came[f'{LOADS[-1]:.0%}']:.1f} times the capacity)",
        held=min(shares.values()) >= least,
        is_time=True,
        goodput_of_capacity=shares,
        sent_of_capacity=came,
        capacity_per_s=CAPACITY,
    )
    others = {f"{phase.load:.0%}": [phase.in_time[OTHER], phase.offered[OTHER]] for phase in phases}
    in_time, offered = (sum(counted) for counted in zip(*others.values(), strict=True))
    context.row(
        f"a camera within its share is in time with at least {least_other:.0%} of its frames whatever another sends",
        trials=offered,
        figure=f"{in_time} of {offered}; late at "
        + (", ".join(f"{k}: {n - t}" for k, (t, n) in others.items() if n > t) or "none"),
        held=in_time >= least_other * offered,
        is_time=True,
        in_time_of=others,
    )


def _memory(context: Context, worker: Worker, idle: int) -> None:
    peak, bound = worker.memory_bytes("VmHWM"), worker.metric("inspector_memory_bound_bytes")
    context.row(
        "memory grows no further than the settings promise",
        trials=1,
        figure=f"grew {max(0, peak - idle) / 2**20:.0f} MiB above {idle / 2**20:.0f} MiB, of at most {bound / 2**20:.0f} MiB",
        held=0 < peak - idle <= bound or (peak <= idle and bound > 0),
    )


CAMPAIGN = Campaign(
    name="load",
    summary="one camera sends up to ten times the capacity, another its share",
    full={"seconds": 30, "goodput_percent": 90, "other_percent": 99},
    smoke={"seconds": 6, "goodput_percent": 60, "other_percent": 90},  # a busy machine has less of its cores
    run=run,
    mutations={"shedding_off": "of the capacity is answered in time"},
    mutated={"seconds": 8, "goodput_percent": 50, "other_percent": 80},
)
