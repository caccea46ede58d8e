"""`python -m tests.benchmarks.archive`: many small frames through the archive, killed again and again: stored = wanted, index = files.

Frames and their results are there before the archive begins, so it works as fast as it can. The account of what it should hold is
made here, from what was sent, by none of its code. The processor time is that of all of the archive's processes, from their starts
to their ends, as the kernel tells it.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pyarrow.parquet as pq
from aiokafka import TopicPartition

from deploy.local.base import LOOPBACK, free_port
from deploy.local.broker import CHECKOUT, running_kafka_broker
from inspector.bus.connect import consumer_client, producer_client, start_client
from inspector.clients.topics import apply_topics
from inspector.settings.settings import Settings
from schemas import RecordSource, encode, frame_headers, result_headers
from tests.archives import frame_of, result_of
from tests.benchmarks.store import write_store

CAMERAS = tuple(f"C{number}" for number in range(8))
PICTURE_BYTES = 2_000
OK_PER_DAY, UNINSPECTED_PER_DAY, NEAR = 200, 50, 0.1
SCORES: tuple[tuple[float | None, float], ...] = ((0.2, 0.92), (0.47, 0.03), (0.8, 0.03), (None, 0.02))
"""And their shares: ok, near, nok, not inspected."""
GIVE_UP_S = 3_600.0


class Sent(NamedTuple):
    """What was sent of a frame."""

    camera: str
    score: float | None
    digest: str


def settings_of(bootstrap: str, folder: Path) -> tuple[Settings, Path]:
    """Return the settings, and the file that says the same."""
    name = f"archive{os.getpid()}"
    values: dict[str, Any] = {
        "kafka": {"bootstrap_servers": bootstrap, "group_id": name},
        "topics": {"prefix": name},
        "archive": {
            "url": str(folder / "archive"),
            "group_id": f"{name}-archive",
            "ok_per_day": OK_PER_DAY,
            "uninspected_per_day": UNINSPECTED_PER_DAY,
            "near": NEAR,
            "flush_ms": 500,
        },
    }
    file = folder / "archive.toml"
    lines = [
        line
        for table, keys in values.items()
        for line in (f"[{table}]", *(f"{k} = {json.dumps(v)}" for k, v in keys.items()))
    ]
    file.write_text("\n".join(lines) + "\n")
    return Settings.model_validate(values), file


async def send(settings: Settings, frames: int, seed: int) -> dict[str, Sent]:
    """Send frames, then their results; return what was sent by `result_id`."""
    chance = random.Random(seed)
    topics = settings.topics
    producer = producer_client(settings.kafka, linger_ms=20, max_batch_size=256 * 1024)
    await start_client(producer)
    sent: dict[str, Sent] = {}
    try:
        for first in range(0, frames, 2_000):
            at_us = time.time_ns() // 1000
            pairs = []
            for seq in range(first, min(first + 2_000, frames)):
                score = chance.choices([s for s, _ in SCORES], [share for _, share in SCORES])[0]
                result = result_of(seq, score, at_us=at_us, camera_id=chance.choice(CAMERAS))
                frame = frame_of(result, chance.randbytes(PICTURE_BYTES))
                key = f"{frame.line_id}/{frame.camera_id}".encode()
                waiting = await producer.send(topics.frames_topic, encode(frame), key, headers=frame_headers(frame))
                sent[result.result_id] = Sent(frame.camera_id, score, hashlib.sha256(frame.image).hexdigest())
                pairs.append((result, key, waiting))
            for result, key, waiting in pairs:
                place = await waiting
                source = RecordSource(topic=topics.frames_topic, partition=place.partition, offset=place.offset)
                answer = result.model_copy(update={"source": source})
                await producer.send(topics.results_topic("", ""), encode(answer), key, headers=result_headers(answer))
        await producer.flush()
    finally:
        await producer.stop()
    return sent


def wanted(sent: dict[str, Sent]) -> dict[str, str]:
    """Return which pictures the archive should hold, with the digests of their bytes."""
    found: dict[str, str] = {}
    for camera in CAMERAS:
        mine = {name: one for name, one in sent.items() if one.camera == camera}
        ok_ids = sorted(name for name, one in mine.items() if one.score is not None and one.score < 0.5)
        odd_ids = sorted(name for name, one in mine.items() if one.score is None)
        kept = {*ok_ids[:OK_PER_DAY], *odd_ids[:UNINSPECTED_PER_DAY]}
        kept |= {name for name, one in mine.items() if one.score is not None and one.score >= 0.5 * (1 - NEAR)}
        found |= {name: mine[name].digest for name in kept}
    return found


def stored(root: Path) -> tuple[dict[str, str], int]:
    """Return what the index names with the digests of the files as they lie there, and how many files there are."""
    rows = [row for file in root.rglob(".index/*.parquet") for row in pq.read_table(file).to_pylist()]
    digests = {row["result_id"]: hashlib.sha256((root / row["file"]).read_bytes()).hexdigest() for row in rows}
    if len(digests) != len(rows):
        raise SystemExit(f"{len(rows) - len(digests)} rows come twice")
    pictures = [path for path in root.rglob("*") if path.is_file() and path.suffix == ".png"]
    return digests, len(pictures)


class Archive:
    """The archive's process, started again after each kill; counts the processor time of all of them."""

    def __init__(self, file: Path, log: Path) -> None:
        """Prepare; nothing runs before `start`."""
        self._command = [sys.executable, "-m", "inspector", "archive", "--config", str(file)]
        self._log = log
        self.cpu_s = 0.0
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def run_once(self, option: str) -> None:
        """Run a command that ends."""
        subprocess.run([*self._command, option], check=True, cwd=CHECKOUT)

    def start(self) -> None:
        """Start it."""
        self._port = free_port()
        environment = os.environ | {"INSPECTOR_ARCHIVE__HTTP_PORT": str(self._port)}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, cwd=CHECKOUT, env=environment)

    def is_ready(self) -> bool:
        """Whether it says that it is."""
        try:
            urllib.request.urlopen(f"http://{LOOPBACK}:{self._port}/readyz", timeout=5).close()
        except OSError:
            return False
        return True

    def end(self, number: signal.Signals) -> int:
        """End it with a signal; return its status."""
        process = self._process
        if process is None:
            raise RuntimeError("it does not run")
        process.send_signal(number)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_s += usage.ru_utime + usage.ru_stime
        return process.returncode


