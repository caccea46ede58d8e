"""Passes records from the bus to the gate: a result of the line becomes evidence, a heartbeat a beat. Event loop only."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

from inspector.bus.ports import ConsumedRecord
from inspector.bus.reading.result import result_of
from inspector.gate.decide import Gate
from inspector.gate.evidence import Seen, judge
from inspector.gate.golden import beat_of
from inspector.loop.clock import Clock
from schemas import identity_from_headers

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Counts:
    """What came from the bus."""

    results: int = 0
    heartbeats: int = 0
    strangers: int = 0
    """Results of other lines, or of no known camera and part."""
    unreadable: int = 0


@dataclass(slots=True)
class Intake:
    """Turns records into what the gate is told.

    Attributes:
        gate: Is told.
        line_id: Its line; results of others are passed over.
        heartbeats_topic: Where heartbeats come from; whatever lies there is about no part.
        skew_us: See `judge`.
        takes_simulated: See `judge`.
        clock: The gate's.
    """

    gate: Gate
    line_id: str
    heartbeats_topic: str
    skew_us: int
    takes_simulated: bool
    clock: Clock
    counts: Counts = field(default_factory=Counts)

    def take(self, records: Iterable[ConsumedRecord]) -> None:
        """Tell the gate what these records say. Never raises for what is wrong with one."""
        for record in records:
            if record.topic == self.heartbeats_topic:
                self._beat(record)
            else:
                self._result(record)

    def _result(self, record: ConsumedRecord) -> None:
        now_us = self.clock.wall_us()
        seen = self._readable(record, now_us) or self._unreadable(record)
        if seen is not None:
            self.counts.results += 1
            self.gate.observe(seen, now_s=self.clock.monotonic_s(), now_us=now_us)

    def _readable(self, record: ConsumedRecord, now_us: int) -> Seen | None:
        message = result_of(record)
        if message is None or message.line_id != self.line_id or message.camera_id is None or message.part_id is None:
            self.counts.strangers += message is not None
            return None
        verdict = judge(
            message,
            now_us,
            skew_us=self.skew_us,
            trusted_from_us=self.gate.trusted_from_us,
            takes_simulated=self.takes_simulated,
        )
        writer = message.deployment or ""
        return Seen(message.camera_id, message.part_id, message.result_id, verdict, message.captured_at or 0, writer)

    def _unreadable(self, record: ConsumedRecord) -> Seen | None:
        """A result that cannot be read counts against the part that its headers name."""
        if result_of(record) is not None:
            return None
        self.counts.unreadable += 1
        line_id, camera_id, part_id, _, captured_at = identity_from_headers(record.headers)
        if line_id != self.line_id or camera_id is None or part_id is None:
            return None
        place = f"{record.topic}/{record.partition}/{record.offset}".encode()
        result_id = hashlib.blake2b(place, digest_size=16).hexdigest()
        return Seen(camera_id, part_id, result_id, "unreadable", captured_at or 0)

    def _beat(self, record: ConsumedRecord) -> None:
        message = result_of(record)
        if message is None or message.line_id != self.line_id or message.camera_id is None:
            return
        beat = beat_of(message, record.headers, self.clock.wall_us(), skew_us=self.skew_us)
        if beat is None:
            return
        self.counts.heartbeats += 1
        self.gate.beat(message.camera_id, beat.fault, now_s=self.clock.monotonic_s())
