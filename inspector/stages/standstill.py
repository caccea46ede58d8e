"""Whether verdicts still leave while frames are in flight or the byte budget is full. Pure; event loop only.

`inflight/watch` allows a partition to stand still if there is no room for its frames. This module checks that room becomes free again.
"""

from __future__ import annotations

from collections.abc import Collection

from inspector.errors import HangError
from inspector.inflight.budget import Budget, headroom_chunks
from inspector.inflight.frame import Frame
from inspector.inflight.registry import Registry
from inspector.loop.clock import Clock
from inspector.settings.settings import Settings
from inspector.watchdog.limits import EXIT_PARTITION_STALLS

UNREADY_AFTER_S = 10.0
"""Without a verdict for so long the process is unready, unless one batch takes longer than that."""

GIVE_UP_AFTER_S = 30.0
"""After so long the process ends; the limits of the watchdog come before it, for they know better what hangs."""

BATCHES = 5
"""As many of the slowest batch may pass without a verdict."""

LOOK_S = 1.0
"""What counts of the time between two looks at most: a process that was suspended has sent nothing meanwhile, either."""


class Standstill:
    """Counts for how long nothing has left although something should."""

    def __init__(self, settings: Settings, budget: Budget, registry: Registry, clock: Clock) -> None:
        """Begin to count when the first frame is in flight.

        Args:
            settings: what a frame may wait for without anything being wrong.
            budget: what is in flight; without headroom nothing is read.
            registry: knows what the slowest batch took when it was tried.
            clock: tells the time.
        """
        self._settings = settings
        self._budget = budget
        self._registry = registry
        self._clock = clock
        waits_ms = settings.batching.linger_ms + (
            settings.store.fetch_timeout_ms if settings.store.allowed_prefixes else 0
        )
        self._waits_s = waits_ms / 1000
        self._looked_s = clock.monotonic_s()
        self._still_s = 0.0
        self._sentence = ""

    def delivered(self, frame: Frame) -> None:
        """Take note of a verdict that has left; a heartbeat's is none."""
        if not frame.is_heartbeat:
            self._still_s = 0.0

    def look(self, frames: Collection[Frame], unsent: int) -> None:
        """Look whether something is owed; to be called a few times a second.

        Args:
            frames: in flight, and heartbeats.
            unsent: records that are not acknowledged: who waits for the brokers is not helped by a new process.

        Raises:
            HangError: Nothing has left for too long, and no send is what is waiting.
        """
        now_s = self._clock.monotonic_s()
        passed_s, self._looked_s = min(now_s - self._looked_s, LOOK_S), now_s
        count = sum(not frame.is_heartbeat for frame in frames)
        if not count and headroom_chunks(self._settings, self._budget):
            self._still_s = 0.0
            return
        self._still_s += passed_s
        owed = "1 frame is" if count == 1 else f"{count} frames are"
        self._sentence = (
            f"{owed} in flight, and no verdict has left for {self._still_s:.0f} s"
            if count
            else f"no frame is in flight, but {self._budget.used_bytes} of the {self._budget.limit_bytes} bytes of "
            f"limits.max_bytes_in_flight are taken, so that nothing has been read for {self._still_s:.0f} s"
        )
        if not unsent and self._still_s >= self._give_up_s():
            raise HangError(f"{self._sentence}; a new process may help", EXIT_PARTITION_STALLS)

    @property
    def not_ready(self) -> str | None:
        """Return why this process is not ready, as a sentence; None: it is."""
        after_s = max(UNREADY_AFTER_S, BATCHES * self._registry.slowest_batch_s) + self._waits_s
        return self._sentence if self._still_s >= after_s else None

    def _give_up_s(self) -> float:
        limits = self._settings.watchdog
        longest_s = max(limits.device_s, BATCHES * self._registry.slowest_batch_s, limits.worker_s)
        return GIVE_UP_AFTER_S + longest_s + self._waits_s
