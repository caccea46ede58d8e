"""Frames in: reads partitions that have headroom, holds a lease for each, and commits what their leases allow."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from inspector.bus import ConsumedRecord, FrameConsumer, Partition
from inspector.clock import Clock
from inspector.errors import AccessError, BusError, StaleCommitError
from inspector.lease import Lease
from inspector.metrics import Metrics

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 0.05
IDLE_TIMEOUT_S = 1.0
RETRY_S = 0.2
GIVE_UP_S = 30.0
COMMIT_TIMEOUT_S = 5.0


class Source:
    """The consumer's side: reading, rebalancing, committing. Event loop only."""

    def __init__(  # noqa: PLR0913 the seams to everything that it must not know
        self,
        consumer: FrameConsumer,
        *,
        cap: int,
        headroom: Callable[[], int],
        on_records: Callable[[Lease, Sequence[ConsumedRecord]], None],
        settle: Callable[[Sequence[Lease], float], Awaitable[None]],
        forget: Callable[[Sequence[Lease]], None],
        clock: Clock,
        metrics: Metrics,
        drain_timeout_s: float,
    ) -> None:
        """Read with `consumer`.

        Args:
            consumer: started by `start`.
            cap: offsets that a partition may have between its mark and the last one read.
            headroom: how many partitions may be read now without exceeding the byte budget.
            on_records: takes records, in order, each to be acknowledged to its lease.
            settle: finishes what was begun under closing leases, until a monotonic time.
            forget: drops all that is left of ended leases.
            clock: for the drain's deadline.
            metrics: told about assignments, commits and lag.
            drain_timeout_s: for settling and committing together, on revoke and on stop.
        """
        self._consumer = consumer
        self._cap = cap
        self._headroom = headroom
        self._on_records = on_records
        self._settle = settle
        self._forget = forget
        self._clock = clock
        self._metrics = metrics
        self._drain_timeout_s = drain_timeout_s
        self._leases: dict[Partition, Lease] = {}
        self._epoch = 0
        self._turn = 0
        self._read_to: dict[Partition, int] = {}
        self._stopping = False
        self._wake = asyncio.Event()
        self._committing = asyncio.Lock()

    @property
    def assigned(self) -> bool:
        """Whether this process has joined the group; it may have got no partition."""
        return self._epoch > 0

    @property
    def leases(self) -> list[Lease]:
        """The leases of the present assignment."""
        return list(self._leases.values())

    def wake(self) -> None:
        """Look again whether a partition may be read."""
        self._wake.set()

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
            partitions = self._readable()
            if not partitions:
                await self._idle()
                continue
            try:
                chunks = await self._consumer.read(partitions, timeout_s=READ_TIMEOUT_S, max_records=self._cap)
            except AccessError:
                raise
            except BusError as exc:
                now_s = self._clock.monotonic_s()
                failing_since_s = now_s if failing_since_s is None else failing_since_s
                if now_s - failing_since_s >= GIVE_UP_S:
                    raise
                log.warning("reading goes on after an error: %s", exc)
                await asyncio.sleep(RETRY_S)
                continue
            failing_since_s = None
            for partition, records in chunks.items():
                self._take(partition, records)
                await asyncio.sleep(0)  # admission of a whole chunk takes milliseconds

    async def commit_forever(self, interval_s: float) -> None:
        """Commit every `interval_s` and report the lag, until cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            await self.commit(COMMIT_TIMEOUT_S)
            self._report_lag()

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
        if not self._stopping:
            self._leases = {partition: Lease(partition, self._epoch, cap=self._cap) for partition in sorted(partitions)}
        self._metrics.assigned([number for _, number in partitions])
        log.info("assigned %d partitions: %s", len(partitions), sorted(number for _, number in partitions))
        self.wake()

    async def on_revoked(self, partitions: set[Partition]) -> None:
        """Finish what was begun, commit, and give the partitions back. Never raises."""
        log.info("giving back %d partitions", len(partitions))
        try:
            await self._release(self._drain_timeout_s)
        except Exception:
            log.exception("giving partitions back did not go as it should; their frames will be read again")

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
        leases, until_s = self.leases, self._clock.monotonic_s() + timeout_s
        try:
            for lease in leases:
                lease.close()
            commit_s = min(COMMIT_TIMEOUT_S, timeout_s / 4)
            await self._settle(leases, until_s - commit_s)
            await self.commit(commit_s)
            return not any(lease.in_flight for lease in leases)
        finally:
            for lease in leases:
                lease.end()
                if self._leases.get(lease.partition) is lease:
                    del self._leases[lease.partition]
            self._forget(leases)

    def _readable(self) -> list[Partition]:
        """Return the partitions to read now: below their cap, as many as the byte budget has room for, in turn."""
        partitions = [partition for partition, lease in self._leases.items() if lease.readable]
        room = self._headroom() if partitions else 0
        if room < len(partitions):
            self._turn += 1
            start = self._turn % len(partitions)
            partitions = (partitions[start:] + partitions[:start])[:room]
        return partitions

    async def _idle(self) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(IDLE_TIMEOUT_S):
                await self._wake.wait()
        except TimeoutError:
            return

    def _take(self, partition: Partition, records: Sequence[ConsumedRecord]) -> None:
        lease = self._leases.get(partition)
        if lease is None or lease.closing:
            return  # revoked meanwhile: whoever has the partition next reads them again
        fresh = [record for record in records if lease.take(record.offset)]
        if not fresh:
            return
        read_to = self._read_to.get(partition, -1)
        for record in fresh:
            if record.offset <= read_to:
                self._metrics.duplicate_delivery()
        self._read_to[partition] = max(read_to, fresh[-1].offset)
        self._on_records(lease, fresh)

    def _report_lag(self) -> None:
        for lease in self.leases:
            end = self._consumer.end_offset(lease.partition)
            if end is not None and lease.next_offset is not None:
                self._metrics.consumer_lag(lease.partition[1], end - lease.next_offset)
