"""Models are exchanged while frames flow, every fourth time by a broken bundle: what is judged by it, lost, reordered, delayed, kept?"""

from __future__ import annotations

import asyncio
import itertools
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgpack
from aiokafka.admin import NewTopic
from scipy.stats import theilslopes

from inspector.releases.edit import with_active
from inspector.releases.journal import Change, Journal, connect_journal
from inspector.settings.file import load_settings
from schemas import BundleReference, LiveChanges
from tests.chaos.campaign import Campaign, Context
from tests.chaos.checker import Record, judge
from tests.chaos.frames import LINE
from tests.chaos.reading import administering, read_topics
from tests.chaos.releasing import KINDS, REASONS, Broken, Workshop
from tests.chaos.verdicts import add_rows
from tests.chaos.worker import Worker
from tests.chaos.world import World, running_world

CAMERAS = 3
EVERY = 4
"""One swap in so many is of a broken bundle."""
SOUND = 4
"""Bundles that take turns on a camera: each swap is to another model, and the cache holds them all."""
SWAP_S = 120.0
CONFIDENCE = 0.95
WARM_SHARE = 0.2
WITHIN_MS = 1000
"""By so much longer than elsewhere a camera may be silent around a swap."""


class Swap(NamedTuple):
    """One release, and what became of it."""

    camera: str
    bundle: BundleReference
    kind: Broken | None
    took_s: float
    rss_mb: float


async def run(context: Context) -> None:
    """Swap, look, judge."""
    folder = context.folder / "releases"
    workshop = await asyncio.to_thread(Workshop, context.bundle(), folder)
    settings = {
        "models.tiny": str(workshop.signed),
        "releases.store": workshop.place.url,
        "releases.cache": str(folder / "cache"),
        "require_signature": True,
        "trusted_keys": [str(workshop.public)],
    }
    async with running_world(context, cameras=CAMERAS, settings=settings) as world:
        topics = {name: f"{world.prefix}.{name}" for name in ("models", "audit")}
        async with administering(world.servers) as admin:
            compacted = {"cleanup.policy": "compact"}
            await admin.create_topics(
                [NewTopic(topics["models"], 1, 1, topic_configs=compacted), NewTopic(topics["audit"], 1, 1)]
            )
        worker = world.worker()
        worker.start()
        await world.until_settled()
        async with (
            connect_journal(load_settings(world.settings_file), writes=True) as journal,
            world.flowing(context.counts["rate"]),
        ):
            swaps = await _swap(world, worker, journal, workshop)
            await asyncio.sleep(2)
        await world.until_answered()
        evidence = await world.evidence()
        told = [msgpack.unpackb(record.value) for record in await read_topics(world.servers, topics["audit"])]
    add_rows(context, judge(evidence))
    _add_rows(context, swaps, evidence.results, told)


async def _swap(world: World, worker: Worker, journal: Journal, workshop: Workshop) -> list[Swap]:
    context = world.context
    cameras = list(world.cameras)
    sound = [await asyncio.to_thread(workshop.sound, number) for number in range(SOUND)]
    kinds = itertools.cycle(KINDS)
    swaps: list[Swap] = []
    for number in range(context.counts["swaps"]):
        if context.is_stopping:
            break
        camera = cameras[number % CAMERAS]
        kind = next(kinds) if number % EVERY == EVERY - 1 else None
        bundle = sound[number % SOUND] if kind is None else await asyncio.to_thread(workshop.broken, kind, number)
        before = worker.metric("inspector_releases_refused_total", camera=f"{LINE}/{camera}")
        begun_s = asyncio.get_running_loop().time()
        edit = partial(with_active, bundle=bundle, changes=LiveChanges())
        written = await journal.change(LINE, camera, Change("release", edit, "chaos"))
        await world.until(
            partial(_is_done, worker, f"{LINE}/{camera}", written.release.number, before),
            f"release {written.release.number} of {camera} was applied or refused",
            timeout_s=SWAP_S,
        )
        took_s = asyncio.get_running_loop().time() - begun_s
        swaps.append(Swap(f"{LINE}/{camera}", bundle, kind, took_s, _rss_mb(worker)))
        if number % 20 == 19:
            context.say(f"swap {number + 1}: {swaps[-1].took_s:.1f} s, {swaps[-1].rss_mb:.0f} MB")
    return swaps


def _is_done(worker: Worker, camera: str, number: int, refused_before: float) -> bool:
    return (
        worker.metric("inspector_release_number", camera=camera) == number
        or worker.metric("inspector_releases_refused_total", camera=camera) > refused_before
    )


def _rss_mb(worker: Worker) -> float:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024


