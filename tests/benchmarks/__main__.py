"""`python -m tests.benchmarks`: measures, prints one JSON object; see the package's own words."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from deploy.local.base import Broker
from deploy.local.broker import CHECKOUT, running_broker
from inspector.anomaly.network.cores import usable_cores
from inspector.clients.topics import apply_topics
from inspector.settings.kafka import KafkaSettings
from inspector.settings.settings import Settings
from tests.benchmarks import end_to_end, material
from tests.benchmarks.alone import AloneSetting
from tests.benchmarks.machine import Load, describe_machine, describe_software

RESULTS = Path(__file__).parent / "results"
TRIED_SECONDS = 1.5
BUSY_SHARE = 0.05
"""Of the machine's cores; where other processes take more, the figures say as much about them as about us."""

WAITING: dict[str, dict[str, str]] = {"spinning": {}, "passive": {"OMP_WAIT_POLICY": "passive"}}
"""How the threads of one forward pass wait for each other: as OpenMP's own default has it, or asleep as in the service.

Spinning is faster on a machine that has nothing else to do, and many times as slow on one that has. A forward pass on one
thread waits for nobody.
"""

FINALISTS = 2
"""How many of the settings that were tried are measured in earnest; the best of those is what the service is compared with."""

MEASURED_SETTINGS = {"limits", "batching", "decode_threads", "device_threads", "torch_threads"}

Figure = dict[str, float]


class Way(NamedTuple):
    """A setting of `alone` (`AloneSetting` as text) or of `plain_loop` (torch threads), and how its threads wait."""

    waiting: str
    setting: str


class Bench:
    """The measurements of one session, on one broker."""

    def __init__(self, folder: Path, broker: Broker, *, frames: int, seconds: float) -> None:
        """Prepare; `prepare` makes model, frames and topics."""
        self.folder, self.broker, self.frames, self.seconds = folder, broker, frames, seconds
        self.cores = usable_cores()
        self.kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers, idempotent=broker.supports_idempotence)
        self.bundle = folder / "bundle"
        self.pictures = folder / "frames"

    async def prepare(self) -> None:
        """Draw the pictures, train, fill the frames topic."""
        _say("training the model and filling the topic")
        material.write_pictures(self.folder)
        material.train(self.folder)
        self.settings: Settings = end_to_end.service_settings(self.kafka, self.bundle, cores=self.cores)
        self.settings_file = end_to_end.write_settings(self.folder / "inspector.toml", self.settings)
        await apply_topics(self.settings, replication=1)
        pictures = material.read_pictures(self.pictures)
        self.picture_bytes = statistics.mean(map(len, pictures))
        topic = self.settings.topics.frames_topic
        await material.preload(self.kafka, topic, self.settings.cameras, pictures, self.frames)

    def alone(self, waiting: str, settings: Sequence[str], seconds: float) -> list[Figure]:
        """Measure decode and forward pass without Kafka, a figure for each setting."""
        arguments = [str(self.bundle), str(self.pictures), str(seconds), *settings]
        return _process("alone", arguments, WAITING[waiting])  # type: ignore[no-any-return]

    def plain_loop(self, waiting: str, threads: Sequence[str], seconds: float) -> list[Figure]:
        """Measure the plain loop, a figure for each number of threads."""
        topics = self.settings.topics
        arguments = [topics.frames_topic, topics.results_topic("", ""), str(seconds), *threads]
        arguments = [str(self.bundle), self.broker.bootstrap_servers, *arguments]
        return _process("plain_loop", arguments, WAITING[waiting])  # type: ignore[no-any-return]

    async def end_to_end(self) -> Figure:
        """Measure the service."""
        return await end_to_end.measure(self.settings_file, self.settings, self.frames, self.broker.pid)

    def stages(self, malloc: str) -> dict[str, Any]:
        """Measure what each stage costs."""
        arguments = [str(self.bundle), str(self.pictures), malloc]
        return _process("stages", arguments, WAITING["passive"])  # type: ignore[no-any-return]

    def best_alone(self) -> list[Way]:
        """Try the settings of `alone`; return the best."""
        spread = [AloneSetting(batch, 1, self.cores, 1) for batch in (4, 8)]
        side_by_side = [AloneSetting(batch, self.cores, 1, decode) for batch in (1, 2, 4, 8) for decode in (0, 1)]
        ways = [*_ways(WAITING, spread), *_ways(["passive"], side_by_side)]
        return _best(ways, self.alone)

    def best_plain_loop(self) -> list[Way]:
        """Try the settings of the plain loop; return the best."""
        return _best([*_ways(["passive"], [[1]]), *_ways(WAITING, [[self.cores]])], self.plain_loop)


def _ways(waiting: Iterable[str], settings: Iterable[Iterable[int]]) -> list[Way]:
    return [Way(kind, ",".join(map(str, setting))) for setting in settings for kind in waiting]


def _best(ways: Sequence[Way], measure: Callable[[str, Sequence[str], float], list[Figure]]) -> list[Way]:
    """Try all; return the fastest few, which tell more when they are measured again than the luck of one try does."""
    rates: dict[Way, float] = {}
    for waiting in WAITING:
        texts = [way.setting for way in ways if way.waiting == waiting]
        for text, figure in zip(texts, measure(waiting, texts, TRIED_SECONDS) if texts else [], strict=True):
            rates[Way(waiting, text)] = figure["frames_per_s"]
    _say(f"  {', '.join(f'{way.waiting} ({way.setting}) {rate:.1f}' for way, rate in rates.items())} frames/s")
    return sorted(rates, key=lambda way: -rates[way])[:FINALISTS]


