"""A commit of an assignment that is over comes late, and is not dropped."""

from __future__ import annotations

import time
from typing import Any

from inspector.bus.ports import Partition
from inspector.errors import BusError
from inspector.stages.source import Source

LATE_S = 2.0


def install() -> None:
    """Commit, some time after an assignment, the last offsets of the one before for what has come back."""
    owner: Any = Source
    revoked, assigned, commit = owner.on_revoked, owner.on_assigned, owner.commit
    old: dict[Partition, int] = {}
    due = [0.0]

    async def on_revoked(self: Any, partitions: set[Partition]) -> None:
        old.update({lease.partition: lease._committed for lease in self.leases if lease._committed is not None})
        await revoked(self, partitions)

    async def on_assigned(self: Any, partitions: set[Partition]) -> None:
        await assigned(self, partitions)
        due[0] = time.monotonic() + LATE_S

    async def late(self: Any, timeout_s: float) -> None:
        await commit(self, timeout_s)
        again = {lease.partition: old[lease.partition] for lease in self.leases if lease.partition in old}
        if again and time.monotonic() > due[0]:
            old.clear()
            try:
                await self._consumer.commit(again)
            except BusError:
                return

    owner.on_revoked, owner.on_assigned, owner.commit = on_revoked, on_assigned, late
