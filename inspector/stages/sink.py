"""Sends verdicts: one task sends in the given order, acknowledgements are awaited elsewhere, and nothing overtakes a failed send.

Each output partition has one record batch on its way at a time. A batch arrives completely or not at
all, and is sent again until it is acknowledged. So whatever fails, the first occurrences of a camera's verdicts keep
their order, with or without an idempotent producer. While a batch is on its way the next one fills up: batches are large
under load and small otherwise.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from inspector.bus.ports import Partition, ProducedRecord, ResultProducer
from inspector.errors import AccessError, BusError, MessageTooLargeError, PartitionGoneError
from inspector.inflight.frame import Outgoing
from inspector.loop.clock import Clock
from inspector.observe.fields import about, exemplar_labels
from inspector.observe.metrics import LETTERED, Metrics, Timing
from inspector.watchdog.ongoing import Ongoing

log = logging.getLogger(__name__)

WINDOW_BYTES = 256 * 1024
WINDOW_RECORDS = 500
FIRST_RETRY_S = 0.05
LAST_RETRY_S = 2.0
_CACHED_PARTITIONS = 4096


class Events(Protocol):
    """What the sink tells the rest."""

    def late(self, outgoing: Outgoing) -> None:
        """Turn this verdict, whose deadline passed before it was sent, into one that says so."""
        ...

    def smaller(self, record: ProducedRecord) -> ProducedRecord | None:
        """Return a smaller form of a record that the broker finds too large, or None."""
        ...

    def delivered(self, outgoing: Outgoing) -> None:
        """Every record of this verdict is acknowledged."""
        ...

    def send_retried(self, *, deadletter: bool) -> None:
        """Something has to be sent again."""
        ...


@dataclass(slots=True, eq=False)
class _Parcel:
    outgoing: Outgoing
    deadletter: bool

    @property
    def record(self) -> ProducedRecord:
        deadletter = self.outgoing.deadletter
        return deadletter if self.deadletter and deadletter is not None else self.outgoing.result

    @record.setter
    def record(self, record: ProducedRecord) -> None:
        if self.deadletter:
            self.outgoing.deadletter = record
        else:
            self.outgoing.result = record


@dataclass(slots=True)
class _Lane:
    partition: Partition
    waiting: deque[_Parcel] = field(default_factory=deque)
    window: list[_Parcel] = field(default_factory=list)
    busy: bool = False


class Sink:
    """Sends what it is given, in order. Event loop only."""

    def __init__(self, producer: ResultProducer, events: Events, clock: Clock) -> None:
        """Send with `producer`, which must be started before `run`."""
        self._producer = producer
        self._events = events
        self._clock = clock
        self._queue: deque[Outgoing] = deque()
        self._lanes: dict[Partition, _Lane] = {}
        self._unplaced: dict[str, dict[bytes, list[_Parcel]]] = {}  # by topic and key, whose partition is not known
        self._partitions: dict[tuple[str, bytes], int] = {}
        self._given = asyncio.Event()
        self.sending = Ongoing()
        """Sends that are neither acknowledged nor failed, by their topics and partitions."""

    def __len__(self) -> int:
        """Return the number of records that are not acknowledged."""
        in_lanes = sum(len(lane.waiting) + len(lane.window) for lane in self._lanes.values())
        unplaced = sum(len(parcels) for keys in self._unplaced.values() for parcels in keys.values())
        return len(self._queue) + unplaced + in_lanes

    @property
    def partitions(self) -> set[Partition]:
        """What was sent to so far, and is there as far as is known."""
        return set(self._lanes)

    def put(self, outgoing: Outgoing) -> None:
        """Take a verdict; those of one camera must come in the order in which they are to arrive."""
        self._queue.append(outgoing)
        self._given.set()

    async def run(self) -> None:
        """Send until cancelled.

        Raises:
            AccessError: The broker refuses what was sent or asked; an operator must act.
            MessageTooLargeError: A record cannot be made small enough for the broker.
        """
        async with asyncio.TaskGroup() as deliveries:
            while True:
                await self._given.wait()
                self._given.clear()
                while self._queue:
                    self._dispatch(self._queue.popleft(), deliveries)

    def _dispatch(self, outgoing: Outgoing, deliveries: asyncio.TaskGroup) -> None:
        parcels = [_Parcel(outgoing, deadletter=False)]
        if outgoing.deadletter is not None:
            parcels.append(_Parcel(outgoing, deadletter=True))
        for parcel in parcels:
            topic, key = parcel.record.topic, parcel.record.key
            number = self._partitions.get((topic, key))
            if number is not None:
                self._enqueue(parcel, (topic, number), deliveries)
            elif topic in self._unplaced:
                self._unplaced[topic].setdefault(key, []).append(parcel)
            else:
                self._unplaced[topic] = {key: [parcel]}
                deliveries.create_task(self._place(topic, deliveries))

    async def _place(self, topic: str, deliveries: asyncio.TaskGroup) -> None:
        """Find the lanes of what waits for this topic, key by key, until nothing waits."""
        unplaced = self._unplaced[topic]
        is_retried = False
        while unplaced:
            key = next(iter(unplaced))
            first = next((parcel for parcel in unplaced[key] if parcel.outgoing.frame.live), None)
            if first is None:
                del unplaced[key]  # whoever has the partition now answers for these
                continue
            try:
                with self.sending.step(topic):
                    number = await self._producer.partition_for(topic, key)
            except AccessError:
                raise
            except BusError as exc:
                log.warning("cannot send yet: %s", exc)
                self._events.send_retried(deadletter=first.deadletter)
                is_retried = True
                await asyncio.sleep(LAST_RETRY_S)
                continue
            if len(self._partitions) >= _CACHED_PARTITIONS:
                self._partitions.clear()  # keys of unknown cameras must not pile up
            self._partitions[topic, key] = number
            for parcel in unplaced.pop(key):  # at once: what comes from now on goes to the lane directly
                parcel.outgoing.is_retried |= is_retried
                self._enqueue(parcel, (topic, number), deliveries)
        del self._unplaced[topic]

    def _enqueue(self, parcel: _Parcel, partition: Partition, deliveries: asyncio.TaskGroup) -> None:
        lane = self._lanes.setdefault(partition, _Lane(partition))
        lane.waiting.append(parcel)
        if not lane.busy:
            lane.busy = True
            deliveries.create_task(self._deliver(lane, deliveries))

    async def _deliver(self, lane: _Lane, deliveries: asyncio.TaskGroup) -> None:
        """Send what waits in this lane, one window after the other, until nothing waits."""
        while lane.waiting:
            self._pack(lane)
            while lane.window:
                await self._send(lane, deliveries)
        lane.busy = False

    def _pack(self, lane: _Lane) -> None:
        """Move what fits into the window; the last look at the lease and the deadline."""
        now_s = self._clock.monotonic_s()
        size = 0
        while lane.waiting and len(lane.window) < WINDOW_RECORDS:
            parcel = lane.waiting[0]
            outgoing = parcel.outgoing
            if not outgoing.frame.live:
                lane.waiting.popleft()  # whoever has the partition now answers for it
                continue
            if outgoing.status == "inspected" and outgoing.frame.deadline_s <= now_s:
                self._events.late(outgoing)
            size += parcel.record.size_bytes
            if lane.window and size > WINDOW_BYTES:
                break
            lane.window.append(lane.waiting.popleft())

    async def _send(self, lane: _Lane, deliveries: asyncio.TaskGroup) -> None:
        """Send the window's first records until they are acknowledged."""
        retry_s = FIRST_RETRY_S
        limit = len(lane.window)
        while lane.window:
            try:
                with self.sending.step("{}/{}".format(*lane.partition)):
                    count = await self._producer.send(lane.partition, [parcel.record for parcel in lane.window[:limit]])
            except AccessError:
                raise
            except PartitionGoneError as exc:
                log.warning("verdicts are sent to another partition: %s", exc)
                self._events.send_retried(deadletter=lane.window[0].deadletter)
                await asyncio.sleep(LAST_RETRY_S)
                self._move(lane, deliveries)
                return
            except MessageTooLargeError:
                if limit == 1:
                    self._make_smaller(lane.window[0])
                limit = 1
            except BusError as exc:
                log.warning("verdicts are sent again: %s", exc)
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, LAST_RETRY_S)
            else:
                acknowledged, lane.window = lane.window[:count], lane.window[count:]
                for parcel in acknowledged:
                    self._acknowledged(parcel.outgoing)
                return
            self._events.send_retried(deadletter=lane.window[0].deadletter)
            _retried(lane)
            # Whoever has the partition now answers for the frames of an ended lease.
            lane.window = [parcel for parcel in lane.window if parcel.outgoing.frame.live]

    def _move(self, lane: _Lane, deliveries: asyncio.TaskGroup) -> None:
        """Find other lanes for all that is in this one, whose partition is gone: the topic was made anew, and smaller."""
        topic, _ = lane.partition
        del self._lanes[lane.partition]
        moved: dict[bytes, list[_Parcel]] = {}
        _retried(lane)
        for parcel in (*lane.window, *lane.waiting):
            moved.setdefault(parcel.record.key, []).append(parcel)
        lane.window.clear()
        lane.waiting.clear()
        for place in [place for place, there in self._partitions.items() if (place[0], there) == lane.partition]:
            del self._partitions[place]
        if topic not in self._unplaced:
            self._unplaced[topic] = {}
            deliveries.create_task(self._place(topic, deliveries))
        unplaced = self._unplaced[topic]
        for key, parcels in moved.items():
            unplaced[key] = parcels + unplaced.get(key, [])

    def _make_smaller(self, parcel: _Parcel) -> None:
        record = self._events.smaller(parcel.record)
        if record is None:
            raise MessageTooLargeError(
                f"topic {parcel.record.topic} does not accept a record of {parcel.record.size_bytes} bytes; raise its "
                "max.message.bytes"
            )
        parcel.record = record

    def _acknowledged(self, outgoing: Outgoing) -> None:
        outgoing.unacknowledged -= 1
        if outgoing.unacknowledged == 0:
            self._events.delivered(outgoing)


