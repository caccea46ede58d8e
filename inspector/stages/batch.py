"""When a batch closes, who is in it and who is given up. Pure: the time is an argument.

Under overload the head of every queue is a frame that has hardly any time left. To score it is to score in vain, and so are all after
it: what was learnt of the pace of each model (`Pace`) tells which frames cannot be in time any more, and they are answered instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from inspector.inflight.pace import Pace
from inspector.inflight.turns import TurnQueues, Waiting

F = TypeVar("F", bound=Waiting)


@dataclass(frozen=True, slots=True)
class Pull(Generic[F]):
    """What one pull gave: a batch (of one model, maybe empty) and the frames whose deadline has passed or cannot be met."""

    batch: list[F]
    expired: list[F]


class Batcher(Generic[F]):
    """Collects decoded frames; a batch closes when the engine asks for one. Event loop only.

    With a linger, an incomplete batch waits for company until the linger is over, but never beyond the earliest
    deadline less the time that the model is expected to take.
    """

    def __init__(
        self,
        *,
        max_size: int,
        linger_s: float = 0.0,
        inputs: Callable[[F], int] = lambda _frame: 1,
        weight: Callable[[F], float] = lambda _frame: 1.0,
    ) -> None:
        """Make batches.

        Args:
            max_size: how many inputs of a network one has at most, or those of a single frame.
            linger_s: how long an incomplete batch waits for company.
            inputs: how many a frame becomes; more than one where its model cuts pictures into tiles.
            weight: of its camera, see `TurnQueues`.
        """
        if max_size < 1 or linger_s < 0:
            msg = f"max_size must be at least 1 and linger_s at least 0, not {max_size} and {linger_s}"
            raise ValueError(msg)
        self._max_size = max_size
        self._linger_s = linger_s
        self._inputs = inputs
        self._waiting: TurnQueues[F] = TurnQueues(weight)
        self._paces: dict[object, Pace] = {}
        self._after = Pace()
        self._waiting_since_s: float | None = None

    def __len__(self) -> int:
        """Return the number of frames that wait for the engine."""
        return len(self._waiting)

    def push(self, frame: F, now_s: float) -> None:
        """Add a decoded frame."""
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s
        self._waiting.push(frame)

    def observe(self, model: object, size: int, service_s: float) -> None:
        """Learn how long a batch of `size` frames of `model` took."""
        self._paces.setdefault(model, Pace()).observe(size, service_s)

    def observe_after(self, seconds: float) -> None:
        """Learn how long a frame took from its score to its turn to be sent."""
        self._after.observe(1, seconds)

    def needed_s(self, model: object, size: int) -> float:
        """Return the seconds that a batch of `size` frames of `model` is expected to take until its verdicts are sent; 0 before the first."""
        pace = self._paces.get(model)
        return 0.0 if pace is None else pace.expected_s(size) + self._after.expected_s(1)

    def full(self, frame: F) -> bool:
        """Return whether a whole batch waits already, so that the device has enough to do."""
        return len(self._waiting) >= self._most(frame)

    def wait_s(self, frame: F) -> float:
        """Return the seconds until the verdict of a frame that is still to be decoded is sent, as things are.

        Those are a batch that runs, its own, and before that the rounds in which the frames of its camera that wait have their turn.
        """
        most = self._most(frame)
        rounds = self._waiting.waiting_of(frame.camera) * self._waiting.cameras / most
        return (2 + rounds) * self.needed_s(frame.model, most)

    def due_s(self) -> float | None:
        """Return the time at which the next batch should close; None when nothing waits.

        A time in the past means at once. A batch that is full is due at once.
        """
        first = self._waiting.most_urgent()
        if first is None or self._waiting_since_s is None:
            return None
        if self._linger_s == 0 or self._waiting.count(first.model) >= self._most(first):
            return self._waiting_since_s
        latest_s = first.deadline_s - self.needed_s(first.model, self._waiting.count(first.model))
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
        first = self._waiting.next()
        most = self._max_size if first is None else self._most(first)
        share = most if self._linger_s else math.ceil(len(self._waiting) / slots)
        size = self._feasible(min(most, share), now_s)
        batch, more_expired = self._waiting.take(size, now_s, self._needed(size))
        self._restart(now_s, keep=False)
        return Pull(batch, expired + more_expired)

    def _needed(self, size: int) -> Callable[[F], float]:
        """Return what a frame needs in a batch of so many; nothing for the one that has most time, as one is tried whatever is expected."""
        spared = max(self._waiting, key=lambda frame: frame.deadline_s, default=None)
        return lambda frame: 0.0 if frame is spared else self.needed_s(frame.model, size)

    def _feasible(self, size: int, now_s: float) -> int:
        """Return the largest half, quarter, ... of `size` for which as many frames wait that would be in time in such a batch; at least 1."""
        while size > 1:
            in_time = sum(frame.deadline_s > now_s + self.needed_s(frame.model, size) for frame in self._waiting)
            if in_time >= size:
                return size
            size //= 2
        return 1

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
