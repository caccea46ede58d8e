"""What a model on trial costs the line: its on-time share with a shadow and without one, in turns. The bus is in memory, the rest is real.

    python -m tests.benchmarks.shadow [--seconds 10] [--rounds 5] [--load 0.5 0.9 1.0] [--threads 1 2] [--keep]

The device is a model that takes a fixed time for each batch and each picture; the model on trial takes the same. In each round the same frames are
offered twice, once without a shadow and once with one, in an order that turns; what is told for each load (frames offered, in units of what full
batches would be) and number of device threads is the median over the rounds of the share of frames in time, of the difference of the shares in
percentage points, and how much of the frames the shadow has seen. Every third frame comes from a camera with half the budget.

`--keep` writes tests/benchmarks/results/shadow.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from inspector.loop.clock import SystemClock
from inspector.service import Service
from inspector.settings.topics import TopicSettings
from schemas import Candidate, DLResultMessage
from tests.benchmarks.machine import Load, describe_machine
from tests.buses import MemoryBus, wait_until
from tests.fakes import FakeModel
from tests.releases import THRESHOLDS, FakeLog, Shelf, bundle, on_topic, release
from tests.stage import Stage, metric

RESULT = Path(__file__).parent / "results" / "shadow.json"
BATCH = 8
BATCH_S, EACH_S = 0.005, 0.02
"""Seconds that a batch takes, and those of each picture beside."""
BUDGETS_MS = {"a": 1000, "b": 500}


async def measure(load: float, seconds: float, threads: int, *, is_shadowed: bool) -> dict[str, float]:
    """Offer `load` times the capacity for so long; return the share in time, and that of what the shadow has seen."""
    with tempfile.TemporaryDirectory() as folder:
        bus = MemoryBus(TopicSettings())
        stage, shelf = Stage(bus), Shelf(Path(folder))
        tried = shelf.put("c", FakeModel(THRESHOLDS))
        for model in (shelf.settings_model, tried):
            model.on_launch = lambda size: time.sleep(BATCH_S + EACH_S * size)
        cameras = [
            {"line_id": "line", "camera_id": camera, "model": "m", "partition": number, "budget_ms": BUDGETS_MS[camera]}
            for number, camera in enumerate("ab")
        ]
        settings = stage.settings(
            cameras=cameras,
            decode_threads=1,
            device_threads=threads,
            batching={"max_batch_size": BATCH},
            releases={"store": "file:///srv/models/", "cache": folder, "wait_s": 1.0},
        )
        await bus.make_topics(settings)
        bus.broker.partitions[settings.topics.shadow_topic] = 1
        on_topic(bus.broker, settings)
        if is_shadowed:
            candidate = Candidate(bundle=bundle("c"), role="shadow")
            on_topic(bus.broker, settings, *(release(camera, 1, None, candidate=candidate) for camera in "ab"))
        clock = SystemClock()
        service = Service(
            settings,
            read_model=shelf.read,
            producer=bus.producer(settings),
            shadow_producer=bus.producer(settings),
            consumer=bus.consumer(settings),
            tail=bus.tail(settings),
            release_log=FakeLog(bus.broker, settings.topics.models_topic),
            clock=clock,
        )
        task = asyncio.create_task(service.run())
        try:
            await wait_until(lambda: not service.health.not_ready() or task.done(), timeout_s=240)
            if is_shadowed:
                await wait_until(lambda: len(bus.broker.log((settings.topics.audit_topic, 0))) >= 4, timeout_s=240)
            per_s = threads * BATCH / (BATCH_S + BATCH * EACH_S)
            sent = await _send(stage, clock, load * per_s, seconds)
            results = await bus.wait_for_results(sent, timeout_s=240)
            seen = sum(metric(service, "shadow_scored_total", camera=f"line/{camera}") for camera in "ab")
        finally:
            service.stop()
            await task
    return {"on_time": sum(map(_is_on_time, results)) / sent, "seen": seen / sent}


def _is_on_time(result: DLResultMessage) -> bool:
    return result.status == "inspected" and result.produced_at <= (result.deadline_at or 0)


async def _send(stage: Stage, clock: SystemClock, per_s: float, seconds: float) -> int:
    """Publish frames at a steady rate, every third of camera b; return how many."""
    begun, count = time.monotonic(), 0
    while (elapsed := time.monotonic() - begun) < seconds:
        while count < elapsed * per_s:
            await stage.publish("b" if count % 3 == 2 else "a", count, captured_at=clock.wall_us())
            count += 1
        await asyncio.sleep(0.002)
    return count


def row(load: float, seconds: float, threads: int, rounds: int) -> dict[str, Any]:
    """Return the medians of so many rounds."""
    found: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    for number in range(rounds):
        for is_shadowed in (number % 2 == 0, number % 2 == 1):
            found[is_shadowed].append(asyncio.run(measure(load, seconds, threads, is_shadowed=is_shadowed)))
    without, beside = ([one["on_time"] for one in found[is_shadowed]] for is_shadowed in (False, True))
    costs = [100 * (before - after) for before, after in zip(without, beside, strict=True)]
    return {
        "load": load,
        "device_threads": threads,
        "on_time_without": round(statistics.median(without), 4),
        "on_time_with": round(statistics.median(beside), 4),
        "cost_points": round(statistics.median(costs), 2),
        "cost_points_rounds": [round(cost, 2) for cost in costs],
        "seen_by_shadow": round(statistics.median(one["seen"] for one in found[True]), 3),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.shadow", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--load", type=float, nargs="+", default=[0.5, 0.9, 1.0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    asyncio.run(measure(0.5, 1.0, 1, is_shadowed=True))  # the first imports
    busy = Load(None)
    rows = [
        row(load, arguments.seconds, threads, arguments.rounds)
        for threads in arguments.threads
        for load in arguments.load
    ]
    machine = {name: value for name, value in describe_machine().items() if name != "host"}
    report = {
        "command": " ".join(["python -m tests.benchmarks.shadow", *sys.argv[1:]]),
        "machine": machine,
        "load_of_the_machine": {name: round(share, 3) for name, share in busy.shares().items()},
        "seconds": arguments.seconds,
        "rounds": arguments.rounds,
        "batch_s": BATCH_S,
        "each_s": EACH_S,
        "max_batch_size": BATCH,
        "budgets_ms": BUDGETS_MS,
        "rows": rows,
    }
    text = json.dumps(report, indent=1)
    print(text)
    if arguments.keep:
        RESULT.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
