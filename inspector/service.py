"""The process: its parts, who watches over its tasks, how it finishes its work, and what its exit status means.

| status | meaning |
|---|---|
| 0 | stopped by a signal; all frames in flight were finished and committed |
| 1 | something failed permanently: a model, a missing right, a task |
| 2 | a setting is wrong, such as a missing device; no frame was read |
| 3 | stopped by a signal, but the drain was cut short by its deadline or a second signal |
| 10 | the event loop hung; nothing could be drained |
| 11 | the device hung: a batch, or the loading of models |
| 12 | a thread that decodes or encodes hung |
| 13 | a partition was not read, though it held records and the brokers answered |
| 14 | a send was neither acknowledged nor failed |
| 15 | the device is lost: every later call would fail with the same error |

Whatever the status, nothing is lost: frames that were not committed are read again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector

from inspector.anomaly.network.tuning import tune_process
from inspector.bus.connect import FETCH_BYTES
from inspector.bus.consumer import KafkaConsumer
from inspector.bus.ports import FrameConsumer, ResultProducer, ResultTail
from inspector.bus.producer import SEND_BATCH_BYTES, KafkaProducer
from inspector.bus.reading.log import LogReader
from inspector.bus.reading.tail import KafkaTail
from inspector.errors import AccessError, BusError, InspectorError
from inspector.inflight.budget import fetched_bytes, memory_bound_bytes
from inspector.inflight.route import Model
from inspector.inflight.writers import watch_writers
from inspector.loop.clock import Clock, SystemClock
from inspector.loop.heap import freeze_heap
from inspector.loop.signals import stopped_by_signals
from inspector.loop.supervisor import Supervisor
from inspector.loop.threads import decode_threads, device_threads, encode_threads
from inspector.loop.workers import Workers
from inspector.observe.health import HEARTBEAT_S, Health, HealthServer
from inspector.observe.metrics import Metrics
from inspector.observe.systemd import ServiceManager
from inspector.parts import Parts
from inspector.pipeline import Pipeline
from inspector.settings.settings import Settings
from inspector.stages.score import Engine
from inspector.store.pictures import PictureStore
from inspector.swap.models import Models
from inspector.tracing.tracer import make_tracer
from inspector.watchdog.limits import EXIT_FAILED, EXIT_LOOP_HANGS, status_of, watched
from inspector.watchdog.watchdog import Watchdog

log = logging.getLogger(__name__)

T = TypeVar("T")

EXIT_CLEAN = 0
EXIT_CUT_SHORT = 3

RETRY_S = 1.0
CRASH_DRAIN_S = 5.0
DISCONNECT_S = 5.0
JOIN_S = 2.0
CLOSE_S = 4 * DISCONNECT_S + 6 * JOIN_S
SWITCH_INTERVAL_S = 0.0005
"""How long a thread may keep the interpreter from another. The loop and the device's threads need it often and briefly: with
Python's 5 ms a core idles while its thread waits for the word to start the next operation (3 % of the throughput on two cores)."""


def run(settings: Settings) -> int:
    """Run the service until a signal or a failure; return the exit status. Main thread only."""
    tune_process()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    status, has_ended = asyncio.run(_run(settings))
    if status >= EXIT_LOOP_HANGS or not has_ended:
        # A thread that hangs or still computes would hold up the interpreter's end, or end it with a status of its own.
        logging.shutdown()
        os._exit(status)
    return status


async def _run(settings: Settings) -> tuple[int, bool]:
    service = Service(settings)
    service.on_loaded = freeze_heap
    service.watchdog.start()
    with stopped_by_signals(service.stop, at_once_status=EXIT_CUT_SHORT):
        return await service.run(), service.has_ended


