"""Reads frames from partitions that have headroom, holds a lease for each, and commits what the leases allow."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from inspector.bus.ports import ConsumedRecord, FrameConsumer, Partition
from inspector.errors import AccessError, BusError, HangError, StaleCommitError
from inspector.inflight.lease import Lease
from inspector.inflight.watch import Watch
from inspector.loop.clock import Clock
from inspector.observe.metrics import Metrics
from inspector.watchdog.limits import EXIT_PARTITION_STALLS

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 0.05
IDLE_TIMEOUT_S = 1.0
RETRY_S = 0.2
GIVE_UP_S = 30.0
COMMIT_TIMEOUT_S = 5.0
SURVEY_S = 2.0
SURVEY_TIMEOUT_S = 5.0


class Flow(Protocol):
    """What becomes of the records, as far as the source needs to know."""

    def read(self, lease: Lease, records: Sequence[ConsumedRecord]) -> None:
        """Take records, in order; each is to be acknowledged to its lease."""
        ...

    def closing(self, leases: Sequence[Lease]) -> None:
        """Begin nothing more under these leases, and finish what was begun; what is given up is abandoned.

        They are all that there are: the eager protocol revokes everything at once.
        """
        ...

    def ended(self, leases: Sequence[Lease]) -> None:
        """Drop all that is left of these leases."""
        ...


class Source:
    """The consumer's side: reading, rebalancing, committing. Event loop only."""

    def __init__(
        self,
        consumer: FrameConsumer,
        flow: Flow,
        *,
        cap: int,
        choose: Callable[[Sequence[Partition], Callable[[Partition], bool]], list[Partition]],
        clock: Clock,
        metrics: Metrics,
        drain_timeout_s: float,
    ) -> None:
        """Read with `consumer`, hand on to `flow`.

        Args:
            consumer: started by `start`.
            flow: gets the records, and calls `wake` after each acknowledgement.
            cap: offsets that a partition may have between its mark and the last one read.
            choose: of partitions and whether they have more to read, those that may be read now without exceeding the byte budget.
            clock: tells how long reading has been failing.
            metrics: told about assignments, commits and lag.
            drain_timeout_s: for finishing and committing together, when partitions are revoked.
        """
        self._consumer = consumer
        self._flow = flow
        self._cap = cap
        self._choose = choose
        self._clock = clock
        self._metrics = metrics
        self._drain_timeout_s = drain_timeout_s
        self._leases: dict[Partition, Lease] = {}
        self._epoch = 0
        self._shared_out = False
        self._watch = Watch(consumer.topic, clock.monotonic_s())
        self._asked: set[Partition] = set()
        self._asking: Sequence[Partition] = ()
        self._turn = 0
        self._read_to: dict[Partition, int] = {}
        self._empty_at: dict[Partition, int | None] = {}
        """The end of each partition when a read last brought nothing of it; of compacted ones no offset tells that there is no more."""
        self._stopping = False
        self._wake = asyncio.Event()
        self._committing = asyncio.Lock()

    @property
    def assigned(self) -> bool:
        """Whether the group has shared out the partitions; this process may have got none."""
        return self._shared_out

    @property
    def not_ready(self) -> str | None:
        """Why this process does not read what it should, as a sentence; None: it does."""
        if self._stopping:
            return "stopping"
        if not self._shared_out:
            return "the group is sharing out the partitions"
        return self._watch.not_ready(self._clock.monotonic_s())

    @property
    def leases(self) -> list[Lease]:
        """The leases of the present assignment."""
        return list(self._leases.values())

    def partitions(self) -> set[Partition]:
        """Return the partitions of the present assignment."""
        return set(self._leases)

    def wake(self) -> None:
        """Look again: something was acknowledged, or the leases are others."""
        self._wake.set()
        self._wake = asyncio.Event()

    async def start(self) -> None:
        """Connect and join the group."""
        await self._consumer.start(self)

    async def run(self) -> None:
        """Read until `stop`.

        Raises:
            AccessError: The broker refuses the right to read.
            BusError: Nothing but errors for `GIVE_UP_S`; a new process may do better, this consumer will not.
        """
        failing_since_s: float | None = None
        while not self._stopping:
            self._asking = partitions = self._readable()
            self._asked.update(partitions)
            if not partitions:
                failing_since_s = None  # nothing was asked, so nothing failed
                await self._woken(IDLE_TIMEOUT_S)
                continue
            try:
                chunks = await self._consumer.read(partitions, timeout_s=READ_TIMEOUT_S, max_records=self._cap)
            except AccessError:
                raise
            except BusError as exc:
                self._metrics.read_failed()
                now_s = self._clock.monotonic_s()
                failing_since_s = now_s if failing_since_s is None else failing_since_s
                if now_s - failing_since_s >= GIVE_UP_S:
                    raise
                log.warning("reading goes on after an error: %s", exc)
                await asyncio.sleep(RETRY_S)
                continue
            failing_since_s = None
            self._note_empty(partitions, chunks)
            # They belong to the leases of this moment (see `FrameConsumer.read`), not to those before the read, which may
            # have waited through a rebalance, nor to those that a rebalance brings while the chunks are taken in turn.
            held = [(self._leases.get(partition), records) for partition, records in chunks.items()]
            for lease, records in held:
                self._take(lease, records)
                await asyncio.sleep(0)  # admission of a whole chunk takes milliseconds

    async def commit_forever(self, interval_s: float) -> None:
        """Commit every `interval_s` and report the lag, until cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            await self.commit(COMMIT_TIMEOUT_S)
            self._report_lag()

    async def watch_forever(self) -> None:
        """See to it that everything is read that should be, until cancelled.

        Raises:
            AccessError: The brokers have refused this process for `GIVE_UP_AFTER_S`: a password that is being changed on both sides
                may differ for a while.
            HangError: A partition is not read though the brokers answer; a new process may do better.
        """
        while True:
            try:
                async with asyncio.timeout(SURVEY_TIMEOUT_S):
                    survey = await self._consumer.survey()
            except AccessError as exc:
                log.warning("the brokers refuse this process: %s", exc)
                self._watch.refused(str(exc), self._clock.monotonic_s())
                if self._watch.is_refused_for_good():
                    raise
            except (BusError, TimeoutError) as exc:
                self._watch.unseen(str(exc) or "no answer")
            else:
                positions = {lease.partition: self._consumer.position(lease.partition) for lease in self.leases}
                self._watch.seen(survey, positions, self._asked, self._clock.monotonic_s())
                self._asked = set(self._asking)
            for (_, number), seconds in self._watch.stalled_s().items():
                self._metrics.partition_stalled(number, seconds)
            failure = self._watch.failure()
            if failure is not None:
                raise HangError(failure, EXIT_PARTITION_STALLS)
            await asyncio.sleep(SURVEY_S)

    async def commit(self, timeout_s: float) -> None:
        """Commit what all leases allow; a failure is counted and left to the next time."""
        try:
            async with asyncio.timeout(timeout_s), self._committing:
                marks = [(lease, mark) for lease in self.leases if (mark := lease.committable()) is not None]
                if not marks:
                    return
                await self._consumer.commit({lease.partition: mark for lease, mark in marks})
        except StaleCommitError as exc:
            log.info("%s", exc)
            self._metrics.commit("stale")
        except BusError as exc:
            log.warning("offsets are not committed yet: %s", exc)
            self._metrics.commit("failed")
        except TimeoutError:
            log.warning("offsets are not committed yet: the broker does not answer")
            self._metrics.commit("failed")
        else:
            for lease, mark in marks:
                lease.committed(mark)
            self._metrics.commit("ok")

    async def on_assigned(self, partitions: set[Partition]) -> None:
        """Open a lease for each partition of the new assignment."""
        self._epoch += 1
        self._shared_out = True
        self._watch.begin()
        self._empty_at.clear()
        if not self._stopping:
            self._leases = {partition: Lease(partition, self._epoch, cap=self._cap) for partition in sorted(partitions)}
        self._metrics.assigned([number for _, number in partitions])
        log.info("assigned %d partitions: %s", len(partitions), sorted(number for _, number in partitions))
        self.wake()

    async def on_revoked(self, partitions: set[Partition]) -> None:
        """Finish what was begun, commit, and give the partitions back. Never raises."""
        if partitions:
            log.info("giving back %d partitions", len(partitions))
        self._shared_out = False
        try:
            await self._release(self._drain_timeout_s)
        except Exception:
            log.exception("giving back partitions failed; their frames will be read again")

    async def stop(self, timeout_s: float) -> bool:
        """Take in no more, finish what was begun, commit, and end the leases; the consumer is still to be stopped.

        Returns:
            Whether everything that was begun was also finished, within `timeout_s`.
        """
        self._stopping = True
        self.wake()
        return await self._release(timeout_s)

    async def _release(self, timeout_s: float) -> bool:
        """Close, settle, commit and end all leases in the time given; the eager protocol revokes all at once."""
        leases = self.leases
        try:
            for lease in leases:
                lease.close()
            commit_s = min(COMMIT_TIMEOUT_S, timeout_s / 4)
            self._flow.closing(leases)
            await self._settled(leases, timeout_s - commit_s)
            await self.commit(commit_s)
            return not any(lease.in_flight for lease in leases)
        finally:
            for lease in leases:
                lease.end()
            self._leases.clear()
            self._flow.ended(leases)

    async def _settled(self, leases: Sequence[Lease], timeout_s: float) -> None:
        """Wait until nothing is in flight under these leases, up to `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while any(lease.in_flight for lease in leases):
                    await self._wake.wait()

    def _readable(self) -> list[Partition]:
        """Return the partitions to read now: below their cap, as many as the byte budget has room for, in turn."""
        partitions = [partition for partition, lease in self._leases.items() if lease.readable]
        if not partitions:
            return []
        self._turn += 1
        start = self._turn % len(partitions)
        return self._choose(partitions[start:] + partitions[:start], self._has_more)

    def _has_more(self, partition: Partition) -> bool:
        """Return whether there is something to read in a partition, as far as is known."""
        end, next_offset = self._consumer.end_offset(partition), self._leases[partition].next_offset
        return end is not None and end != next_offset and end != self._empty_at.get(partition)

    def _note_empty(self, asked: Sequence[Partition], chunks: Mapping[Partition, Sequence[ConsumedRecord]]) -> None:
        if sum(map(len, chunks.values())) < self._cap:  # else there was no place for theirs
            self._empty_at |= {p: self._consumer.end_offset(p) for p in asked if p not in chunks}

    async def _woken(self, timeout_s: float) -> None:
        """Wait for the next `wake`, up to `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()

    def _take(self, lease: Lease | None, records: Sequence[ConsumedRecord]) -> None:
        if lease is None or lease.closing:
            return  # revoked meanwhile: whoever has the partition next reads them again
        fresh = [record for record in records if lease.take(record.offset)]
        if not fresh:
            return
        read_to = self._read_to.get(lease.partition, -1)
        for record in fresh:
            if record.offset <= read_to:
                self._metrics.duplicate_delivery()
        self._read_to[lease.partition] = max(read_to, fresh[-1].offset)
        self._flow.read(lease, fresh)

    def _report_lag(self) -> None:
        for lease in self.leases:
            ends = (self._consumer.end_offset(lease.partition), self._watch.end(lease.partition))  # fetched, surveyed
            end = max((end for end in ends if end is not None), default=None)
            position, committed = self._consumer.position(lease.partition), lease.committed_offset
            if end is not None and position is not None:
                uncommitted = end - (position if committed is None else committed)
                self._metrics.lag(lease.partition[1], uncommitted=uncommitted, unread=end - position)