def _retried(lane: _Lane) -> None:
    """Mark all that waited for a send that failed."""
    for parcel in (*lane.window, *lane.waiting):
        parcel.outgoing.is_retried = True


def _timing(outgoing: Outgoing, wall_us: int) -> Timing:
    """Tell whether a verdict that is acknowledged now came in time."""
    deadline_at = outgoing.frame.deadline_at
    if outgoing.reason == "superseded":
        return "superseded"
    if deadline_at is None or outgoing.reason == "captured_in_future":
        return "unknown"
    return "late" if outgoing.status == "expired" or wall_us > deadline_at else "on_time"


def count_delivery(metrics: Metrics, outgoing: Outgoing, wall_us: int) -> None:
    """Count a verdict that is acknowledged; a heartbeat's is nobody's frame."""
    frame = outgoing.frame
    if frame.is_heartbeat:
        metrics.heartbeat(outgoing.status)
        return
    metrics.frame_finished(frame.camera, outgoing.status, outgoing.reason)
    metrics.verdict(frame.camera, outgoing.anomaly_class, outgoing.score_ratio)
    metrics.answered(frame.camera, _timing(outgoing, wall_us))
    if outgoing.deadletter is not None:
        metrics.dead_letter(outgoing.reason)
    if frame.identity.captured_at is not None:
        age_s = (wall_us - frame.identity.captured_at) / 1e6
        metrics.capture_to_result(frame.camera, age_s, exemplar_labels(frame))
    _tell(outgoing)


def _tell(outgoing: Outgoing) -> None:
    """Log a verdict: what gets a dead letter as a warning, of which the log repeats only the number; all others for who debugs."""
    level = logging.WARNING if outgoing.status in LETTERED else logging.DEBUG
    if not log.isEnabledFor(level):
        return
    frame = outgoing.frame
    reference = None if frame.route is None else frame.route.reference
    line = about(
        log,
        frame,
        status=outgoing.status,
        reason=outgoing.reason,
        detail=None if frame.refusal is None else frame.refusal.detail or None,
        anomaly_class=outgoing.anomaly_class,
        score_ratio=outgoing.score_ratio,
        model=None if reference is None else reference.name,
        model_version=None if reference is None else reference.version,
        model_digest=None if reference is None else reference.digest,
        batch_size=frame.batch_size,
    )
    if level == logging.WARNING:
        line.warning("a part was rejected uninspected: %s, %s", outgoing.status, outgoing.reason)
    else:
        line.debug("verdict: %s, %s", outgoing.anomaly_class, outgoing.status)