class Service:
    """One inspector process. Event loop only."""

    def __init__(  # noqa: PLR0913 - what tests replace, all named
        self,
        settings: Settings,
        *,
        read_model: Callable[[Path], Model] | None = None,
        consumer: FrameConsumer | None = None,
        producer: ResultProducer | None = None,
        shadow_producer: ResultProducer | None = None,
        tail: ResultTail | None = None,
        release_log: LogReader | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Prepare; nothing connects or loads before `run`. Tests replace what touches the outside world."""
        self._settings = settings
        self._clock = SystemClock() if clock is None else clock
        self._consumer = consumer or KafkaConsumer(
            settings.kafka,
            settings.topics.frames_topic,
            max_partition_fetch_bytes=settings.partition_fetch_bytes,
            max_inflated_bytes=fetched_bytes(settings),
        )
        self._producer = producer or KafkaProducer(
            settings.kafka, max_record_bytes=settings.limits.max_message_bytes * 2
        )
        self._tail = tail or KafkaTail(settings.kafka)
        registry = CollectorRegistry()
        self.metrics = Metrics(registry, [camera.key for camera in settings.cameras])
        self.health = Health(hang_after_s=settings.http.hang_after_s, awaits=("models", "broker", "partitions"))
        self.metrics.ready_when(lambda: not self.health.not_ready())
        self.metrics.batch_room(settings.batching.max_batch_size)
        self.metrics.build(version=_version(), python=platform.python_version(), device=settings.device)
        ProcessCollector(registry=registry)
        self._tracer = make_tracer(settings, registry, version=_version())
        self._server = HealthServer(settings.http, self.health, registry)
        self._manager = ServiceManager()
        self._supervisor = Supervisor()
        self._engine = Engine(
            threads=device_threads(settings),
            overlap=2 if settings.on_gpu else 1,
            post=self._supervisor.post,
            on_crash=self._supervisor.crash,
            on_retry=self.metrics.batch_retried,
            on_room=self._note_room,
        )
        self._workers = Workers(decode_threads(settings), self._supervisor.post, self._supervisor.crash)
        self._store = PictureStore(settings.store, post=self._supervisor.post)
        self._models = Models(
            settings,
            self._engine,
            producer=self._producer,
            metrics=self.metrics,
            clock=self._clock,
            post=self._supervisor.post,
            on_crash=self._supervisor.crash,
            read_model=read_model,
            release_log=release_log,
            shadow_producer=shadow_producer,
        )
        self.pipeline: Pipeline | None = None
        self.on_loaded: Callable[[], None] = lambda: None
        """Called once, when the models are warm and before the first frame is read."""
        self.has_ended = False
        """Whether every thread that works for this service has ended, too."""
        self.watchdog = Watchdog(
            watched(
                settings.watchdog,
                beats=lambda: self.health.beats,
                scoring=self._engine.scoring.steps,
                calling=self._engine.calling.steps,
                working=self._workers.working.steps,
                sending=lambda: {} if self.pipeline is None else self.pipeline.sink.sending.steps(),
                batch_takes_s=lambda: self._models.registry.slowest_batch_s,
            ),
            on_hang=lambda hang: self._supervisor.post(partial(self._supervisor.crash, hang)),
            drain_s=CRASH_DRAIN_S,
            on_alive=self._tell_manager,
        )

    @property
    def http_port(self) -> int:
        """Where metrics and health answer."""
        return self._server.port

    def stop(self) -> None:
        """Finish what was begun and leave."""
        self._supervisor.stop()

    async def run(self) -> int:
        """Start, work until `stop` or a failure, drain; return the exit status."""
        self._server.start()
        self._engine.start()
        self._workers.start()
        beating = self._supervisor.spawn(self.health.keep_beating(self.metrics))
        status = EXIT_FAILED
        try:
            pipeline = await self._supervisor.until_stopped(self._start())
            status = EXIT_CLEAN if pipeline is None else await self._work(pipeline)
        except InspectorError as exc:
            log.error("%s", exc)  # noqa: TRY400 a sentence for the operator, not a stack
            status = status_of(exc)
        finally:
            await self._close(beating, status)
        return status

    async def _start(self) -> Pipeline:
        self._store.start()
        self._tracer.start()
        registry = await self._models.load(partial(self.health.missing, "models"))
        self.health.there("models")
        await self._connect_producer()
        parts = Parts(
            consumer=self._consumer,
            producer=self._producer,
            registry=registry,
            store=self._store,
            workers=self._workers,
            engine=self._engine,
            metrics=self.metrics,
            tracer=self._tracer,
            clock=self._clock,
            shadow=self._models.shadow,
            on_crash=self._supervisor.crash,
        )
        self.pipeline = pipeline = Pipeline(self._settings, parts)
        await self._retry("join the group", pipeline.source.start)
        self.health.there("broker")
        self.on_loaded()
        self._note_idle_memory()
        self._supervisor.spawn(pipeline.source.run())
        self._supervisor.spawn(pipeline.source.commit_forever(self._settings.commit_interval_ms / 1000))
        self._supervisor.spawn(pipeline.source.watch_forever())
        self._supervisor.spawn(pipeline.sink.run())
        self._supervisor.spawn(self._report_forever(pipeline))
        if pipeline.shadow is not None:
            self._supervisor.spawn(pipeline.shadow.run())
        for work in self._models.tasks():
            self._supervisor.spawn(work)
        interval_ms = self._settings.heartbeat.interval_ms
        if interval_ms is not None:
            self._supervisor.spawn(pipeline.heartbeats.run(interval_ms / 1000))
        self._supervisor.spawn(
            watch_writers(self._settings, self._tail, lambda: pipeline.sink.partitions, self.metrics)
        )
        return pipeline

    def _note_idle_memory(self) -> None:
        """Note the memory before the first frame, from where `/metrics` has it; not known on every system."""
        size_bytes = self.metrics.registry.get_sample_value("process_resident_memory_bytes")
        if size_bytes is not None:
            self.metrics.memory_idle(size_bytes)

    def _note_room(self, is_wanting: bool, limit: int | None) -> None:  # noqa: FBT001 the engine calls it
        if is_wanting:
            self.metrics.out_of_memory()
            self._models.end_trials("the device lacks memory for the line's batches, and the model on trial goes first")
        most = self._settings.batching.max_batch_size
        self.metrics.batch_room(most if limit is None else min(limit, most))

    async def _connect_producer(self) -> None:
        topics = self._settings.topics
        await self._retry("connect to the brokers", self._producer.start)
        results = {topics.results_topic(camera.line_id, camera.camera_id) for camera in self._settings.cameras}
        heartbeats = set() if self._settings.heartbeat.interval_ms is None else {topics.heartbeats_topic}
        for topic in sorted(results | heartbeats | {topics.stray_results_topic, topics.deadletters_topic}):
            await self._retry(f"find topic {topic}", partial(self._producer.partition_for, topic, b"probe"))

    async def _retry(self, what: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until it works: brokers come up after their clients, and topics are made after both."""
        while True:
            try:
                return await attempt()
            except AccessError:
                raise
            except BusError as exc:
                log.warning("cannot %s yet: %s", what, exc)
                self.health.missing("broker", f"cannot {what} yet: {exc}")
            await asyncio.sleep(RETRY_S)

    async def _work(self, pipeline: Pipeline) -> int:
        """Wait for a stop or a failure, and finish what was begun."""
        failure = await self._supervisor.failure()
        self._manager.stopping()
        timeout_s = self._settings.drain_timeout_s
        if failure is None:
            self.health.missing("partitions", "stopping")
            self.watchdog.leave_within(timeout_s, EXIT_CUT_SHORT)
            draining = asyncio.ensure_future(pipeline.source.stop(timeout_s))
            failure = await self._supervisor.failure_before(draining)
            if failure is None:
                if await draining:
                    return EXIT_CLEAN
                log.error("the drain took more than %.0f s; the remaining frames will be read again", timeout_s)
                return EXIT_CUT_SHORT
            crash_s = self._give_up(failure)
            if not (await asyncio.wait({draining}, timeout=crash_s))[0]:
                await pipeline.source.commit(crash_s)
                draining.cancel()
            await asyncio.gather(draining, return_exceptions=True)
        else:
            await pipeline.source.stop(self._give_up(failure))
        return status_of(failure)

    def _give_up(self, failure: BaseException) -> float:
        """Tell of a failure; return how long what was begun may take now, in seconds."""
        # A sentence for the operator needs no stack.
        log.error("the service cannot continue: %s", failure, exc_info=_unexpected(failure))
        self.health.fail(str(failure))
        timeout_s = min(CRASH_DRAIN_S, self._settings.drain_timeout_s)
        self.watchdog.leave_within(timeout_s, status_of(failure))
        return timeout_s

    async def _close(self, beating: asyncio.Task[None], status: int) -> None:
        """End every task, leave the group, disconnect; each within bounds. The loop is seen to run until all that is done."""
        self.watchdog.leave_within(CLOSE_S, status)
        await self._supervisor.end(spared=beating)
        clients: dict[str, FrameConsumer | ResultProducer | ResultTail | Models]
        clients = {"consumer": self._consumer, "producer": self._producer, "reader of results": self._tail}
        clients["clients of releases"] = self._models
        for name, client in clients.items():
            try:
                async with asyncio.timeout(DISCONNECT_S):
                    await client.stop()
            except Exception as exc:  # noqa: BLE001 the process is leaving anyway
                log.warning("the %s did not disconnect cleanly: %r", name, exc)
        self.has_ended = await asyncio.to_thread(self._end_threads, status)
        await asyncio.to_thread(self._server.stop)
        await self._supervisor.end()
        self.watchdog.stop()

    def _end_threads(self, status: int) -> bool:
        """Wait a little for the threads; return whether all have ended: the interpreter may crash under one that computes."""
        ended = [self._engine.stop(JOIN_S), self._workers.stop(JOIN_S), self._store.stop(), self._tracer.stop(JOIN_S)]
        ended.append(self._models.end(is_fault=status >= EXIT_LOOP_HANGS))
        return all(ended)

    async def _report_forever(self, pipeline: Pipeline) -> None:
        """Keep gauges and readiness up to date; tell the memory bound after each assignment."""
        partitions = -1
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            pipeline.report()
            self._models.show()
            not_ready = pipeline.source.not_ready or pipeline.standstill.not_ready
            if not_ready is not None:
                self.health.missing("partitions", not_ready)
                continue
            self.health.there("partitions")
            if len(pipeline.source.leases) != partitions:
                partitions = len(pipeline.source.leases)
                bound = self.memory_bound_bytes(partitions)
                self.metrics.memory_bound(bound)
                log.info("memory will grow by at most %d MiB with %d partitions", bound >> 20, partitions)

    def _tell_manager(self) -> None:
        """Give a sign of life unless the event loop hangs.

        What fails otherwise is the watchdog's own matter, which gives it a bounded time to drain: systemd must not kill it meanwhile.
        """
        self._manager.tell(
            is_alive=self.health.has_running_loop, not_ready=self.health.not_ready(), ready="frames are inspected"
        )

    def memory_bound_bytes(self, partitions: int) -> int:
        """Return how far memory may grow above that of the idle, warmed-up service."""
        return memory_bound_bytes(
            self._settings,
            partitions=partitions,
            workers=encode_threads(self._settings),
            device_threads=device_threads(self._settings),
            domains=len(self._models.registry.domains),
            fetch_bytes=FETCH_BYTES,
            send_bytes=SEND_BATCH_BYTES,
        )


def _version() -> str:
    try:
        return version("line-inspector")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"


def _unexpected(failure: BaseException) -> BaseException | None:
    """Return what is worth a stack trace: not what is made to be read."""
    return None if isinstance(failure, InspectorError) else failure
