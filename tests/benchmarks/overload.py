"""Goodput under overload: one camera sends more than the device can score, another a little. The bus is in memory, the rest is real.

    python -m tests.benchmarks.overload [--seconds 10] [--load 0.8 1.3 2 10] [--models 1 2] [--device cpu slow_cpu gpu]

The device is a model that takes a fixed time for each batch and each picture. Prints one JSON object: for each load (frames offered by
the flooding camera, in units of what full batches of it alone would be) the verdicts in time of both cameras as a share of the capacity,
the share of the other camera's frames that were in time, and how many frames were scored in vain.

The capacity is what the device can do with these cameras: a batch is of one model, so where each has its own the other camera's frames
are batches of one, and full batches of the flood have the seconds that are left. On the GPU that takes 0.15 s for any batch, two frames
a second of another model take 0.3 of every second, so 36 frames a second is what there is, not 48. Frames in flight at the end are
answered after the seconds of sending, so a share may exceed 1 by budget / seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from inspector.anomaly.types import Thresholds
from inspector.loop.clock import SystemClock
from inspector.settings.topics import TopicSettings
from tests.benchmarks.machine import describe_machine
from tests.buses import MemoryBus
from tests.fakes import FakeModel
from tests.stage import Stage

DEVICES = {"cpu": (0.0, 0.02), "slow_cpu": (0.0, 0.05), "gpu": (0.15, 0.002)}
"""Seconds that a batch takes, and those of each picture beside."""
BATCH = 8
OTHER_PER_S = 2.0
BUDGET_US = 1_000_000


async def measure(load: float, seconds: float, models: int, device: str) -> dict[str, Any]:
    """Offer `load` times the capacity for so long.

    Args:
        load: What camera a sends, in units of the capacity.
        seconds: How long.
        models: 1 where both cameras have one model, 2 where each has its own.
        device: One of DEVICES.
    """
    bus = MemoryBus(TopicSettings())
    stage = Stage(bus)
    stage.other_models[Path("unused-1")] = FakeModel(Thresholds(classification=0.5, segmentation=0.5))
    batch_s, each_s = DEVICES[device]
    per_s = BATCH / (batch_s + BATCH * each_s)
    scored: list[int] = []

    def work(size: int) -> None:
        scored.append(size)
        time.sleep(batch_s + each_s * size)

    for model in (stage.model, *stage.other_models.values()):
        model.on_launch = work
    cameras = [
        {"line_id": "line", "camera_id": camera, "model": f"m{number % models}", "partition": number}
        for number, camera in enumerate("ab")
    ]
    settings = stage.settings(
        models={f"m{number}": Path(f"unused-{number}") for number in range(models)},
        cameras=cameras,
        decode_threads=1,
        device_threads=1,
        batching={"max_batch_size": BATCH},
        deadline={"default_budget_ms": BUDGET_US // 1000},
    )
    await bus.make_topics(settings)
    clock = SystemClock()
    async with stage.service(settings, clock=clock):
        await asyncio.sleep(0.5)
        sent = await asyncio.gather(
            _send(stage, clock, "a", load * per_s, seconds), _send(stage, clock, "b", OTHER_PER_S, seconds)
        )
        results = await bus.wait_for_results(sum(sent))
    in_time = Counter(result.camera_id for result in results if result.status == "inspected")
    reasons = Counter(result.reason for result in results if result.status != "inspected")
    of_others = seconds * OTHER_PER_S
    alone_s = of_others * ((batch_s + each_s) if models > 1 else 1 / per_s)
    capacity = of_others + (seconds - alone_s) * per_s
    return {
        "device": device,
        "load": load,
        "models": models,
        "goodput_of_capacity": round(sum(in_time.values()) / min(capacity, sum(sent)), 3),
        "other_in_time": round(in_time["b"] / sent[1], 3),
        "scored_in_vain": sum(scored) - sum(in_time.values()),
        "refused": dict(sorted(reasons.items())),
    }


async def _send(stage: Stage, clock: SystemClock, camera: str, per_s: float, seconds: float) -> int:
    """Publish frames at a steady rate; return how many."""
    begun, count = time.monotonic(), 0
    while (elapsed := time.monotonic() - begun) < seconds:
        while count < elapsed * per_s:
            await stage.publish(camera, count, captured_at=clock.wall_us())
            count += 1
        await asyncio.sleep(0.002)
    return count


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--load", type=float, nargs="+", default=[0.8, 1.3, 2.0, 10.0])
    parser.add_argument("--models", type=int, nargs="+", choices=(1, 2), default=[1, 2])
    parser.add_argument("--device", nargs="+", choices=list(DEVICES), default=list(DEVICES))
    arguments = parser.parse_args()
    asyncio.run(measure(0.5, 1.0, 1, "cpu"))  # the first imports and compilations
    rows = [
        asyncio.run(measure(load, arguments.seconds, models, device))
        for device in arguments.device
        for models in arguments.models
        for load in arguments.load
    ]
    setting = {
        "seconds": arguments.seconds,
        "budget_ms": BUDGET_US // 1000,
        "other_per_s": OTHER_PER_S,
        "max_batch_size": BATCH,
    }
    machine = {name: value for name, value in describe_machine().items() if name != "host"}
    command = " ".join(["python -m tests.benchmarks.overload", *sys.argv[1:]])
    print(json.dumps({"command": command, "machine": machine, "devices": DEVICES, **setting, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
