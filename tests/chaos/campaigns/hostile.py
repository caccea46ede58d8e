"""A corpus of hostile inputs, each after a good frame of its camera; other cameras are watched all the while."""

from __future__ import annotations

import asyncio
import collections
import itertools
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from posixpath import normpath
from typing import Any
from urllib.parse import unquote

from aiokafka import AIOKafkaProducer

from schemas import CameraFrame, decode
from tests.chaos.campaign import Campaign, Context
from tests.chaos.checker import Evidence, FrameName, Record, body_of, judge
from tests.chaos.claims import Stores, hostile_stores
from tests.chaos.frames import LINE, Made
from tests.chaos.hostile import CODECS, Input, draw
from tests.chaos.reading import connected, producing, read_commits, read_topics
from tests.chaos.timing import camera_of
from tests.chaos.verdicts import add_rows
from tests.chaos.world import World, running_world
from tests.record_batches import Changed, with_bytes

ATTACKED, GIVEN_UP = "a", "d"
"""Cameras whose partitions get the hostile inputs; a partition with an open transaction is read no further, so these have their own."""

NEIGHBOURS = ("b", "c")
NEIGHBOUR_RATE = 5.0
PHASES = 10
"""Of each kind, in turn: without hostile inputs, for what is normal on this machine at this hour, and with them."""

STALL = 2.0
LARGEST_BYTES = 64 << 20