def _add_rows(
    context: Context, swaps: Sequence[Swap], results: Sequence[Record], told: Sequence[Mapping[str, object]]
) -> None:
    broken = {swap.bundle.model.digest: swap.kind for swap in swaps if swap.kind is not None}
    judged = Counter(_model(record) for record in results)
    bad = {broken[digest]: count for digest, count in judged.items() if digest in broken}
    context.row(
        "no broken bundle judges a frame",
        trials=len(broken),
        figure=f"{len(bad)} of {len(broken)} broken bundles judged{f': {bad}' if bad else ''}",
        held=bool(broken) and not bad,
        kinds=dict(Counter(broken.values())),
    )
    sound = [swap for swap in swaps if swap.kind is None]
    applied = sum(record["action"] == "applied" for record in told)
    context.row(
        "every sound bundle is applied, and every refusal is on record with its reason",
        trials=len(swaps),
        figure=f"{applied} applied of {len(sound)}, {len(swaps) - len(sound)} refused: {_reasons(told)}",
        held=applied == len(sound) and _reasons_fit(swaps, told),
    )
    gaps_ms, normal_ms = gaps_of(results, told)
    context.row(
        "around a swap its camera falls silent no longer than it does without one, by 1 s at most",
        trials=len(gaps_ms),
        figure=f"median {statistics.median(gaps_ms):.0f} ms, longest {max(gaps_ms):.0f} ms; elsewhere median "
        f"{statistics.median(normal_ms):.0f} ms, longest {max(normal_ms):.0f} ms",
        held=max(gaps_ms) <= max(normal_ms) + WITHIN_MS,
        is_time=True,
        gaps_ms=sorted(gaps_ms)[-20:],
        seconds=[round(swap.took_s, 2) for swap in swaps],
    )
    warm = swaps[int(len(swaps) * WARM_SHARE) :]
    most = context.counts["most_mb"]
    slope, _, low, high = (
        100 * float(value) for value in theilslopes([swap.rss_mb for swap in warm], range(len(warm)), CONFIDENCE)
    )
    context.row(
        f"the memory of replaced models is given back (a leak: more than {most} MB in 100 swaps for certain)",
        trials=len(warm),
        figure=f"{slope:.1f} MB in 100 swaps (Theil-Sen, {CONFIDENCE:.0%}: {low:.1f} to {high:.1f}); {warm[0].rss_mb:.0f} MB, then {warm[-1].rss_mb:.0f}",
        held=low <= most,
        rss_mb=[round(swap.rss_mb, 1) for swap in swaps],
    )


def _model(record: Record) -> str:
    return str((msgpack.unpackb(record.value).get("model") or {}).get("digest"))


def _reasons(told: Sequence[Mapping[str, object]]) -> dict[str, int]:
    refused = (record for record in told if record["action"] == "refused")
    return dict(Counter(str(record["detail"]).partition(":")[0] for record in refused))


def _reasons_fit(swaps: Sequence[Swap], told: Sequence[Mapping[str, object]]) -> bool:
    """Whether each broken bundle was refused for what is wrong with it: refusals stand in the order of the swaps."""
    found = [str(record["detail"]).partition(":")[0] for record in told if record["action"] == "refused"]
    wanted = [REASONS[swap.kind] for swap in swaps if swap.kind is not None]
    return len(found) == len(wanted) and all(reason in fits for reason, fits in zip(found, wanted, strict=True))


def gaps_of(results: Sequence[Record], told: Sequence[Mapping[str, object]]) -> tuple[list[float], list[float]]:
    """Return the gaps (ms) between two results of a camera in which a swap of it lies, and all others."""
    arrived: dict[str, list[int]] = {}
    for record in results:
        arrived.setdefault(record.key.decode(), []).append(record.timestamp_ms)
    swapped: dict[str, list[float]] = {}
    for link in told:
        if link["action"] == "applied":
            swapped.setdefault(f"{link['line_id']}/{link['camera_id']}", []).append(float(str(link["at"])) / 1000)
    around: list[float] = []
    elsewhere: list[float] = []
    for camera, times in arrived.items():
        for before, after in itertools.pairwise(sorted(times)):
            has_swap = any(before <= at <= after for at in swapped.get(camera, ()))
            (around if has_swap else elsewhere).append(float(after - before))
    return around or [0.0], elsewhere or [0.0]


CAMPAIGN = Campaign(
    name="swaps",
    summary="models exchanged under load, every fourth by a broken bundle",
    full={"swaps": 200, "rate": 10, "most_mb": 10},
    # So few say nothing of memory: malloc's heaps and caches grow by more.
    smoke={"swaps": 4, "rate": 5, "most_mb": 5_000},
    run=run,
    mutations={"golden_unchecked": "no broken bundle judges"},
    mutated={"swaps": 4, "rate": 5, "most_mb": 5_000},
)
