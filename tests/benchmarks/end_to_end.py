"""`inspector run` from the frames topic to the results topic: a process of its own, measured by what it publishes.

The frames are there before it starts, so it is never short of work. What counts is the time between the results of two
frames in the middle of the run: start, warm-up and the last frames, for which nothing is left to decode, are outside. The
service reads little further ahead than it works (`SETTINGS`), so fetching goes on all the time that is measured.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.base import free_port
from deploy.local.broker import CHECKOUT
from inspector.bus.connect import consumer_client
from inspector.settings.kafka import KafkaSettings
from inspector.settings.settings import Settings
from schemas import DLResultMessage, decode

WARM_UP_SHARE = 0.2
POLL_S = 0.25
TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 60.0


class VoidError(Exception):
    """The run says nothing about throughput: a frame is missing or was not inspected."""


@dataclass(frozen=True)
class Sample:
    """What was seen at one moment: the results so far, and the processor seconds of the service and of the broker."""

    results: int
    service_cpu_s: float
    broker_cpu_s: float


def write_settings(path: Path, settings: Settings) -> Path:
    """Write the settings as the TOML file that `inspector run` reads: tables of plain values."""
    content = settings.model_dump(mode="json", exclude_unset=True)
    cameras, models = content.pop("cameras"), content.pop("models")
    plain = {key: value for key, value in content.items() if not isinstance(value, dict)}
    tables = {key: value for key, value in content.items() if isinstance(value, dict)} | {"models": models}
    lines = _assignments(plain)
    for name, table in tables.items():
        lines += [f"[{name}]", *_assignments(table)]
    for camera in cameras:
        lines += ["[[cameras]]", *_assignments(camera)]
    path.write_text("\n".join(lines) + "\n")
    return path


def _assignments(table: dict[str, Any]) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in table.items() if value is not None]


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else f'"{value}"'


async def measure(settings_file: Path, settings: Settings, frames: int, broker_pid: int | None) -> dict[str, float]:
    """Run the service over `frames` preloaded frames, in a new group; return what it achieved.

    Raises:
        VoidError: Not every frame has exactly one result of status `inspected`.
    """
    topic = settings.topics.results_topic("", "")
    watcher = consumer_client(settings.kafka, topic)
    await watcher.start()
    try:
        partitions = sorted(watcher.assignment())
        begin = await watcher.end_offsets(partitions)
        port = free_port()
        with (settings_file.parent / "inspector.log").open("ab") as log:
            process = _start(settings_file, port, log)
            try:
                samples = await _watch(watcher, begin, frames, process, broker_pid)
                batch = _mean_batch(port)
            finally:
                status = await _stop(process)
        if status != 0:
            raise VoidError(f"the service ended with {status}; see {settings_file.parent / 'inspector.log'}")
        results = await _read(watcher, begin, frames)
    finally:
        await watcher.stop()
    _check(results, frames)
    return _figures(results, samples, settings) | {"batch_frames": batch}


def _start(settings_file: Path, port: int, log: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "inspector", "run", "--config", str(settings_file)]
    environment = os.environ | {
        "INSPECTOR_HTTP__PORT": str(port),
        "INSPECTOR_KAFKA__GROUP_ID": f"bench-{uuid.uuid4().hex}",
    }
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=CHECKOUT, env=environment)


async def _stop(process: subprocess.Popen[bytes]) -> int:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return await asyncio.to_thread(process.wait, STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return await asyncio.to_thread(process.wait)


async def _watch(
    watcher: Any, begin: dict[Any, int], frames: int, process: subprocess.Popen[bytes], broker_pid: int | None
) -> list[Sample]:
    """Look now and then until there are results for all frames."""
    service = psutil.Process(process.pid)
    broker = None if broker_pid is None else psutil.Process(broker_pid)
    samples: list[Sample] = []
    give_up = time.monotonic() + TIMEOUT_S
    while not samples or samples[-1].results < frames:
        if process.poll() is not None:
            raise VoidError(f"the service ended with {process.returncode} before all frames had their results")
        if time.monotonic() > give_up:
            raise VoidError(f"only {samples[-1].results} of {frames} results after {TIMEOUT_S:.0f} s")
        await asyncio.sleep(POLL_S)
        ends = await watcher.end_offsets(list(begin))
        count = sum(ends[partition] - offset for partition, offset in begin.items())
        samples.append(Sample(count, _cpu_s(service), 0.0 if broker is None else _cpu_s(broker)))
    return samples


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _mean_batch(port: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        text = response.read().decode()
    values = {s.name: s.value for family in text_string_to_metric_families(text) for s in family.samples}
    return values["inspector_batch_frames_sum"] / values["inspector_batch_frames_count"]


async def _read(watcher: Any, begin: dict[Any, int], frames: int) -> list[DLResultMessage]:
    for partition, offset in begin.items():
        watcher.seek(partition, offset)
    results: list[DLResultMessage] = []
    give_up = time.monotonic() + TIMEOUT_S
    while len(results) < frames and time.monotonic() < give_up:
        chunks = await watcher.getmany(timeout_ms=200)
        results += [decode(DLResultMessage, record.value) for records in chunks.values() for record in records]
    return results


def _check(results: Sequence[DLResultMessage], frames: int) -> None:
    """Refuse a run that was fast because it did not do its work."""
    others = [result for result in results if result.status != "inspected"]
    if others:
        raise VoidError(f"{len(others)} frames were not inspected, e.g. {others[0].status}: {others[0].reason}")
    different = len({result.result_id for result in results})
    if not len(results) == different == frames:
        raise VoidError(f"{frames} frames have {len(results)} results, {different} different ones")


def _figures(results: Sequence[DLResultMessage], samples: Sequence[Sample], settings: Settings) -> dict[str, float]:
    times = sorted(result.produced_at for result in results)
    first = round(len(times) * WARM_UP_SHARE)
    # When the last frames are scored, nothing is decoded beside them any more.
    last = len(times) - 1 - 4 * settings.batching.max_batch_size
    if last <= first:
        raise VoidError(f"{len(times)} frames are too few to measure")
    warm = [sample for sample in samples if len(times) * WARM_UP_SHARE <= sample.results]
    counted = max(1, warm[-1].results - warm[0].results)
    return {
        "frames_per_s": (last - first) / ((times[last] - times[first]) / 1e6),
        "cpu_ms_per_frame": 1000 * (warm[-1].service_cpu_s - warm[0].service_cpu_s) / counted,
        "broker_cpu_ms_per_frame": 1000 * (warm[-1].broker_cpu_s - warm[0].broker_cpu_s) / counted,
        "defects": float(sum(result.anomaly_class == "nok" for result in results)),
    }


def service_settings(kafka: KafkaSettings, bundle: Path, *, cores: int) -> Settings:
    """Return the settings that are measured: those of a machine with few cores and no GPU.

    * Threads: a forward pass on each core, and one thread that decodes beside them.
    * Limits of what these cameras send, well below the defaults: fetches of 1 MiB, and some sixty frames read ahead.
    * A budget of time that no frame exceeds, as the frames wait in the topic from the beginning.
    """
    cameras = [
        {"line_id": "bench", "camera_id": f"camera-{number}", "model": "bench", "partition": number}
        for number in range(CAMERAS)
    ]
    return Settings.model_validate(
        {
            "kafka": kafka,
            "topics": {"prefix": "bench", "frames_partitions": CAMERAS},
            "models": {"bench": bundle},
            "cameras": cameras,
            "limits": {
                "max_frame_bytes": 900_000,
                "max_pixels": 4_000_000,
                "max_bytes_in_flight": 48 << 20,
                "max_frames_in_flight": 256,
            },
            "batching": {"max_batch_size": 4},
            "deadline": {"default_budget_ms": 6 * 3_600_000},
            "decode_threads": DECODE_THREADS,
            "device_threads": cores,
            "log_level": "warning",
        }
    )


CAMERAS = 4
DECODE_THREADS = 1
