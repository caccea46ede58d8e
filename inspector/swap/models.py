"""The models of one process: those of the settings, loaded before the first frame, and those that releases bring later."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Final

from inspector.bus.ports import ResultProducer
from inspector.bus.producer import KafkaProducer
from inspector.bus.reading.log import KafkaLog, LogReader
from inspector.inflight.loading import bundle_reader, require_device, set_torch_threads
from inspector.inflight.registry import Registry, judge_of, load_routes
from inspector.inflight.route import Model, Route
from inspector.loop.clock import Clock
from inspector.loop.workers import Post, Workers
from inspector.observe.metrics import Metrics
from inspector.observe.shadow import ShadowMetrics
from inspector.settings.section import MIB
from inspector.settings.settings import Settings
from inspector.stages.score import Engine
from inspector.stages.shadow import ShadowParts
from inspector.swap.follow import ReleaseFollower
from inspector.swap.load import BundleLoader
from inspector.swap.metrics import ReleaseMetrics
from inspector.swap.tell import OutcomeTeller

log = logging.getLogger(__name__)

JOIN_S: Final = 2.0
"""A thread that loads a model is not waited for any longer; it is a daemon."""


class Models:
    """Loads models and lets releases exchange them. Event loop only, but for `end`."""

    def __init__(  # noqa: PLR0913 - its parts, all named
        self,
        settings: Settings,
        engine: Engine,
        *,
        producer: ResultProducer,
        metrics: Metrics,
        clock: Clock,
        post: Post,
        on_crash: Callable[[BaseException], None],
        read_model: Callable[[Path], Model] | None = None,
        release_log: LogReader | None = None,
        shadow_producer: ResultProducer | None = None,
    ) -> None:
        """Prepare; nothing is loaded before `load`.

        Args:
            settings: of the process.
            engine: its device threads load and warm up what the settings name.
            producer: takes what became of releases.
            metrics: show what judges each camera.
            clock: the time.
            post: how a thread reaches the event loop.
            on_crash: told of what the loader's thread should never raise.
            read_model: loads and verifies a bundle; tests have their own.
            release_log: the topic of releases; tests have their own.
            shadow_producer: takes what models on trial say; tests have their own.
        """
        self._settings, self._engine, self._metrics, self._clock = settings, engine, metrics, clock
        self._read_model = read_model or bundle_reader(settings)
        self.registry = Registry({})
        self._follower: ReleaseFollower | None = None
        self._loader: BundleLoader | None = None
        self._log = release_log or KafkaLog(settings.kafka, settings.topics.models_topic)
        self._loading = Workers(1, post, on_crash)
        self._teller = OutcomeTeller(settings, producer, clock)
        cameras = [camera.key for camera in settings.cameras]
        self.shadow: ShadowParts | None = None
        """What models on trial have of their own; None where releases are off."""
        self._release_metrics: ReleaseMetrics | None = None
        if settings.releases.is_on:
            self.shadow = ShadowParts(
                Workers(1, post, on_crash),
                shadow_producer or KafkaProducer(settings.kafka, max_record_bytes=MIB),
                ShadowMetrics(metrics.registry, cameras),
                self.end_trial,
            )
            self._release_metrics = ReleaseMetrics(metrics.registry, cameras)

    async def load(self, tell: Callable[[str], None]) -> Registry:
        """Load and warm up what the settings name, then apply what is released.

        Args:
            tell: hears what is waited for.

        Raises:
            ConfigError: The device is not here, or the cache cannot be written to.
            ModelError: A model of the settings cannot be used.
            AccessError: The brokers refuse to let releases be read.
        """
        settings = self._settings
        load = partial(
            load_routes,
            settings.models,
            settings.cameras,
            self._read_model,
            digests=settings.model_digests,
            default_budget_us=settings.deadline.default_budget_ms * 1000,
        )
        await asyncio.wrap_future(self._engine.call(partial(require_device, settings)))
        await self._on_each_thread(partial(set_torch_threads, settings.torch_threads))
        registry = await asyncio.wrap_future(self._engine.call(load))
        self.registry = registry
        sizes = sorted({1, settings.batching.max_batch_size})
        await self._on_each_thread(partial(registry.warm_up, sizes, self._engine.room.exceeded))
        for route in registry.routes:
            reference = route.reference
            log.info(
                "%s is judged by %s %s (%s)", route.camera, reference.name, reference.version, reference.digest[:12]
            )
        if self.shadow is not None and self._release_metrics is not None:
            await self._begin_releases(registry, self.shadow, self._release_metrics, tell)
        self.show()
        return registry

    async def _begin_releases(
        self, registry: Registry, shadow: ShadowParts, metrics: ReleaseMetrics, tell: Callable[[str], None]
    ) -> None:
        self._loading.start()
        shadow.workers.start()
        self._loader = BundleLoader(self._settings, self._read_model, exceeded=self._engine.room.exceeded)
        self._follower = ReleaseFollower(
            self._log,
            self._loader,
            registry,
            workers=self._loading,
            teller=self._teller,
            metrics=metrics,
            wait_s=self._settings.releases.wait_s,
        )
        await self._follower.begin(tell)

    def show(self) -> None:
        """Let the metrics show what judges each camera now; asked again and again, so that every change shows."""
        now_s = self._clock.wall_us() / 1e6
        for route in self.registry.routes:
            self._metrics.models.show(route.camera, judge_of(route), now_s)
            if self.shadow is not None:
                tried = self.registry.shadow(route.camera)
                self.shadow.metrics.show(route.camera, None if tried is None else tried.reference)

    def end_trial(self, route: Route, why: str) -> None:
        """Give up a model that is only tried; what judges is not concerned."""
        if self._follower is not None:
            self._follower.trials.end(route, why)

    def end_trials(self, why: str) -> None:
        """Give up all of them."""
        if self._follower is not None:
            self._follower.trials.end_all(why)

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        """Return what is to run beside the pipeline: nothing where releases are off."""
        return [] if self._follower is None else [self._follower.run(), self._teller.run()]

    async def stop(self) -> None:
        """Disconnect: both clients, whatever becomes of the first."""
        try:
            await self._log.stop()
        finally:
            if self.shadow is not None:
                await self.shadow.producer.stop()

    def end(self, *, is_fault: bool) -> bool:
        """Wait a little for the threads that load and that serve trials; return whether they have ended. On any thread.

        Trials begin again at the next start, unless this end `is_fault`.
        """
        if self._loader is None or self.shadow is None:
            return True
        have_ended = self._loading.stop(JOIN_S) & self.shadow.workers.stop(JOIN_S)
        self._loader.marks.leave(is_fault=is_fault)
        return have_ended

    async def _on_each_thread(self, function: Callable[[], None]) -> None:
        await asyncio.gather(*map(asyncio.wrap_future, self._engine.call_on_each(function)))
