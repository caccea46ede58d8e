"""Frames that wait for a stage, picked with cameras in turn, most urgent first; never reordered within a camera. Pure.

The turns are those of start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996): each camera's next frame has a tag, which grows
by 1 / weight with every frame of it that is taken. The lowest tag is next, of equal ones the most urgent. So cameras that send no more
than their share never wait for one that floods, and while nobody waits long all is as by deadline.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
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


def _nothing(_frame: object) -> float:
    return 0.0


def _one(_frame: object) -> float:
    return 1.0


class TurnQueues(Generic[F]):
    """One queue for each camera. Event loop only."""

    def __init__(self, weight: Callable[[F], float] = _one) -> None:
        """Start empty; a camera's queue exists while it holds frames.

        Args:
            weight: above 0: how many frames of its camera are taken while one of a camera of weight 1 is.
        """
        self._queues: dict[Hashable, deque[F]] = {}
        self._size = 0
        self._weight = weight
        self._tags: dict[Hashable, float] = {}
        """Of the cameras that wait, and of those that had more than their share of the present round."""
        self._round = 0.0

    def __len__(self) -> int:
        """Return the number of frames that wait."""
        return self._size

    def push(self, frame: F) -> None:
        """Append a frame to its camera's queue."""
        if frame.camera not in self._queues:
            self._queues[frame.camera] = deque()
            self._tags[frame.camera] = max(self._round, self._tags.get(frame.camera, 0.0))
        self._queues[frame.camera].append(frame)
        self._size += 1

    def __iter__(self) -> Iterator[F]:
        """All frames that wait, in each camera's order."""
        return (frame for queue in self._queues.values() for frame in queue)

    def drop_expired(self, now_s: float, needed_s: Callable[[F], float] = _nothing) -> list[F]:
        """Remove and return the frames at the heads whose deadline cannot be met, in each camera's order.

        Args:
            now_s: the monotonic time.
            needed_s: the seconds that a frame still needs; by default none, so that its deadline must have passed.
        """
        expired: list[F] = []
        for camera in list(self._queues):
            while (head := self._head(camera)) is not None and head.deadline_s <= now_s + needed_s(head):
                expired.append(self._pop(camera))
        self._forget()
        return expired

    def most_urgent(self) -> F | None:
        """Return the head with the earliest deadline without removing it."""
        return min((queue[0] for queue in self._queues.values()), key=lambda frame: frame.deadline_s, default=None)

    def next(self) -> F | None:
        """Return the head whose turn it is without removing it."""
        return self._first(queue[0] for queue in self._queues.values())

    def take(
        self, limit: int, now_s: float, needed_s: Callable[[F], float] = _nothing
    ) -> tuple[list[F], list[F]]:
        """Remove up to `limit` frames of one model, and every head whose deadline cannot be met.

        The head whose turn it is decides the model. Then the cameras whose heads have that model give frames in turn, so that a
        camera with a long queue cannot fill a batch while others wait.

        Args:
            limit: how many at most.
            now_s: the monotonic time.
            needed_s: the seconds that a frame still needs, see `drop_expired`.

        Returns:
            The frames taken (all of one model, each with time enough) and the frames that are too late.
        """
        expired = self.drop_expired(now_s, needed_s)
        first = self.next()
        taken: list[F] = []
        while first is not None and len(taken) < limit:
            head = self._first(queue[0] for queue in self._queues.values() if queue[0].model == first.model)
            if head is None:
                break
            self._round = max(self._round, self._tags[head.camera])
            self._tags[head.camera] += 1.0 / self._weight(head)
            taken.append(self._pop(head.camera))
            expired += self.drop_expired(now_s, needed_s)
        return taken, expired

    def count(self, model: object) -> int:
        """Return how many waiting frames have `model`."""
        return sum(frame.model == model for frame in self)

    def waiting_of(self, camera: Hashable) -> int:
        """Return how many frames of a camera wait."""
        return len(self._queues.get(camera, ()))

    @property
    def cameras(self) -> int:
        """How many cameras wait."""
        return len(self._queues)

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
        self._forget()
        return removed

    def _first(self, heads: Iterable[F]) -> F | None:
        return min(heads, key=lambda head: (self._tags[head.camera], head.deadline_s), default=None)

    def _forget(self) -> None:
        """Drop the tags that say nothing any more: a camera that comes back starts in the present round anyway."""
        if not self._queues:
            self._tags.clear()
            self._round = 0.0
        elif len(self._tags) > len(self._queues):
            gone = [camera for camera, tag in self._tags.items() if camera not in self._queues and tag <= self._round]
            for camera in gone:
                del self._tags[camera]

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
