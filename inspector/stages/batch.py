"""Decides when a batch is closed, which frames are in it and which are given up. Pure: the time is an argument.

Under overload the first frame of every queue has hardly any time left. It would be scored in vain, and so would all frames behind
it. The learnt pace of each model (`Pace`) tells which frames cannot be in time any more; these are answered as expired instead.
The time from score to acknowledgement is learnt for each camera, so that a camera with a slow results topic costs the others nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from inspector.inflight.pace import Pace
from inspector.inflight.turns import TurnQueues, Waiting

F = TypeVar("F", bound=Waiting)

UNKNOWN_S = 1e-6
"""What a frame costs of its camera's share while nothing is known of its model: hardly anything, so that this is soon known."""

TRY_S = 0.25
"""So long after its last scored frame, a camera whose verdicts were too slow has one scored all the same: a wrong estimate would never heal."""


@dataclass(frozen=True, slots=True)
class Pull(Generic[F]):
    """What one pull gave: a batch (of one model, maybe empty) and the frames whose deadline has passed or cannot be met."""

    batch: list[F]
    expired: list[F]
    superseded: list[F]
    """Older than one of their camera in the batch, where only the newest counts."""


class Batcher(Generic[F]):
    """Collects decoded frames; a batch closes when the engine asks for one. Event loop only.

    With a linger, an incomplete batch waits for company until the linger is over, but never beyond the earliest
    deadline less the time that a full batch is expected to take.
    """

    def __init__(  # noqa: PLR0913 - all named
        self,
        *,
        max_size: int,
        linger_s: float = 0.0,
        inputs: Callable[[F], int] = lambda _frame: 1,
        slots: int = 1,
        room: Callable[[F], int | None] = lambda _frame: None,
        weight: Callable[[F], float] = lambda _frame: 1.0,
        freshest: Callable[[F], bool] = lambda _frame: False,
        order: Callable[[F], int] = lambda _frame: 0,
    ) -> None:
        """Make batches.

        Args:
            max_size: how many inputs of a network one has at most, or those of a single frame.
            linger_s: how long an incomplete batch waits for company.
            inputs: how many a frame becomes; more than one where its model cuts pictures into tiles.
            slots: how many batches the engine computes side by side when it is busy.
            room: how many frames like this one the device has room for at once, where that was found to be few.
            weight: above 0: the seconds of the device that a frame's camera gets while one of weight 1 gets one, when both want more.
            freshest: whether only the newest frame of its camera counts, see `TurnQueues`.
            order: of a camera's frames, whose verdicts leave in it: one that was decoded after those behind it would hold them up.
        """
        self._order = order
        if max_size < 1 or linger_s < 0:
            msg = f"max_size must be at least 1 and linger_s at least 0, not {max_size} and {linger_s}"
            raise ValueError(msg)
        self._max_size = max_size
        self._linger_s = linger_s
        self._inputs = inputs
        self._slots = slots
        self._room = room
        self._weight = weight
        self._waiting: TurnQueues[F] = TurnQueues(self.cost, freshest, order)
        self._paces: dict[object, Pace] = {}
        self._after: dict[Hashable, Pace] = {}  # of the cameras
        self._scored_s: dict[Hashable, float] = {}  # of the cameras: when a frame of theirs was last in a batch
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

    def observe_after(self, camera: Hashable, seconds: float) -> None:
        """Learn how long a frame of `camera` took from its score until its verdict was acknowledged."""
        self._after.setdefault(camera, Pace()).observe(1, seconds)

    def forget_all_but(self, models: Collection[object]) -> None:
        """Forget the pace of models that are gone, which it would keep in memory; no frame of theirs waits."""
        for model in [model for model in self._paces if model not in models]:
            del self._paces[model]

    def needed_s(self, frame: F, size: int) -> float:
        """Return the seconds that a frame is expected to take in a batch of `size` until its verdict is there; 0 before the first of its model."""
        return 0.0 if frame.model not in self._paces else self._device_s(frame, size) + self._after_s(frame)

    def _device_s(self, frame: F, size: int) -> float:
        """Return the part of `needed_s` until the frame's score is there."""
        pace = self._paces.get(frame.model)
        return 0.0 if pace is None else pace.expected_s(size)

    def _after_s(self, frame: F) -> float:
        """Return the seconds from its score until its verdict is acknowledged; 0 before its camera's first."""
        after = self._after.get(frame.camera)
        return 0.0 if after is None else after.expected_s(1)

    def count_of(self, camera: str) -> int:
        """Return how many frames of a camera wait."""
        return self._waiting.count_of(camera)

    def full(self, frame: F) -> bool:
        """Return whether a whole batch waits already, so that the device has enough to do."""
        return len(self._waiting) >= self._most(frame)

    def wait_s(self, frame: F) -> float:
        """Return the seconds until the verdict of a frame that is still to be decoded is sent, as things are.

        Those are a batch that runs, its own, and before that those that wait and have their turn before it.
        """
        most = self._most(frame)
        batches = self._waiting.ahead_of(frame) / most / self._slots
        return (2 + batches) * self._device_s(frame, most) + self._after_s(frame)

    def cost(self, frame: F) -> float:
        """Return what a frame takes of its camera's share: seconds of the device by the camera's weight."""
        return max(UNKNOWN_S, self._each_s(frame)) / self._weight(frame)

    def capacity_per_s(self, frame: F) -> float:
        """Return how many frames like this one the engine would score in a second, if there were no others; infinite when nothing is known."""
        each_s = self._each_s(frame)
        return self._slots / each_s if each_s > 0 else math.inf

    def _each_s(self, frame: F) -> float:
        """Return a frame's part of the seconds of a full batch of its model; 0 before the first batch."""
        pace, most = self._paces.get(frame.model), self._most(frame)
        return 0.0 if pace is None else pace.mean_s(most) / most

    def due_s(self) -> float | None:
        """Return the time at which the next batch should close; None when nothing waits.

        A time in the past means at once. A batch that is full is due at once.
        """
        if not self._waiting:
            return None
        lingers_to_s = self._lingers_to_s()
        return self._waiting_since_s if lingers_to_s is None or self._whole() is not None else lingers_to_s

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
            return Pull([], expired, [])
        # Whatever is expected, of each model the frame with most time is kept to be tried: a wrong estimate would never heal.
        # Of those that are due together it is the last: nothing that is scored already waits behind it.
        by_time = sorted(self._waiting, key=lambda frame: (round(frame.deadline_s, 3), self._order(frame)))
        tried = {frame.model: frame for frame in by_time}
        newest = {frame.camera: frame for frame in by_time}

        def needed_s(frame: F, size: int) -> float:
            if frame is tried[frame.model]:
                return 0.0
            is_try = frame is newest[frame.camera] and now_s >= self._scored_s.get(frame.camera, -math.inf) + TRY_S
            return self._device_s(frame, size) if is_try else self.needed_s(frame, size)

        expired += self._waiting.drop_expired(now_s, lambda frame: needed_s(frame, 1))
        lingers_to_s = self._lingers_to_s()
        first = self._waiting.next()
        if linger and lingers_to_s is not None and now_s < lingers_to_s:
            first = self._whole() or first  # the others still wait for company
        if first is None:
            raise ValueError("the frames that are to be tried were dropped")
        model, size = first.model, self._size(first.model, self._share(first, slots), now_s)
        taken = self._waiting.take(
            size, now_s, lambda frame: needed_s(frame, size) if frame.model == model else 0.0, model=model
        )
        self._scored_s.update({frame.camera: now_s for frame in taken.frames})
        self._restart(now_s, keep=False)
        return Pull(taken.frames, expired + taken.late, taken.superseded)

    def _lingers_to_s(self) -> float | None:
        """Return how long an incomplete batch waits for company; None without a linger, or when nothing waits."""
        urgent = self._waiting.most_urgent()
        if urgent is None or self._waiting_since_s is None or self._linger_s == 0:
            return None
        latest_s = urgent.deadline_s - self.needed_s(urgent, self._most(urgent))
        return min(self._waiting_since_s + self._linger_s, latest_s)

    def _whole(self) -> F | None:
        """Return a frame of a model of which a whole batch waits."""
        counts = Counter(frame.model for frame in self._waiting)
        return next((frame for frame in self._waiting if counts[frame.model] >= self._most(frame)), None)

    def _share(self, frame: F, slots: int) -> int:
        """Return how many frames of this one's model go into a batch: a whole one, or an idle slot's share of what waits."""
        most = self._most(frame)
        return most if self._linger_s else min(most, math.ceil(len(self._waiting) / slots))

    def _size(self, model: object, limit: int, now_s: float) -> int:
        """Return the largest size up to `limit` of a batch that as many frames of `model` would be in time in; at least 1."""
        waiting = [frame for frame in self._waiting if frame.model == model]
        left_s = sorted((frame.deadline_s - now_s - self._after_s(frame) for frame in waiting), reverse=True)
        sizes = range(min(limit, len(waiting)), 1, -1)
        return next((size for size in sizes if left_s[size - 1] > self._device_s(waiting[0], size)), 1)

    def _most(self, frame: F) -> int:
        """Return how many frames a batch of this one's model may have."""
        most = max(1, self._max_size // self._inputs(frame))
        room = self._room(frame)
        return most if room is None else min(most, room)

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