def _process(module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Any:
    """Run a measurement as a process of its own, whose threads and memory no other has touched."""
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *arguments]
    done = subprocess.run(
        command, cwd=CHECKOUT, env=os.environ | dict(environment), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{module} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def measure(bench: Bench, repeats: int) -> dict[str, Any]:
    """Measure everything; the three in turn, `repeats` times."""
    await bench.prepare()
    _say("looking for the best settings: batch, device, torch and decoding threads; torch threads of the plain loop")
    alone: dict[Way, list[Figure]] = {way: [] for way in bench.best_alone()}
    loop: dict[Way, list[Figure]] = {way: [] for way in bench.best_plain_loop()}
    service: list[Figure] = []
    load = Load(bench.broker.pid)
    for number in range(repeats):
        for way, figures in alone.items():
            figures.extend(bench.alone(way.waiting, [way.setting], bench.seconds))
        for way, figures in loop.items():
            figures.extend(bench.plain_loop(way.waiting, [way.setting], bench.seconds))
        service.append(await bench.end_to_end())
        rates = [figures[-1]["frames_per_s"] for figures in (*alone.values(), *loop.values(), service)]
        _say(f"repeat {number + 1} of {repeats}: {', '.join(f'{rate:.1f}' for rate in rates)} frames/s")
    shares = load.shares()
    if shares["others_share"] + shares["stolen_share"] > BUSY_SHARE:
        _say(f"this machine was busy with other things: {shares}")
    tuned, untuned = bench.stages("tuned"), bench.stages("untuned")
    return _report(bench, _fastest(alone), _fastest(loop), service) | {
        "stages": tuned,
        "malloc_gain": {
            size: untuned["forward_ms_per_frame"][size] / cost for size, cost in tuned["forward_ms_per_frame"].items()
        },
        "load": shares,
    }


def _fastest(measured: Mapping[Way, list[Figure]]) -> tuple[Way, list[Figure]]:
    return max(measured.items(), key=lambda item: _median(item[1], "frames_per_s"))


def _report(
    bench: Bench, alone: tuple[Way, list[Figure]], loop: tuple[Way, list[Figure]], service: list[Figure]
) -> dict[str, Any]:
    rates = [_median(figures, "frames_per_s") for figures in (alone[1], loop[1], service)]
    chosen = AloneSetting(*map(int, alone[0].setting.split(",")))
    settings = bench.settings.model_dump(mode="json", include=MEASURED_SETTINGS)
    return {
        "alone": _summary(alone[1]) | chosen._asdict() | {"waiting": alone[0].waiting},
        "plain_loop": _summary(loop[1]) | {"torch_threads": int(loop[0].setting), "waiting": loop[0].waiting},
        "end_to_end": _summary(service)
        | {name: _median(service, name) for name in ("broker_cpu_ms_per_frame", "batch_frames")}
        | {"frames": bench.frames, "inspected": bench.frames, "defects": int(service[0]["defects"])}
        | {"settings": settings | {"partition_fetch_bytes": bench.settings.partition_fetch_bytes}},
        "end_to_end_by_alone": rates[2] / rates[0],
        "end_to_end_by_plain_loop": rates[2] / rates[1],
        "broker": bench.broker.name,
        "frame": {
            "width": material.WIDTH,
            "height": material.HEIGHT,
            "jpeg_quality": material.JPEG_QUALITY,
            "mean_bytes": round(bench.picture_bytes),
        },
        "model": {"input": [material.INPUT_WIDTH, material.INPUT_HEIGHT], "detector": "padim"},
        "software": describe_software(),
    }


def _summary(figures: Sequence[Figure]) -> dict[str, Any]:
    return {
        "frames_per_s": _median(figures, "frames_per_s"),
        "cpu_ms_per_frame": _median(figures, "cpu_ms_per_frame"),
        "repeats": [figure["frames_per_s"] for figure in figures],
    }


def _median(figures: Sequence[Figure], name: str) -> float:
    return statistics.median(figure[name] for figure in figures)


def _round(value: Any) -> Any:
    """Four significant digits, in whatever depth."""
    if isinstance(value, dict):
        return {key: _round(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_round(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main() -> int:
    """Measure and print; 1 if a figure is void."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--frames", type=int, default=900, help="through the service in each repeat (default: 900)")
    parser.add_argument("--repeats", type=int, default=5, help="of each measurement, in turn (default: 5)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each other measurement (default: 5)")
    parser.add_argument("--keep", metavar="NAME", help="also write tests/benchmarks/results/NAME.json")
    arguments = parser.parse_args()
    machine = describe_machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "broker").mkdir()
        with running_broker(folder / "broker") as broker:
            bench = Bench(folder, broker, frames=arguments.frames, seconds=arguments.seconds)
            try:
                measured = asyncio.run(measure(bench, arguments.repeats))
            except end_to_end.VoidError as exc:
                _say(f"void: {exc}")
                return 1
    text = json.dumps(_round(measured) | {"machine": machine}, indent=2)
    if arguments.keep:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{arguments.keep}.json").write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