class Line:
    """Sends records and knows where each lies; nothing of the frames topic is read back, since plain readers die of it."""

    def __init__(self, world: World, rng: random.Random, stores: Stores) -> None:
        self.world, self._rng, self._claims = world, rng, stores.hostile()
        self._stores = stores
        self.records: list[Record] = []
        self.good: list[FrameName] = []
        self.sent: collections.Counter[str] = collections.Counter()
        self._producers: dict[str, Any] = {}
        self._pending: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Connect a producer for each way."""
        servers = self.world.servers
        large = {"max_request_size": LARGEST_BYTES, "enable_idempotence": False}
        async with AsyncExitStack() as stack:
            enter = stack.enter_async_context
            self._producers["plain"] = await enter(producing(servers))
            self._producers["nameless"] = await enter(producing(servers, enable_idempotence=False))
            for codec in CODECS:
                options = large | {"compression_type": codec, "max_batch_size": LARGEST_BYTES}
                self._producers[codec] = await enter(producing(servers, **options))
            self._producers["aborted"] = await enter(
                connected(
                    lambda: AIOKafkaProducer(bootstrap_servers=servers, transactional_id=f"{self.world.prefix}-t")
                )
            )
            yield
            await asyncio.gather(*self._pending)

    async def send_good(self, camera: str, *, claim: bool = False) -> None:
        """Send the next frame of a camera, which is to be inspected whatever stands around it."""
        made = self.world.frames.make(camera)
        if claim:  # of an ok picture
            made = made._replace(value=self._stores.sound(decode(CameraFrame, made.value)), kind="ok")
            self.world.frames.key[made.name] = "ok"
        self.good.append(made.name)
        await self._send(made, Input("good", made.value, list(made.headers)), camera)

    async def send_hostile(self) -> None:
        """Send a hostile input."""
        pictures = self.world.frames.pictures["ok"]
        made, camera = self.world.frames.make(ATTACKED), ATTACKED
        frame = decode(CameraFrame, made.value)
        hostile = draw(self._rng, frame, pictures, self._claims)
        if hostile.way == "aborted":
            made, camera = self.world.frames.make(GIVEN_UP), GIVEN_UP
            hostile = Input(hostile.what, made.value, list(made.headers), "aborted")
        self.world.frames.key[made.name] = "hostile"
        self.sent[hostile.what] += 1
        await self._send(made, hostile, camera)

    async def _send(self, made: Made, sent: Input, camera: str) -> None:
        """Hand it over in order; the acknowledgement, and with it the place, comes later."""
        partition, topic = self.world.cameras[camera], self.world.topics["frames"]
        producer = self._producers[sent.way]
        if sent.way == "aborted":
            await producer.begin_transaction()
            await producer.send_and_wait(topic, sent.value, made.key, partition=partition, headers=sent.headers)
            await producer.abort_transaction()
            return  # nobody is owed anything
        if sent.way == "plain":
            future = await producer.send(topic, sent.value, made.key, partition=partition, headers=sent.headers)
        else:
            # One producer must not overtake another.
            await asyncio.gather(*self._pending)
            future = await self._send_batch(producer, made, sent, partition)
        task = asyncio.create_task(self._note(future, made, sent))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
        if sent.way != "plain":
            await task

    async def _send_batch(self, producer: Any, made: Made, sent: Input, partition: int) -> Any:
        topic = self.world.topics["frames"]
        if sent.way != "nameless":
            return await producer.send(topic, sent.value, made.key, partition=partition, headers=sent.headers)
        batch = producer.create_batch()
        batch.append(timestamp=None, key=made.key, value=sent.value, headers=[*sent.headers, ("nameless", b"")])
        batch._builder = Changed(batch._builder, with_bytes(b"nameless", b"name\xff\xfe!!"))
        return await producer.send_batch(batch, topic, partition=partition)

    async def _note(self, future: Any, made: Made, sent: Input) -> None:
        placed = await future
        value = b"" if len(sent.value) > (2 << 20) else sent.value  # a bomb names nobody
        self.records.append(
            Record(
                placed.topic,
                placed.partition,
                placed.offset,
                placed.timestamp or 0,
                value,
                tuple(sent.headers),
                made.key,
            )
        )
        self.world.acknowledged.append(made)


async def run(context: Context) -> None:
    """Alternate quiet and hostile phases, then judge."""
    good = _pictures_of(context)
    with hostile_stores(good) as stores:
        settings = {**stores.settings, "limits.max_pixels": 400_000}
        async with running_world(context, settings=settings, nok_share=0.0) as world:
            line = Line(world, context.rng, stores)
            world.worker().start()
            await world.until_settled()
            async with world.supervised() as ended, line.open():
                phases = await _phases(context, line)
                answered = await world.until_answered()
            await _rows(context, line, phases, ended, stores, answered=answered)


def _pictures_of(context: Context) -> bytes:
    from tests.chaos.frames import Frames

    return Frames(context.bundle(), context.seed).pictures["ok"][0]


async def _phases(context: Context, line: Line) -> list[tuple[float, float, bool]]:
    """Return begin, end (ms) of each phase, and whether it was hostile; neighbours send all the while."""
    count, rate = context.counts["inputs"], context.counts["rate"]
    stop = asyncio.Event()
    neighbours = asyncio.create_task(_neighbours(line, stop))
    phases = []
    share = [count // PHASES + (number < count % PHASES) for number in range(PHASES)]
    for inputs, hostile in itertools.chain.from_iterable(((-(-n // 2), False), (n, True)) for n in share):
        begun = time.time() * 1000
        for number in range(inputs):
            due = begun / 1000 + number / rate
            await asyncio.sleep(max(0.0, due - time.time()))
            await line.send_good(ATTACKED, claim=number % 5 == 0)
            await (line.send_hostile() if hostile else line.send_good(ATTACKED))
        # What is left of a phase belongs to it: a stall must not pass for what is normal.
        await line.world.until_answered()
        phases.append((begun, time.time() * 1000, hostile))
        context.say(f"{'hostile' if hostile else 'quiet'} phase of {inputs} took {time.time() - begun / 1000:.1f} s")
    stop.set()
    await neighbours
    return phases


async def _neighbours(line: Line, stop: asyncio.Event) -> None:
    due = time.monotonic()
    while not stop.is_set():
        for camera in NEIGHBOURS:
            await line.send_good(camera)
        due += 1 / NEIGHBOUR_RATE
        await asyncio.sleep(max(0.0, due - time.monotonic()))


async def _rows(
    context: Context,
    line: Line,
    phases: Sequence[tuple[float, float, bool]],
    ended: list[int],
    stores: Stores,
    *,
    answered: bool,
) -> None:
    world = line.world
    evidence = Evidence(
        frames=sorted(line.records, key=lambda record: record.place),
        results=await read_topics(world.servers, world.topics["results"]),
        deadletters=await read_topics(world.servers, world.topics["deadletters"]),
        commits=await read_commits(world.servers, world.group, world.topics["frames"]),
        key=world.frames.key,
        default_budget_us=world.budget_us,
    )
    findings = judge(evidence)
    hostile = sum(line.sent.values())
    add_rows(context, findings)
    context.row(
        "no hostile input ends the process", trials=hostile, figure=f"{len(ended)} ends", held=not ended, statuses=ended
    )
    harmed = _harmed(line, evidence.results)
    context.row(
        "no good frame beside a hostile one goes uninspected",
        trials=len(line.good),
        figure=f"{len(line.good)} good frames, {len(harmed)} harmed",
        held=not harmed and answered,
        harmed=harmed[:5],
    )
    asked = [asked.path for asked in stores.elsewhere.asked]
    paths = {asked.path for asked in stores.s3.asked}
    outside = sorted(path for path in paths if not normpath(unquote(path)).startswith("/bucket/lines/"))
    context.row(
        "no store is asked but the one that is allowed, for what is allowed",
        trials=sum(count for what, count in line.sent.items() if what.startswith("claim")),
        figure=f"{len(stores.s3.asked)} requests to it, {len(asked)} to another, {len(outside)} for other places",
        held=not asked and not outside,
        asked=[*asked[:5], *outside[:5]],
    )
    normal, attacked = (_latencies(evidence.results, phases, hostile=kind) for kind in (False, True))
    _stall_row(context, normal, attacked, hostile, dict(findings.statuses), dict(line.sent))


def _stall_row(
    context: Context,
    normal: list[float],
    attacked: list[float],
    hostile: int,
    statuses: dict[str, int],
    sent: dict[str, int],
) -> None:
    if not normal or not attacked:
        context.row("another camera is answered", trials=hostile, figure="it never was", held=False)
        return
    usual, longest = _quantile(normal, 0.99), max(attacked)
    context.row(
        f"another camera waits at most {STALL:g} times as long as its normal p99",
        trials=hostile,
        figure=f"capture to result in {len(attacked)} frames beside hostile ones: p50 {_quantile(attacked, 0.5):.0f} ms, p99 "
        f"{_quantile(attacked, 0.99):.0f} ms, longest {longest:.0f} ms; normally p50 {_quantile(normal, 0.5):.0f} ms, p99 "
        f"{usual:.0f} ms, longest {max(normal):.0f} ms",
        held=longest <= STALL * usual,
        is_time=True,
        statuses=statuses,
        kinds=dict(sorted(sent.items())),
    )


def _harmed(line: Line, results: Sequence[Record]) -> list[str]:
    """Return the good frames that have no inspected result, with what they have instead."""
    found: dict[FrameName, str] = {}
    for body in map(body_of, results):
        if body is not None:
            name = FrameName(str(body.get("line_id")), str(body.get("camera_id")), body.get("seq") or 0)
            found.setdefault(name, f"{body.get('status')}, {body.get('reason')}")
    return [f"{name}: {found.get(name, 'nothing')}" for name in line.good if found.get(name) != "inspected, none"]


def _latencies(results: Sequence[Record], phases: Sequence[tuple[float, float, bool]], *, hostile: bool) -> list[float]:
    """Return capture to result (ms) of the neighbours' frames that were captured in one kind of phase; first results alone."""
    seen: set[str] = set()
    cameras = {f"{LINE}/{camera}" for camera in NEIGHBOURS}
    found = []
    for record in results:
        body = body_of(record) or {}
        if camera_of(record) not in cameras or body["result_id"] in seen:
            continue
        seen.add(body["result_id"])
        captured = body["captured_at"] / 1000
        if any(begun <= captured <= end and kind == hostile for begun, end, kind in phases):
            found.append(record.timestamp_ms - captured)
    return found


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


CAMPAIGN = Campaign(
    name="hostile",
    summary="hostile frames, headers, codecs, transactions, bombs and claims, each after a good frame",
    full={"inputs": 1000, "rate": 4},
    smoke={"inputs": 60, "rate": 4},
    run=run,
    mutations={
        "digest_unchecked": "only a positive, fresh, in-time ok passes",
        "links_followed": "only a positive, fresh, in-time ok passes",
        "plain_reader": "no hostile input ends the process",
    },
    mutated={"inputs": 200, "rate": 8},
)
