"""Reads the topic of releases to its end before the first frame, then follows it; uses the cache if the topic cannot be read."""

from __future__ import annotations

import asyncio
import functools
import logging
import traceback
from collections.abc import Callable
from typing import Any, Final, TypeVar

from inspector.bundles.errors import BundleStoreError
from inspector.bus.reading.log import LogReader
from inspector.errors import AccessError, BusError, TopicError
from inspector.inflight.registry import Registry
from inspector.inflight.route import Model
from inspector.loop.workers import Workers
from inspector.observe.fields import camera_fields
from inspector.releases.chain import read_releases
from inspector.swap.load import BundleLoader
from inspector.swap.metrics import ReleaseMetrics
from inspector.swap.refusal import ReleaseRefusedError
from inspector.swap.switch import Applied, Switch
from inspector.swap.tell import OutcomeTeller
from inspector.swap.trials import Due, Trials
from schemas import BundleReference, ModelRelease

log = logging.getLogger(__name__)

T = TypeVar("T")

READ_S: Final = 1.0
RETRY_S: Final = 1.0
FREED_S: Final = 1.0
"""So long after its end the frame that a trial was scoring has left, and the model's memory with it."""


class ReleaseFollower:
    """Brings releases to `Switch`. Event loop only, but for what the loader's thread does."""

    def __init__(
        self,
        log_reader: LogReader,
        loader: BundleLoader,
        registry: Registry,
        *,
        workers: Workers,
        teller: OutcomeTeller,
        metrics: ReleaseMetrics,
        wait_s: float,
    ) -> None:
        """Prepare; nothing is read before `begin`.

        Args:
            log_reader: of the topic of releases.
            loader: on its own thread.
            registry: whose routes are changed.
            workers: the loader's thread.
            teller: of what became of each release.
            metrics: the same, as series.
            wait_s: so long the topic is waited for at the start.
        """
        self._log, self._loader, self._workers = log_reader, loader, workers
        self._registry, self._teller, self._metrics = registry, teller, metrics
        self._wait_s = wait_s
        self._switch = Switch(registry, self._load)
        self.trials = Trials(
            self._switch, teller=teller, metrics=metrics, marks=loader.marks, on_thread=self._on_thread
        )
        self._due: dict[str, Due] = {}
        self._is_reading = False

    async def begin(self, tell: Callable[[str], None]) -> None:
        """Apply what is released, before any frame is read; where that cannot be, what was last known to be good.

        Args:
            tell: hears what is waited for.

        Raises:
            AccessError: The brokers refuse this client.
            DeviceLostError: The device is of no use.
        """
        kept = await self._on_thread(self._loader.cache.kept)
        tell("the topic of releases is read")
        wanted = await self._first_reading()
        for route in self._registry.routes:
            camera = route.camera
            self._want(wanted.get(camera))
            choices = {
                release.number: release for release in (kept.get(camera), wanted.get(camera)) if release is not None
            }
            tell(f"the release of {camera} is loaded")
            for number in sorted(choices, reverse=True):
                if await self._try(choices[number]):
                    break
            else:
                if choices:
                    log.error(
                        "no release of %s can be applied; the model from the settings is used",
                        camera,
                        extra=camera_fields(camera),
                    )
            if camera not in wanted and self._switch.number(camera):
                log.warning(
                    "no release of %s was read; its last working model is used, from the cache",
                    camera,
                    extra=camera_fields(camera),
                )

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                if not self._is_reading:
                    await self._start()
                self._note(await self._log.read(READ_S))
            except (BusError, TopicError) as exc:
                await self._lose(exc)
            await self._apply_due()
            await self.trials.apply_due()

    async def stop(self) -> None:
        """Disconnect."""
        await self._log.stop()

    # reading

    async def _first_reading(self) -> dict[str, ModelRelease]:
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + self._wait_s
        while True:
            try:
                async with asyncio.timeout_at(give_up_s):
                    await self._start()
                    releases, unreadable = read_releases(await self._log.read_to_end())
            except AccessError:
                raise
            except (BusError, TopicError, TimeoutError) as exc:
                await self._lose(exc)
                if loop.time() >= give_up_s:
                    log.error(  # noqa: TRY400 a sentence for the operator
                        "the topic of releases could not be read within releases.wait_s, %g s; the models are taken "
                        "from the cache",
                        self._wait_s,
                    )
                    return {}
            else:
                for sentence in unreadable:
                    log.error("topic of releases: %s", sentence)
                return releases

    async def _start(self) -> None:
        await self._log.start()
        self._is_reading = True
        self._metrics.readable(is_so=True)

    async def _lose(self, exc: Exception) -> None:
        if self._is_reading or not isinstance(exc, TimeoutError):
            log.warning("the topic of releases cannot be read yet: %s", str(exc) or "no answer")
        self._is_reading = False
        self._metrics.readable(is_so=False)
        await self._log.stop()
        await asyncio.sleep(RETRY_S)

    def _note(self, records: Any) -> None:  # noqa: ANN401 a sequence of ConsumedRecord
        releases, unreadable = read_releases(records)
        for sentence in unreadable:
            log.error("topic of releases: %s", sentence)
        for release in releases.values():
            self._want(release)

    def _want(self, release: ModelRelease | None) -> None:
        if release is None or self._registry.configured(release.line_id, release.camera_id) is None:
            return
        camera, number = release.camera, self._switch.number(release.camera)
        if release.number <= number:
            if release.number < number:
                log.warning(
                    "release %d of %s is older than %d, which is in use here; it is ignored",
                    release.number,
                    camera,
                    number,
                    extra=camera_fields(camera),
                )
            return
        due = self._due.get(camera)
        if due is None or due.release.number < release.number:
            self._due[camera] = Due(release, asyncio.get_running_loop().time())
            self._metrics.wanted(camera, release.number)

    # applying

    async def _apply_due(self) -> None:
        now_s = asyncio.get_running_loop().time()
        for due in [due for due in self._due.values() if due.at_s <= now_s]:
            await self._try(due.release)

    async def _try(self, release: ModelRelease) -> bool:
        """Apply a release; return whether it judges now. One that may do later is due again."""
        camera, number = release.camera, release.number
        try:
            applied = await self._apply(release)
        except (BundleStoreError, ReleaseRefusedError) as exc:
            self._refuse(release, exc)
            if exc.is_final:
                self.trials.resume(camera)
            return False
        self._forget(release)
        if applied is not None:
            self.trials.want(release)
            model = applied.active.reference
            log.info(
                "%s is judged by release %d: %s %s (%s)",
                camera,
                number,
                model.name,
                model.version,
                model.digest[:12],
                extra=camera_fields(camera),
            )
            self._metrics.applied(camera, number)
            self._teller.tell(release, "applied")
            try:
                await self._on_thread(functools.partial(self._loader.keep, release, self._switch.digests()))
            except BundleStoreError as exc:
                log.error(  # noqa: TRY400 a sentence for the operator
                    "after a restart without store or topic, %s would use another model: %s",
                    camera,
                    exc,
                    extra=camera_fields(camera),
                )
        return self._switch.number(camera) == number

    async def _apply(self, release: ModelRelease) -> Applied | None:
        """Apply a release, once more where it lacked memory that models on trial held."""
        had_trial = self._registry.shadow(release.camera) is not None
        try:
            return await self._switch.apply(release)
        except ReleaseRefusedError as exc:
            has_freed = exc.reason == "memory" and self.trials.end_all(
                f"release {release.number} of {release.camera} lacks memory, and the model on trial goes first"
            )
            if exc.reason != "memory" or not (has_freed or had_trial):
                raise
        await asyncio.sleep(FREED_S)
        return await self._switch.apply(release)

    def _refuse(self, release: ModelRelease, exc: BundleStoreError | ReleaseRefusedError) -> None:
        camera, number = release.camera, release.number
        self._metrics.refused(camera, exc.reason)
        due = self._due.get(camera)
        is_first = due is None or due.is_first
        if is_first:
            log.error(
                "release %d of %s is not applied (%s), the previous model stays in use: %s",
                number,
                camera,
                exc.reason,
                exc,
                extra=camera_fields(camera),
            )
            self._teller.tell(release, "refused", f"{exc.reason}: {exc}")
        if exc.is_final:
            self._forget(release)
        elif due is not None and due.release.number == number:
            due.put_off(asyncio.get_running_loop().time())

    def _forget(self, release: ModelRelease) -> None:
        due = self._due.get(release.camera)
        if due is not None and due.release.number <= release.number:
            del self._due[release.camera]

    async def _load(
        self, bundle: BundleReference, *, tried: Model | None = None, longest_s: float | None = None
    ) -> Model:
        return await self._on_thread(functools.partial(self._loader.load, bundle, tried=tried, longest_s=longest_s))

    async def _on_thread(self, job: Callable[[], T]) -> T:
        """Run a job on the loader's thread; what it raises is raised here."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def run() -> tuple[T | None, Exception | None]:
            try:
                return job(), None
            except Exception as exc:  # noqa: BLE001 it belongs to whoever waits
                _let_go(exc)
                return None, exc

        def done(outcome: tuple[Any, Exception | None]) -> None:
            if future.done():
                return
            result, error = outcome
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        self._workers.submit(run, done)
        return await future


def _let_go(error: BaseException) -> None:
    """Clear what an error's frames hold, a model that was refused with it: a cycle would keep that until the collector comes by."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        exc = left.pop()
        if exc is not None and id(exc) not in seen:
            seen.add(id(exc))
            traceback.clear_frames(exc.__traceback__)
            left += [exc.__cause__, exc.__context__]
