"""When a batch closes and who is in it. Pure: the time is an argument."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from inspector.inflight.turns import TurnQueues, Waiting

F = TypeVar("F", bound=Waiting)

EWMA_WEIGHT = 0.2


@dataclass(frozen=True, slots=True)
class Pull(Generic[F]):
    """What one pull gave: a batch (of one model, maybe empty) and the frames whose deadline had passed."""

    batch: list[F]
    expired: list[F]


class Batcher(Generic[F]):
    """Collects decoded frames; a batch closes when the engine asks for one. Event loop only.

    With a linger, an incomplete batch waits for company until the linger is over, but never beyond the earliest
    deadline less the time that the model is expected to take.
    """

    def __init__(self, *, max_size: int, linger_s: float = 0.0, inputs: Callable[[F], int] = lambda _frame: 1) -> None:
        """Make batches.

        Args:
            max_size: how many inputs of a network one has at most, or those of a single frame.
            linger_s: how long an incomplete batch waits for company.
            inputs: how many a frame becomes; more than one where its model cuts pictures into tiles.
        """
        if max_size < 1 or linger_s < 0:
            msg = f"max_size must be at least 1 and linger_s at least 0, not {max_size} and {linger_s}"
            raise ValueError(msg)
        self._max_size = max_size
        self._linger_s = linger_s
        self._inputs = inputs
        self._waiting: TurnQueues[F] = TurnQueues()
        self._service_s: dict[object, float] = {}
        self._waiting_since_s: float | None = None

    def __len__(self) -> int:
        """Return the number of frames that wait for the engine."""
        return len(self._waiting)

    def push(self, frame: F, now_s: float) -> None:
        """Add a decoded frame."""
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s
        self._waiting.push(frame)

    def observe(self, model: object, service_s: float) -> None:
        """Learn how long a batch of `model` took, as an exponentially weighted mean."""
        known = self._service_s.get(model, service_s)
        self._service_s[model] = known + EWMA_WEIGHT * (service_s - known)

    def estimated_service_s(self, model: object) -> float:
        """Return the expected seconds of a batch of `model`; 0 before the first."""
        return self._service_s.get(model, 0.0)

    def due_s(self) -> float | None:
        """Return the time at which the next batch should close; None when nothing waits.

        A time in the past means at once. A batch that is full is due at once.
        """
        first = self._waiting.most_urgent()
        if first is None or self._waiting_since_s is None:
            return None
        if self._linger_s == 0 or self._waiting.count(first.model) >= self._most(first):
            return self._waiting_since_s
        latest_s = first.deadline_s - self.estimated_service_s(first.model)
        return min(self._waiting_since_s + self._linger_s, latest_s)

    def pull(self, now_s: float, *, slots: int = 1, linger: bool = True) -> Pull[F]:
        """Close a batch if one is due (or `linger` is off), and drop the frames that expired.

        Args:
            now_s: the monotonic time.
            slots: how many batches the engine would compute side by side; without a linger they share what waits, so that
                none of its threads idles while another has all the frames.
            linger: whether an incomplete batch may wait for company.
        """
        expired = self._waiting.drop_expired(now_s)
        due_s = self.due_s()
        if due_s is None or (linger and due_s > now_s):
            self._restart(now_s, keep=due_s is not None)
            return Pull([], expired)
        first = self._waiting.most_urgent()
        most = self._max_size if first is None else self._most(first)
        share = most if self._linger_s else math.ceil(len(self._waiting) / slots)
        batch, more_expired = self._waiting.take(min(most, share), now_s)
        self._restart(now_s, keep=False)
        return Pull(batch, expired + more_expired)

    def _most(self, frame: F) -> int:
        """Return how many frames a batch of this one's model may have."""
        return max(1, self._max_size // self._inputs(frame))

    def remove(self, unwanted: Callable[[F], bool]) -> list[F]:
        """Remove and return every frame for which `unwanted` is true."""
        removed = self._waiting.remove(unwanted)
        if not self._waiting:
            self._waiting_since_s = None
        return removed

    def _restart(self, now_s: float, *, keep: bool) -> None:
        if not self._waiting:
            self._waiting_since_s = None
        elif not keep:
            self._waiting_since_s = now_s
