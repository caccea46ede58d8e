"""A soak: a million small frames through one worker; does memory grow, do tasks, threads or file descriptors stay?

"A day's worth" counts frames, not hours.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from pathlib import Path
from typing import Any, NamedTuple

from scipy.stats import theilslopes

from tests.chaos.campaign import Campaign, Context
from tests.chaos.launcher import COUNTED_BY, TASKS_FILE
from tests.chaos.reading import Tail, producing
from tests.chaos.worker import Worker
from tests.chaos.world import World, running_world

MOST_WAITING = 600
"""Frames that are published and not answered: enough that the worker never waits, few enough that no queue grows."""

SAMPLES = 200
WARM_SHARE = 0.2
"""Of the frames; while caches, threads and malloc's heaps find their size, nothing is measured."""

MOST_MORE = 5
"""Tasks, threads, file descriptors: more than at the beginning; what comes and goes (a connection, a survey)."""

CONFIDENCE = 0.95
REST_S = 30.0


class Look(NamedTuple):
    """The worker at one moment."""

    frames: int
    rss_mb: float
    tasks: int
    threads: int
    descriptors: int


async def run(context: Context) -> None:
    """Feed one worker, look at it, fit a line."""
    tasks_file = context.folder / "tasks"
    async with running_world(context, settings={"limits.max_frames_in_flight": 256}) as world:
        # What a million frames would cost the campaign itself is not kept.
        world.tail = Tail(world.servers, world.topics["results"], keep=False)
        worker = world.worker(environment={TASKS_FILE: str(tasks_file)})
        worker.start()
        await world.until_settled()
        async with world.tail:
            looks = await _feed(world, worker, tasks_file)
            await world.until_answered()
            answered = len(world.tail.ids)
            # A result is seen here before its offset is committed there.
            with contextlib.suppress(TimeoutError):
                await world.until(lambda: not any(_rests(worker).values()), "nothing in flight", timeout_s=REST_S)
            rests = await asyncio.to_thread(_rests, worker)
    frames = context.counts["frames"]
    context.row(
        "every frame has a verdict",
        trials=frames,
        figure=f"{frames - answered} of {frames} missing",
        held=answered >= frames,
    )
    _add_rows(context, looks[int(len(looks) * WARM_SHARE) :], frames)
    context.row(
        "nothing stays in flight",
        trials=frames,
        figure=str({n: int(v) for n, v in rests.items()}),
        held=not any(rests.values()),
    )


def _rests(worker: Worker) -> dict[str, float]:
    return {name: worker.metric(name) for name in ("inspector_in_flight_frames", "inspector_in_flight_bytes")}


async def _feed(world: World, worker: Worker, tasks_file: Path) -> list[Look]:
    """Publish all frames, never too many at once; return what was seen meanwhile."""
    frames = world.context.counts["frames"]
    names = list(world.cameras)
    looks: list[Look] = []
    published = 0
    async with producing(world.servers, linger_ms=5) as producer:
        while published < frames or len(world.tail.ids) < published:
            room = min(frames - published, MOST_WAITING - (published - len(world.tail.ids)))
            sent: list[asyncio.Future[Any]] = [
                await world.send(producer, names[(published + number) % len(names)]) for number in range(max(0, room))
            ]
            published += len(sent)
            if sent:
                await asyncio.gather(*sent)
                world.acknowledged.clear()  # counted here, not kept
            answered = len(world.tail.ids)
            if answered >= len(looks) * frames / SAMPLES:
                looks.append(await _look(worker, tasks_file, answered))
                if len(looks) % (SAMPLES // 10) == 0:
                    world.context.say(f"{answered} frames: {looks[-1]}")
            await asyncio.sleep(0.05)
            assert worker.is_running, worker.log_tail()
    return looks


async def _look(worker: Worker, tasks_file: Path, frames: int) -> Look:
    before = len(_lines(tasks_file))
    worker.signal(COUNTED_BY)
    async with asyncio.timeout(30):
        while len(lines := _lines(tasks_file)) <= before:
            await asyncio.sleep(0.01)
    proc = Path(f"/proc/{worker.pid}")
    fields = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    return Look(
        frames,
        int(fields["VmRSS"].split()[0]) / 1024,
        int(lines[-1]),
        int(fields["Threads"]),
        len(list((proc / "fd").iterdir())),
    )


def _lines(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


def _add_rows(context: Context, looks: list[Look], frames: int) -> None:
    most_mb = context.counts["most_mb"]
    slope, _, low, high = (
        float(value) * 1e6
        for value in theilslopes([look.rss_mb for look in looks], [look.frames for look in looks], CONFIDENCE)
    )
    context.row(
        f"memory does not grow with the frames (a leak: more than {most_mb:,} MB per million for certain)",
        trials=frames,
        figure=f"{slope:.1f} MB per million frames (Theil-Sen, {CONFIDENCE:.0%}: {low:.1f} to {high:.1f}); "
        f"{looks[0].rss_mb:.0f} MB at the beginning, {looks[-1].rss_mb:.0f} at the end",
        held=low <= most_mb,
        looks=[look._asdict() for look in looks],
    )
    half = len(looks) // 2
    for what in ("tasks", "threads", "descriptors"):
        first, last = ([getattr(look, what) for look in part] for part in (looks[:half], looks[half:]))
        more = statistics.median(last) - statistics.median(first)
        context.row(
            f"{what} do not pile up",
            trials=len(looks),
            figure=f"median {statistics.median(first):.0f}, then {statistics.median(last):.0f}; at most {max(first + last)}",
            held=more <= MOST_MORE,
        )


CAMPAIGN = Campaign(
    name="soak",
    summary="many small frames through one worker",
    full={"frames": 1_000_000, "most_mb": 50},
    # So few frames show what grows by kilobytes a frame; malloc's heaps and caches still grow by two.
    smoke={"frames": 3_000, "most_mb": 8_000},
    run=run,
    mutations={"frames_kept": "memory does not grow"},
    mutated={"frames": 2_000, "most_mb": 8_000},
)
