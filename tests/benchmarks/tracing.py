"""What logs and traces cost: CPU time a frame of the service with a model that costs nothing, as it was before, without traces and with them.

    python -m tests.benchmarks.tracing [--frames N] [--rounds N] [--keep]

In each round every variant has the same frames, one after the other in an order that turns from round to round; what is told is the median over
the rounds of the difference and the ratio to `before` of the same round. CPU seconds of this process, all its threads: not the collector's, which is a
process of its own, and not the clock's, since machines are shared. `--keep` writes tests/benchmarks/results/tracing.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from inspector.loop.clock import SystemClock
from inspector.settings.topics import TopicSettings
from inspector.stages import sink
from inspector.tracing.tracer import Joined, Tracer
from tests.benchmarks.machine import Load
from tests.benchmarks.store import write_store
from tests.buses import MemoryBus
from tests.collectors import running_collector
from tests.frames import camera_frame, record_of
from tests.stage import CAMERAS, Stage

RESULT = Path(__file__).parent / "results" / "tracing.json"
VARIANTS: dict[str, float | None] = {"before": None, "off": None, "ratio_0.01": 0.01, "ratio_1": 1.0}
"""Share of the frames that are traced. `before`: without what is done for each frame also where nothing is traced."""

Records = list[tuple[int, bytes, bytes, list[tuple[str, bytes | None]]]]


def frames(count: int) -> Records:
    """Return the records of so many frames, the cameras in turn."""
    now_us = SystemClock().wall_us()
    return [
        (seq % len(CAMERAS), *record_of(camera_frame(CAMERAS[seq % len(CAMERAS)], seq, now_us))) for seq in range(count)
    ]


@contextmanager
def as_before() -> Iterator[None]:
    """Leave out the search for a traceparent, the exemplars and the question whether a verdict is logged."""
    with (
        patch.object(Tracer, "join", lambda _self, _headers: Joined()),
        patch.object(sink, "exemplar_labels", lambda _frame: None),
        patch.object(sink, "_tell", lambda _outgoing: None),
    ):
        yield


async def cpu_seconds(records: Records, tracing: dict[str, object]) -> float:
    """Return what the service takes from its first frame to its end."""
    bus = MemoryBus(TopicSettings())
    stage = Stage(bus)
    settings = stage.settings(tracing=tracing, deadline={"default_budget_ms": 3_600_000}, device_threads=1)
    await bus.make_topics(settings)
    results = bus.topics.results_topic("", "")
    async with stage.service(settings, clock=SystemClock()) as service:
        while service.health.not_ready():
            await asyncio.sleep(0.01)
        begun_s = time.process_time()
        for record in records:
            await bus.publish(*record)
        while len(bus.broker.records(results)) < len(records):
            await asyncio.sleep(0.2)
    return time.process_time() - begun_s


def measure(records: Records, rounds: int, url: str) -> dict[str, list[float]]:
    """Return the CPU microseconds a frame of each variant in each round."""
    found: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for number in range(-1, rounds):  # the first round warms up
        names = list(VARIANTS)
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            ratio = VARIANTS[name]
            tracing: dict[str, object] = {} if ratio is None else {"endpoint": url, "sample_ratio": ratio}
            if name == "before":
                with as_before():
                    seconds = asyncio.run(cpu_seconds(records, tracing))
            else:
                seconds = asyncio.run(cpu_seconds(records, tracing))
            if number >= 0:
                found[name].append(seconds / len(records) * 1e6)
    return found


def summary(found: dict[str, list[float]]) -> dict[str, Any]:
    """Return the median of each variant, and of its differences and ratios to `before`, with their quartiles."""
    told: dict[str, Any] = {}
    for name, values in found.items():
        pairs = list(zip(values, found["before"], strict=True))
        told[name] = {
            "cpu_us_per_frame": round(statistics.median(values), 1),
            "added_us_per_frame": _quartiles([value - before for value, before in pairs], 1),
            "ratio": _quartiles([value / before for value, before in pairs], 4),
            "rounds_us": [round(value, 1) for value in values],
        }
    return told


def _quartiles(values: list[float], digits: int) -> dict[str, float]:
    low, middle, high = statistics.quantiles(values, n=4)
    return {
        "median": round(middle, digits),
        "first_quartile": round(low, digits),
        "third_quartile": round(high, digits),
    }


@contextmanager
def collector_process() -> Iterator[str]:
    """Run a collector whose CPU time is not ours; gives its address."""
    command = [sys.executable, "-m", "tests.benchmarks.tracing", "--collector"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None or process.stdin is None:
            raise RuntimeError("the collector has no pipes")
        yield process.stdout.readline().strip()
        process.stdin.close()  # it ends


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.tracing", description=__doc__)
    parser.add_argument("--frames", type=int, default=1000, help="of each variant in each round (default: 1000)")
    parser.add_argument("--rounds", type=int, default=12, help="at least 2 (default: 12)")
    parser.add_argument("--keep", action="store_true", help=f"also write {RESULT.name}")
    parser.add_argument("--collector", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.collector:
        with running_collector() as collector:
            print(collector.url, flush=True)
            sys.stdin.read()
        return 0
    load = Load(None)
    with collector_process() as url:
        found = measure(frames(arguments.frames), arguments.rounds, url)
    told: dict[str, Any] = {"frames": arguments.frames, "variants": summary(found), "load": load.shares()}
    if arguments.keep:
        write_store(RESULT, told)
    print(json.dumps(told, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
