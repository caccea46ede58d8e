"""What logs and traces cost: CPU time a frame of the service with a model that costs nothing, as it was before, without traces and with them.

    python -m tests.benchmarks.tracing [--frames N] [--rounds N] [--keep]

In each round every variant has the same frames, one after the other in an order that turns from round to round; what is told is the median over
the rounds of the difference and the ratio to `before` of the same round. CPU seconds of this process, all its threads: not the collector's, which is a
process of its own, and not the clock's, since machines are shared. What the service does by the clock (gauges four times a second) counts too, so on a machine that is
busy the figures of few frames are too large. `pieces` are the same steps by themselves: the median of many calls, in microseconds of their thread's CPU time.

`--keep` writes tests/benchmarks/results/tracing.json; with `--rounds 0` the rounds that it has stay.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from prometheus_client import CollectorRegistry

from inspector.bus.ports import ProducedRecord
from inspector.inflight.budget import Budget
from inspector.inflight.frame import Outgoing
from inspector.loop.clock import SystemClock
from inspector.observe.fields import exemplar_labels
from inspector.observe.metrics import Metrics
from inspector.settings.topics import TopicSettings
from inspector.settings.watch.tracing import TracingSettings
from inspector.stages import sink
from inspector.tracing.counts import TraceCounts
from inspector.tracing.export import OtlpExporter
from inspector.tracing.finished import finished_frame
from inspector.tracing.tracer import Joined, Tracer
from schemas import Identity, TraceContext
from tests.benchmarks.machine import Load
from tests.benchmarks.store import write_store
from tests.buses import MemoryBus
from tests.collectors import running_collector
from tests.frames import camera_frame, record_of
from tests.inflight import inflight_frame
from tests.stage import CAMERAS, Stage

RESULT = Path(__file__).parent / "results" / "tracing.json"
VARIANTS: dict[str, float | None] = {"before": None, "off": None, "ratio_0.01": 0.01, "ratio_1": 1.0}
"""Share of the frames that are traced. `before`: without what is done for each frame also where nothing is traced."""
NOW_US = 1_800_000_000_000_000

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


def pieces() -> dict[str, float]:
    """Return what each step takes by itself, in CPU microseconds of a frame."""
    counts = TraceCounts(CollectorRegistry())
    metrics = Metrics(CollectorRegistry(), ["line/a"])
    exporter = OtlpExporter(TracingSettings(endpoint="http://127.0.0.1:1"), counts, deployment="d", version="1")
    off, on = Tracer(counts), Tracer(counts, exporter, sample_ratio=0.01)
    plain = [("line_id", b"line"), ("camera_id", b"a"), ("part_id", b"part-1"), ("seq", b"1"), ("captured_at", b"1")]
    context = TraceContext("ab" * 16, "cd" * 8, is_sampled=True)
    frame = inflight_frame(Budget(1).hold(0))
    frame.identity, frame.trace, frame.batch_size = Identity("line", "a", "part-1", 1, 1), context, 8
    frame.stage_seconds = dict.fromkeys(("queue", "decode", "batch", "score", "encode", "sequence", "send"), 0.01)
    result = ProducedRecord("results", b"line/a", b"", [])
    outgoing = Outgoing(frame, "inspected", "none", result, anomaly_class="ok", score_ratio=0.5)
    labels = exemplar_labels(frame)
    finished = finished_frame(outgoing, context, NOW_US)

    def encoded() -> object:
        return encode_spans(list(exporter._maker.spans(finished))).SerializeToString()

    steps: dict[str, Callable[[], object]] = {
        "look for a traceparent": lambda: off.join(plain),
        "sample by ratio": lambda: on.join(plain),
        "read a traceparent": lambda: on.join([*plain, *context.headers()]),
        "labels of an exemplar": lambda: exemplar_labels(frame),
        "latency without exemplar": lambda: metrics.capture_to_result("line/a", 0.1),
        "latency with exemplar": lambda: metrics.capture_to_result("line/a", 0.1, labels),
        "is a verdict logged": lambda: sink._tell(outgoing),
        "keep a traced frame": lambda: finished_frame(outgoing, context, NOW_US),
        "make and encode its spans": encoded,
    }
    return {name: round(_call_us(step), 2) for name, step in steps.items()}


def _call_us(step: Callable[[], object], *, calls: int = 200, batches: int = 25) -> float:
    taken = []
    for _ in range(batches):
        begun_ns = time.thread_time_ns()
        for _ in range(calls):
            step()
        taken.append((time.thread_time_ns() - begun_ns) / calls / 1000)
    return statistics.median(taken)


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
    parser.add_argument("--rounds", type=int, default=12, help="0, or at least 2 (default: 12)")
    parser.add_argument("--keep", action="store_true", help=f"also write {RESULT.name}")
    parser.add_argument("--collector", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.collector:
        with running_collector() as collector:
            print(collector.url, flush=True)
            sys.stdin.read()
        return 0
    told: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    told["pieces"] = pieces()
    if arguments.rounds:
        load = Load(None)
        with collector_process() as url:
            found = measure(frames(arguments.frames), arguments.rounds, url)
        told |= {"frames": arguments.frames, "variants": summary(found), "load": load.shares()}
    if arguments.keep:
        write_store(RESULT, told)
    print(json.dumps(told, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
