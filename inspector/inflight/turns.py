"""Frames that wait for a stage, picked most urgent first with cameras in turn; never reordered within a camera. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """What the queues need to know of a frame."""

    @property
    def camera(self) -> Hashable:
        """Frames of one camera keep their order."""
        ...

    @property
    def model(self) -> object:
        """Frames of one model may share a batch."""
        ...

    @property
    def deadline_s(self) -> float:
        """The monotonic time after which its verdict is worthless."""
        ...


F = TypeVar("F", bound=Waiting)


class TurnQueues(Generic[F]):
    """One queue for each camera. Event loop only."""

    def __init__(self) -> None:
        """Start empty; a camera's queue exists while it holds frames."""
        self._queues: dict[Hashable, deque[F]] = {}
        self._size = 0

    def __len__(self) -> int:
        """Return the number of frames that wait."""
        return self._size

    def push(self, frame: F) -> None:
        """Append a frame to its camera's queue."""
        self._queues.setdefault(frame.camera, deque()).append(frame)
        self._size += 1

    def drop_expired(self, now_s: float) -> list[F]:
        """Remove and return the frames at the heads whose deadline has passed, in each camera's order."""
        expired: list[F] = []
        for camera in list(self._queues):
            while (head := self._head(camera)) is not None and head.deadline_s <= now_s:
                expired.append(self._pop(camera))
        return expired

    def most_urgent(self, allowed: Callable[[F], bool] = lambda _frame: True) -> F | None:
        """Return the head with the earliest deadline without removing it, of those that are `allowed`."""
        heads = (queue[0] for queue in self._queues.values() if allowed(queue[0]))
        return min(heads, key=lambda frame: frame.deadline_s, default=None)

    def take_head(self, frame: F) -> None:
        """Remove a frame that `most_urgent` has just returned."""
        self._pop(frame.camera)

    def take(self, limit: int, now_s: float) -> tuple[list[F], list[F]]:
        """Remove up to `limit` frames of one model, and every head that expired meanwhile.

        The most urgent head decides the model. Then, in rounds, each camera whose head has that model gives one frame,
        most urgent first, so that a camera with a long queue cannot fill a batch while others wait.

        Returns:
            The frames taken (all of one model, none expired) and the frames that expired.
        """
        expired = self.drop_expired(now_s)
        first = self.most_urgent()
        taken: list[F] = []
        while first is not None and len(taken) < limit:
            heads = [queue[0] for queue in self._queues.values() if queue[0].model == first.model]
            if not heads:
                break
            heads.sort(key=lambda frame: frame.deadline_s)
            taken += [self._pop(head.camera) for head in heads[: limit - len(taken)]]
            expired += self.drop_expired(now_s)
        return taken, expired

    def count(self, model: object) -> int:
        """Return how many waiting frames have `model`."""
        return sum(frame.model == model for queue in self._queues.values() for frame in queue)

    def remove(self, unwanted: Callable[[F], bool]) -> list[F]:
        """Remove and return every frame for which `unwanted` is true."""
        removed: list[F] = []
        for camera, queue in list(self._queues.items()):
            kept = deque(frame for frame in queue if not unwanted(frame))
            if len(kept) < len(queue):
                removed += [frame for frame in queue if unwanted(frame)]
                self._queues[camera] = kept
                if not kept:
                    del self._queues[camera]
        self._size -= len(removed)
        return removed

    def _head(self, camera: Hashable) -> F | None:
        queue = self._queues.get(camera)
        return queue[0] if queue else None

    def _pop(self, camera: Hashable) -> F:
        queue = self._queues[camera]
        frame = queue.popleft()
        self._size -= 1
        if not queue:
            del self._queues[camera]
        return frame
