"""Reports to the audit topic what this process did with a release, in a chain of its own, so that processes do not compete."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import socket
from collections import deque
from typing import Final, NamedTuple

from inspector.bus.ports import ProducedRecord, ResultProducer
from inspector.errors import BusError
from inspector.loop.clock import Clock
from inspector.settings.settings import Settings
from schemas import AuditRecord, ModelRelease, audit_hash, encode
from schemas.releases.audit import OutcomeAction, TrialOutcome

log = logging.getLogger(__name__)

MOST_WAITING: Final = 1000
"""Outcomes that wait for the brokers; beyond it the oldest are told by the log alone."""
RETRY_S: Final = 1.0


class Outcome(NamedTuple):
    """What became of a release."""

    release: ModelRelease
    action: OutcomeAction
    detail: str
    at: int
    trial: TrialOutcome | None


class OutcomeTeller:
    """Sends outcomes in their order, each until it is acknowledged. Event loop only."""

    def __init__(self, settings: Settings, producer: ResultProducer, clock: Clock) -> None:
        """Prepare; nothing is sent before `run`."""
        self._topic = settings.topics.audit_topic
        self._by = settings.deployment_name
        self.chain = f"process:{self._by}/{instance_name()}"
        self._producer = producer
        self._clock = clock
        self._waiting: deque[Outcome] = deque(maxlen=MOST_WAITING)
        self._position, self._hash = 0, None  # type: tuple[int, str | None]
        self._has_more = asyncio.Event()

    def tell(self, release: ModelRelease, action: OutcomeAction, detail: str = "") -> None:
        """Note what became of a release."""
        self._note(release, action, detail, None)

    def tell_trial(self, release: ModelRelease, outcome: TrialOutcome, detail: str) -> None:
        """Note what became of the model that a release has on trial; the release itself is not concerned."""
        self._note(release, "applied" if outcome == "begun" else "refused", detail, outcome)

    def _note(self, release: ModelRelease, action: OutcomeAction, detail: str, trial: TrialOutcome | None) -> None:
        self._waiting.append(Outcome(release, action, detail, self._clock.wall_us(), trial))
        self._has_more.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._has_more.wait()
            self._has_more.clear()
            while self._waiting:
                await self._send(self._waiting.popleft())

    async def _send(self, outcome: Outcome) -> None:
        release = outcome.release
        record = AuditRecord(
            chain=self.chain,
            position=self._position,
            previous_hash=self._hash,
            action=outcome.action,
            line_id=release.line_id,
            camera_id=release.camera_id,
            number=release.number,
            by=self._by,
            at=outcome.at,
            old=None,
            new=release.models if outcome.action == "applied" else None,
            detail=outcome.detail,
            trial=outcome.trial,
        )
        value, key = encode(record), self.chain.encode()
        while True:  # the same bytes again: who reads them twice knows them by their hash
            try:
                number = await self._producer.partition_for(self._topic, key)
                await self._producer.send((self._topic, number), [ProducedRecord(self._topic, key, value, [])])
            except BusError as exc:
                log.warning(
                    "cannot write to the audit topic about release %d of %s yet: %s",
                    release.number,
                    release.camera,
                    exc,
                )
                await asyncio.sleep(RETRY_S)
            else:
                break
        self._position, self._hash = self._position + 1, audit_hash(value)


def instance_name() -> str:
    """Return a name that no other process has, of letters, digits, _ and -."""
    host = re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:40]
    return f"{host or 'host'}-{os.getpid()}-{secrets.token_hex(3)}"
