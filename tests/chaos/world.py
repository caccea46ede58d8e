"""A line on Apache Kafka: topics, workers, frames that flow in the background, and the evidence for the checker."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import NewPartitions, NewTopic
from aiokafka.errors import KafkaError

from tests.chaos.campaign import Context
from tests.chaos.checker import Evidence, Findings, Record, judge
from tests.chaos.frames import LINE, Frames, Made
from tests.chaos.reading import Tail, administering, producing, read_commits, read_topics
from tests.chaos.worker import Worker

LONG_BUDGET_MS = 3_600_000
"""For campaigns in which a frame may wait for a worker to come back."""

PATIENCE_S = 90.0
"""Without one new result for so long, the rest never comes."""

PATIENCE_MUTATED_S = 20.0
"""Where a protection is off, something is expected never to come."""

SETTLED_S = 180.0
POLL_S = 0.05

_numbers = itertools.count()


class World:
    """Topics and a group of its own on one broker; cameras a, b, c, …, each with a partition of its own."""

    def __init__(
        self,
        context: Context,
        servers: str,
        *,
        cameras: int = 4,
        partitions: int | None = None,
        settings: Mapping[str, object] | None = None,
        kafka: Mapping[str, object] | None = None,
        nok_share: float = 0.2,
        hostile_share: float = 0.0,
    ) -> None:
        """Prepare; `make_topics` and workers' `start` touch the broker.

        Args:
            context: of the campaign; its mutation goes to every worker.
            servers: of the broker.
            cameras: how many there are, each with a partition.
            partitions: of the frames topic when it is made; default: one for each camera.
            settings: of the service, by dotted name: `limits.max_frames_in_flight`.
            kafka: of the `[kafka]` section.
            nok_share: of the frames.
            hostile_share: of the frames.
        """
        self.context, self.servers = context, servers
        self.prefix = f"{context.name}{next(_numbers)}"
        self.group = f"{self.prefix}-group"
        self.cameras = {chr(ord("a") + number): number for number in range(cameras)}
        self.partitions = partitions or cameras
        self.topics = {name: f"{self.prefix}.{name}" for name in ("frames", "results", "deadletters")}
        self.frames = Frames(
            context.bundle(), context.rng.randrange(1 << 30), nok_share=nok_share, hostile_share=hostile_share
        )
        self.settings_file = context.folder / f"{self.prefix}.toml"
        self.settings_file.write_text(self._settings(settings or {}, kafka or {}))
        self.workers: list[Worker] = []
        self.acknowledged: list[Made] = []
        self.tail = Tail(servers, self.topics["results"])

    def _settings(self, settings: Mapping[str, object], kafka: Mapping[str, object]) -> str:
        flat: dict[str, object] = {
            "device": "cpu",
            "decode_threads": 2,
            "device_threads": 2,
            "drain_timeout_s": 20,
            "kafka.bootstrap_servers": self.servers,
            "kafka.group_id": self.group,
            "topics.prefix": self.prefix,
            "topics.frames_partitions": len(self.cameras),
            "models.tiny": str(self.context.bundle()),
            "limits.max_frame_bytes": 200_000,
            "deadline.default_budget_ms": LONG_BUDGET_MS,
            **settings,
            **{f"kafka.{name}": value for name, value in kafka.items()},
        }
        # Dotted keys come before the first table; JSON's scalars are TOML's.
        self.budget_us = int(str(flat["deadline.default_budget_ms"])) * 1000
        lines = [f"{name} = {json.dumps(value)}" for name, value in flat.items()]
        for camera, partition in self.cameras.items():
            lines += ["[[cameras]]", f'line_id = "{LINE}"', f'camera_id = "{camera}"', 'model = "tiny"']
            lines += [f"partition = {partition}"]
        return "\n".join(lines) + "\n"

    # ------------------------------------------------------------------------------------------------------- topics

    async def make_topics(self, *names: str) -> None:
        """Make the topics (default: all); results are stamped by the broker, whose clock is the actuator's."""
        counts = {"frames": self.partitions, "results": len(self.cameras), "deadletters": 1}
        config = {"max.message.bytes": str(2 << 20)}
        stamped = config | {"message.timestamp.type": "LogAppendTime"}
        new = [
            NewTopic(self.topics[name], counts[name], 1, topic_configs=config if name == "frames" else stamped)
            for name in names or counts
        ]
        async with administering(self.servers) as admin, asyncio.timeout(SETTLED_S):
            while new:  # one that was just deleted may take a moment to go
                answer = await admin.create_topics(new)
                refused = {name for name, code, *_ in answer.topic_errors if code}
                new = [topic for topic in new if topic.name in refused]
                await asyncio.sleep(POLL_S if new else 0)

    async def grow(self, partitions: int) -> None:
        """Give the frames topic so many partitions."""
        async with administering(self.servers) as admin:
            await admin.create_partitions({self.topics["frames"]: NewPartitions(partitions)})
        self.partitions = partitions

    async def delete_topic(self, name: str) -> None:
        """Delete one of `frames`, `results`, `deadletters`."""
        async with administering(self.servers) as admin:
            await admin.delete_topics([self.topics[name]])

    # ------------------------------------------------------------------------------------------------------ workers

    def worker(self, **options: Any) -> Worker:
        """Add a worker, not started; `options` are those of `Worker`."""
        name = f"{self.prefix}-w{len(self.workers)}"
        worker = Worker(name, self.settings_file, self.context.folder, mutation=self.context.mutation, **options)
        self.workers.append(worker)
        return worker

    async def until(self, condition: Callable[[], object], what: str, *, timeout_s: float = SETTLED_S) -> None:
        """Wait for a condition that may block (HTTP); asked on a thread.

        Raises:
            TimeoutError: It did not come true; names `what` and the workers' logs.
        """
        give_up = time.monotonic() + timeout_s
        while not await asyncio.to_thread(condition):
            if time.monotonic() > give_up:
                logs = "\n".join(f"--- {worker.name}\n{worker.log_tail(1500)}" for worker in self.workers)
                raise TimeoutError(f"not within {timeout_s:.0f} s: {what}\n{logs}")
            await asyncio.sleep(POLL_S)

    async def until_heard(self, since_ms: int, cameras: Sequence[str] = (), *, timeout_s: float = SETTLED_S) -> None:
        """Wait until each camera has a result that arrived after a moment (ms, the broker's clock)."""
        names = [f"{LINE}/{camera}" for camera in cameras or self.cameras]
        await self.until(
            lambda: all(self.tail.last_ms.get(name, 0) > since_ms for name in names),
            "every camera is heard of again",
            timeout_s=timeout_s,
        )

    async def until_settled(self, *, timeout_s: float = SETTLED_S) -> None:
        """Wait until the running workers are ready and share the partitions out without a rest."""
        await self.until(self._settled, "the workers share all partitions", timeout_s=timeout_s)

    def _settled(self) -> bool:
        running = [worker for worker in self.workers if worker.is_running]
        owned = [worker.partitions() for worker in running]
        return (
            bool(running)
            and sorted(itertools.chain(*owned)) == list(range(self.partitions))
            and all(owned[: self.partitions])
            and all(worker.is_ready() for worker in running)
        )

    @asynccontextmanager
    async def supervised(self) -> AsyncIterator[list[int]]:
        """Start a worker that ended by itself again, as an orchestrator does; gives the list of their exit statuses."""
        ended: list[int] = []

        async def watch() -> None:
            while True:
                for worker in self.workers:
                    if worker.status is not None:
                        ended.append(worker.status)
                        worker.start()
                await asyncio.sleep(0.5)

        task = asyncio.create_task(watch())
        try:
            yield ended
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    # ------------------------------------------------------------------------------------------------------- frames

    async def publish(self, count: int, cameras: Sequence[str] = ()) -> None:
        """Publish `count` frames of each camera at once."""
        async with producing(self.servers) as producer:
            sent = [await self.send(producer, camera) for _ in range(count) for camera in cameras or self.cameras]
            await asyncio.gather(*sent)

    async def send(self, producer: Any, camera: str) -> asyncio.Future[Any]:
        """Hand the next frame of a camera to a producer; the future is done with the broker's acknowledgement."""
        made = self.frames.make(camera)
        future = await producer.send(
            self.topics["frames"], made.value, made.key, partition=self.cameras[camera], headers=made.headers
        )
        sent: asyncio.Future[Any] = asyncio.ensure_future(future)

        def note(done: asyncio.Future[Any]) -> None:
            if not done.cancelled() and done.exception() is None:
                self.acknowledged.append(made)

        sent.add_done_callback(note)
        return sent

    @asynccontextmanager
    async def flowing(self, rate: float, cameras: Sequence[str] = ()) -> AsyncIterator[None]:
        """Publish `rate` frames a second of each camera as long as the block lasts, whatever becomes of the broker."""
        stop = asyncio.Event()
        task = asyncio.create_task(self._flow(rate, cameras or list(self.cameras), stop))
        try:
            yield
        finally:
            stop.set()
            await task

    async def _flow(self, rate: float, cameras: Sequence[str], stop: asyncio.Event) -> None:
        async with producing(self.servers) as producer:
            sent: set[asyncio.Future[Any]] = set()
            due = time.monotonic()
            while not stop.is_set():
                for camera in cameras:
                    # A frame whose fate is unknown is not lost by the service: what the topic holds is what counts.
                    with contextlib.suppress(KafkaError):
                        future = await self.send(producer, camera)
                        sent.add(future)
                        future.add_done_callback(sent.discard)
                due = max(due + 1 / rate, time.monotonic() - 1.0)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), max(0.0, due - time.monotonic()))
            await asyncio.gather(*sent, return_exceptions=True)

    # ----------------------------------------------------------------------------------------------------- evidence

    async def until_answered(self, *, patience_s: float | None = None) -> bool:
        """Wait until there are as many different results as acknowledged frames; False: for `patience_s` none was new."""
        if patience_s is None:
            patience_s = PATIENCE_S if self.context.mutation is None else PATIENCE_MUTATED_S
        known, since = -1, time.monotonic()
        while len(self.tail.ids) < len(self.acknowledged):
            if len(self.tail.ids) > known:
                known, since = len(self.tail.ids), time.monotonic()
            if time.monotonic() - since > patience_s:
                return False
            await asyncio.sleep(POLL_S)
        return True

    async def evidence(self, earlier: Sequence[Record] = ()) -> Evidence:
        """Read the topics and all commits.

        Args:
            earlier: frames of a frames topic that is gone.
        """
        return Evidence(
            frames=[*earlier, *await read_topics(self.servers, self.topics["frames"])],
            results=await read_topics(self.servers, self.topics["results"]),
            deadletters=await read_topics(self.servers, self.topics["deadletters"]),
            commits=await read_commits(self.servers, self.group, self.topics["frames"]),
            key=self.frames.key,
            default_budget_us=self.budget_us,
        )

    async def judge(self) -> Findings:
        """Let the checker look at everything."""
        return judge(await self.evidence())

    def end(self) -> None:
        """Make sure that no worker is left."""
        for worker in self.workers:
            worker.end()


@asynccontextmanager
async def running_world(context: Context, servers: str | None = None, **options: Any) -> AsyncIterator[World]:
    """A world with its topics, followed by its tail; on the shared broker unless `servers` names another."""
    world = World(context, servers or context.broker().bootstrap_servers, **options)
    await world.make_topics()
    try:
        async with world.tail:
            yield world
    finally:
        world.end()
