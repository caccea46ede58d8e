"""The archive's process: reads results, keeps pictures, and handles rebalances, missing brokers and failing storage.

No frame's verdict depends on the archive: it is another process in another group. It costs the inspectors only the
brokers' work for its reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Final, NamedTuple

from inspector.archive.flush import Claims, Flush
from inspector.archive.holdings.day import Limits
from inspector.archive.holdings.keeper import Keeper
from inspector.archive.holdings.retention import Bounds
from inspector.archive.holdings.sweep import SWEEP_OWNER, Sweep
from inspector.archive.intake import Intake
from inspector.archive.metrics import ArchiveMetrics
from inspector.archive.storage.port import Storage, StorageError
from inspector.archive.storage.thread import SLOW_S, StorageThread
from inspector.bus.ports import Partition
from inspector.bus.reading.group import GroupReader
from inspector.bus.reading.places import PlaceReader
from inspector.errors import AccessError, BusError, StaleCommitError, TopicError
from inspector.loop.clock import Clock, SystemClock
from inspector.observe.health import Health
from inspector.settings.places.archive import ArchiveSettings
from schemas.archive.layout import day_of

log = logging.getLogger(__name__)

READ_S: Final = 0.2
READ_RECORDS: Final = 500
"""Taken in at once: some tens of milliseconds, in which no heartbeat leaves."""
MOST_WAITING: Final = 5_000
"""Candidates that wait for a flush; their results take some kilobytes each."""
RETRY_S: Final = 1.0
SWEEP_S: Final = 600.0
RELEASE_S: Final = 10.0
"""For the flush that is under way when partitions are given back; below the rebalance timeout."""
_DAY_US: Final = 24 * 3600 * 1_000_000


class _RevokedError(Exception):
    """The partitions were given back; what waited is the next owner's."""


class Parts(NamedTuple):
    """What the archive's process is made of; tests replace what touches the outside world."""

    storage: Storage
    group: GroupReader
    places: PlaceReader
    claims: Claims
    metrics: ArchiveMetrics
    health: Health