class Progress:
    """How far the group has come."""

    def __init__(self, settings: Settings) -> None:
        """Prepare; `start` connects."""
        kafka = settings.kafka.model_copy(update={"group_id": settings.archive.group_id})
        self._topic = settings.topics.results_topic("", "")
        self._places = [TopicPartition(self._topic, number) for number in range(settings.topics.frames_partitions)]
        self._consumer = consumer_client(kafka, group_id=kafka.group_id)

    async def start(self) -> int:
        """Connect, as a reader of offsets alone; return how many results there are."""
        await start_client(self._consumer)
        self._consumer.assign(self._places)
        return sum((await self._consumer.end_offsets(self._places)).values())

    async def committed(self) -> int:
        """Return how many results the group has committed."""
        return sum([await self._consumer.committed(place) or 0 for place in self._places])

    async def stop(self) -> None:
        """Disconnect."""
        await self._consumer.stop()


async def measure(bootstrap: str, folder: Path, *, frames: int, kills: int, seed: int) -> dict[str, Any]:
    """Run the campaign once."""
    settings, file = settings_of(bootstrap, folder)
    await apply_topics(settings, replication=1)
    begun = time.monotonic()
    sent = await send(settings, frames, seed)
    print(f"{frames} frames and results sent in {time.monotonic() - begun:.0f} s", file=sys.stderr)
    archive = Archive(file, folder / "archive.log")
    archive.run_once("--create")
    progress = Progress(settings)
    total = await progress.start()
    chance = random.Random(seed)
    marks = sorted(chance.randrange(total // 20, total * 19 // 20) for _ in range(kills))
    begun = time.monotonic()
    killed_at: list[int] = []
    for mark in [*marks, total]:
        archive.start()
        while (done := await progress.committed()) < mark:
            if time.monotonic() - begun > GIVE_UP_S:
                raise SystemExit(f"only {done} of {total} results; see {folder}")
            await asyncio.sleep(0.05)
        if mark < total:
            await asyncio.sleep(chance.random())  # anywhere in the middle of a flush
            archive.end(signal.SIGKILL)
            killed_at.append(done)
    while not await asyncio.to_thread(archive.is_ready):
        await asyncio.sleep(0.1)
    status = archive.end(signal.SIGTERM)
    seconds = time.monotonic() - begun
    await progress.stop()
    archive.run_once("--verify")
    expected = wanted(sent)
    found, num_files = stored(folder / "archive")
    return {
        "frames": frames,
        "picture_bytes": PICTURE_BYTES,
        "kills": len(killed_at),
        "killed_at_results": killed_at,
        "wanted": len(expected),
        "stored": len(found),
        "missing": len(expected.keys() - found.keys()),
        "not_wanted": len(found.keys() - expected.keys()),
        "altered": sum(found[name] != digest for name, digest in expected.items() if name in found),
        "files": num_files,
        "exit_status": status,
        "seconds": round(seconds, 1),
        "cpu_ms_per_frame": round(1000 * archive.cpu_s / frames, 4),
        "cpu_ms_per_stored": round(1000 * archive.cpu_s / max(1, len(found)), 2),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the figures; status 1 where anything is missing, altered or too much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "archive.json")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        running = os.environ.get("KAFKA_BOOTSTRAP")
        options = {"frames": given.frames, "kills": given.kills, "seed": given.seed}
        if running:
            figures = asyncio.run(measure(running, Path(folder), **options))
        else:
            with running_kafka_broker(Path(folder)) as broker:
                figures = asyncio.run(measure(broker.bootstrap_servers, Path(folder), **options))
    figures["load_average"] = psutil.getloadavg()[0]
    print(json.dumps(figures, indent=1))
    write_store(
        given.out,
        {
            "archive": figures,
            "command": f"python -m tests.benchmarks.archive --frames {given.frames} --kills {given.kills}",
        },
    )
    faults = figures["missing"] + figures["not_wanted"] + figures["altered"] + (figures["files"] != figures["stored"])
    return 1 if faults or figures["exit_status"] else 0


if __name__ == "__main__":
    sys.exit(main())