class ArchiveProcess:
    """One process of the archive's group. Event loop only."""

    def __init__(self, archive: ArchiveSettings, parts: Parts, *, clock: Clock | None = None) -> None:
        """Prepare; nothing connects before `run`."""
        self._archive = archive
        self._group = parts.group
        self._places = parts.places
        self._metrics = parts.metrics
        self._health = parts.health
        self._clock = SystemClock() if clock is None else clock
        self._thread = StorageThread()
        self._keeper = Keeper(parts.storage, Limits(archive.ok_per_day, archive.uninspected_per_day))
        bounds = Bounds(archive.max_age_days, archive.max_camera_bytes, archive.keep_last_ok)
        self._sweep = Sweep(parts.storage, self._keeper, bounds)
        self._intake = Intake(archive, parts.metrics)
        self._flush = Flush(
            self._keeper,
            parts.places,
            parts.claims,
            parts.metrics,
            run=self._thread.run,
            flush_bytes=archive.flush_bytes,
        )
        self._epoch = 0
        self._working = asyncio.Lock()
        self._unmended = True
        """Whether a process that was killed, or a failed write, may have left something behind."""
        self._failing_since_s: float | None = None
        self._committed: dict[Partition, int] = {}
        self._cameras: set[str] = set()
        self.has_ended = False
        """Whether the archive's thread has ended, too."""

    async def run(self, stop: asyncio.Event) -> None:
        """Keep pictures until `stop` is set; what was taken in is stored first, if the storage lets it.

        Raises:
            AccessError: The brokers refuse this client; an operator must act.
        """
        self._thread.start()
        stopped = asyncio.ensure_future(stop.wait())
        working = asyncio.ensure_future(self._work(stop))
        try:
            await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                await asyncio.wait({working}, timeout=RELEASE_S)
            if working.done():
                working.result()
        finally:
            for task in (working, stopped):
                task.cancel()
            await asyncio.gather(working, stopped, return_exceptions=True)
            for client in (self._group, self._places):
                with contextlib.suppress(BusError, TimeoutError):
                    async with asyncio.timeout(RELEASE_S):
                        await client.stop()
            self.has_ended = await asyncio.to_thread(self._thread.stop)

    # the group's word

    async def on_assigned(self, begins: Mapping[Partition, int]) -> None:
        """Begin under a new assignment."""
        self._epoch += 1
        self._intake.begin(begins)
        self._committed.clear()
        self._unmended = True
        self._health.there("partitions")
        log.info("assigned %d partitions of results", len(begins))

    async def on_revoked(self) -> None:
        """Finish the flush that is under way, if it ends soon; what still waits is the next owner's."""
        self._health.missing("partitions", "the group is sharing out the partitions")
        self._epoch += 1
        try:
            async with asyncio.timeout(RELEASE_S), self._working:
                pass
        except TimeoutError:
            log.warning("a flush has not ended within %.0f s; partitions are given back all the same", RELEASE_S)
        self._intake.begin({})

    # the work

    async def _work(self, stop: asyncio.Event) -> None:
        await self._connect(stop)
        swept_s = flushed_s = self._clock.monotonic_s()
        while not stop.is_set():
            try:
                chunks = await self._group.read(timeout_s=READ_S, max_records=READ_RECORDS)
            except AccessError:
                raise
            except BusError as exc:
                log.warning("reading goes on after an error: %s", exc)
                await _pause(stop)
                continue
            now_s = self._clock.monotonic_s()
            self._intake.take(chunks, now_s)
            if now_s - flushed_s >= self._archive.flush_ms / 1000 or self._intake.size >= MOST_WAITING:
                await self._flush_all(stop)
                await self._count_missing()
                flushed_s = self._clock.monotonic_s()
            if now_s - swept_s >= SWEEP_S:
                await self._sweep_all()
                swept_s = now_s
        await self._flush_all(stop)

    async def _connect(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self._group.start(self)
            except AccessError:
                raise
            except (BusError, TopicError) as exc:
                log.warning("results cannot be read yet: %s", exc)
                self._health.missing("broker", str(exc))
                await _pause(stop)
            else:
                self._health.there("broker")
                return

    async def _flush_all(self, stop: asyncio.Event) -> None:
        """Store what waits, however often it takes, and commit; give up only on a stop, a revocation, or a storage that stays away."""
        epoch = self._epoch
        while epoch == self._epoch:
            try:
                async with self._working:
                    await self._flush_once(epoch)
            except _RevokedError:
                return
            except StorageError as exc:
                self._unmended = True
                self._tell_storage(str(exc))
                if self._is_given_up():
                    self._flush.drop(list(self._intake.waiting()))
                    with contextlib.suppress(_RevokedError):
                        await self._commit(epoch)
                    return
            except AccessError:
                raise
            except BusError as exc:
                log.warning("frames cannot be read now: %s", exc)
            else:
                self._failing_since_s = None
                return
            if stop.is_set():
                return
            await _pause(stop)

    async def _flush_once(self, epoch: int) -> None:
        if self._unmended:
            await self._mend(epoch)
        for partition, candidates in self._intake.candidates.items():
            self._cameras.update(f"{one.message.line_id}/{one.message.camera_id}" for one in candidates)
            await self._flush.store(_owner(partition), candidates)
            self._check(epoch)
        self._tell_storage(None)
        await self._commit(epoch)

    async def _mend(self, epoch: int) -> None:
        owners = [_owner(partition) for partition in self._intake.partitions]
        if self._sweeps_all():
            owners.append(SWEEP_OWNER)

        def mend() -> None:
            self._keeper.forget()
            self._sweep.forget()
            for owner in owners:
                self._keeper.recover(owner)

        await self._thread.run(mend)
        self._check(epoch)
        self._unmended = False

    async def _commit(self, epoch: int) -> None:
        """Commit what was read: all of it was dealt with."""
        self._check(epoch)
        self._intake.settle()
        self._flush.settle()
        self._metrics.unread(self._group.unread())
        due = {
            place: offset for place, offset in self._intake.positions.items() if self._committed.get(place) != offset
        }
        if not due:
            return
        try:
            await self._group.commit(due)
        except StaleCommitError as exc:
            log.info("%s", exc)
            self._metrics.commit("stale")
        except BusError as exc:
            log.warning("offsets are not committed yet: %s", exc)
            self._metrics.commit("failed")
        else:
            self._committed |= due
            self._metrics.commit("ok")

    def _check(self, epoch: int) -> None:
        if epoch != self._epoch:
            raise _RevokedError

    def _is_given_up(self) -> bool:
        now_s = self._clock.monotonic_s()
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        return now_s - self._failing_since_s >= self._archive.wait_for_store_s

    def _tell_storage(self, fault: str | None) -> None:
        self._metrics.storage_fails(on=fault is not None)
        if fault is None:
            self._health.there("storage")
        else:
            self._health.missing("storage", fault)
            log.warning("pictures cannot be stored: %s", fault)

    async def watch_thread(self) -> None:
        """Tell of a storage that hangs, until cancelled."""
        while True:
            await asyncio.sleep(RETRY_S)
            slow_s = self._thread.slow_s()
            if slow_s >= SLOW_S:
                self._tell_storage(f"a call has not ended for {slow_s:.0f} s")

    # what nobody answered, and what is too old

    async def _count_missing(self) -> None:
        due = self._intake.overdue(self._clock.monotonic_s())
        # Who reads a part of the results sees gaps where others have the answers.
        if not due or not self._group.has_all():
            return
        try:
            async with contextlib.aclosing(self._places.take(due)) as found:
                async for place in found:
                    if place.record is not None:
                        self._metrics.missing()
                        log.warning("the frame at %s/%d offset %d has no result", *place.partition, place.offset)
        except AccessError:
            raise
        except BusError as exc:
            log.warning("frames without results cannot be counted now: %s", exc)

    def _sweeps_all(self) -> bool:
        """Whether this process looks after cameras that nobody writes any more: the one that has the first partition."""
        return any(number == 0 for _, number in self._intake.partitions)

    async def _sweep_all(self) -> None:
        """Remove what is too old or too much. A failure is told, and tried again the next time."""
        now_us = self._clock.wall_us()
        try:
            async with self._working:
                cameras = set(self._cameras)
                strangers: set[str] = set()

                def list_cameras() -> None:
                    strangers.update(self._sweep.cameras())

                if self._sweeps_all():
                    await self._thread.run(list_cameras)
                for camera in sorted(cameras | strangers):
                    is_ours = camera in cameras or self._group.has_all()
                    await self._thread.run(lambda camera=camera, ours=is_ours: self._sweep_one(camera, now_us, ours))  # type: ignore[misc]
        except StorageError as exc:
            self._unmended = True
            self._tell_storage(str(exc))

    def _sweep_one(self, camera: str, now_us: int, ours: bool) -> None:  # noqa: FBT001
        open_days = [day.rpartition("/")[2] for day in self._keeper.open_days() if day.startswith(f"{camera}/")]
        before = None if ours else day_of(max(0, now_us - _DAY_US))
        removed = self._sweep.sweep(camera, now_us=now_us, open_days=open_days, before=before)
        self._metrics.removed("retention", removed)


def _owner(partition: Partition) -> str:
    return f"{partition[0]}-{partition[1]}"


async def _pause(stop: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(RETRY_S):
            await stop.wait()
