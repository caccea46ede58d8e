"""Frames that wait for a stage: cameras take turns, the most urgent first, and a camera's frames keep their order. Pure.

The turns are those of start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996): each camera's next frame has a tag, which grows
by the cost of every frame of it that is taken. The lowest tag is next; of equal ones the most urgent frame. So cameras that take no more
than their share never wait for one that floods, and while no frame waits long, the order is that of the deadlines.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, NamedTuple, Protocol, TypeVar


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


class Taken(NamedTuple, Generic[F]):
    """What one call of `TurnQueues.take` removed; together with what still waits, nothing is lost."""

    frames: list[F]
    """All of one model, each with time enough."""
    late: list[F]
    """Their deadline cannot be met."""
    superseded: list[F]
    """Older than the frame of their camera that was taken."""


class TurnQueues(Generic[F]):
    """One queue for each camera. Event loop only."""

    def __init__(
        self,
        cost: Callable[[F], float] = lambda _frame: 1.0,
        freshest: Callable[[F], bool] = lambda _frame: False,
        order: Callable[[F], int] = lambda _frame: 0,
    ) -> None:
        """Start empty; a camera's queue exists while it holds frames.

        Args:
            cost: above 0: what a frame takes of its camera's share. Cameras that wait all along have the same cost taken of each.
            freshest: whether its camera's newest frame is taken when it has its turn (the one with the latest deadline), and those
                before it are superseded.
            order: of a camera's frames; by default that in which they are pushed.
        """
        self._order = order
        self._queues: dict[Hashable, deque[F]] = {}
        self._size = 0
        self._cost = cost
        self._freshest = freshest
        self._tags: dict[Hashable, float] = {}
        """Of the cameras that wait, and of those that had more than their share of the present round."""
        self._round = 0.0
        """The tag of the frame that had its turn last; who comes begins here, and so before all that have waited."""

    def __len__(self) -> int:
        """Return the number of frames that wait."""
        return self._size

    def __iter__(self) -> Iterator[F]:
        """All frames that wait, in each camera's order."""
        return (frame for queue in self._queues.values() for frame in queue)

    def push(self, frame: F) -> None:
        """Put a frame into its camera's queue, before those that come after it in order: usually at the end."""
        if frame.camera not in self._queues:
            self._queues[frame.camera] = deque()
            self._tags[frame.camera] = max(self._round, self._tags.get(frame.camera, 0.0))
        queue = self._queues[frame.camera]
        at, order = len(queue), self._order(frame)
        while at > 0 and self._order(queue[at - 1]) > order:
            at -= 1
        queue.insert(at, frame)
        self._size += 1

    def drop_expired(self, now_s: float, needed_s: Callable[[F], float] = lambda _frame: 0.0) -> list[F]:
        """Remove and return the frames at the heads whose deadline cannot be met, in each camera's order.

        Args:
            now_s: the monotonic time.
            needed_s: the seconds that a frame still needs; by default none, so that its deadline must have passed.
        """
        expired = [frame for camera in list(self._queues) for frame in self._drop_heads(camera, now_s, needed_s)]
        self._forget()
        return expired

    def most_urgent(self) -> F | None:
        """Return the head with the earliest deadline without removing it."""
        return min((queue[0] for queue in self._queues.values()), key=lambda frame: frame.deadline_s, default=None)

    def next(self, allowed: Callable[[F], bool] = lambda _frame: True) -> F | None:
        """Return the frame whose turn it is without removing it; cameras whose next frame is not `allowed` have none."""
        return self._first([camera for camera, queue in self._queues.items() if allowed(self._candidate(queue))])

    def take(
        self,
        limit: int,
        now_s: float,
        needed_s: Callable[[F], float] = lambda _frame: 0.0,
        *,
        model: object | None = None,
    ) -> Taken[F]:
        """Remove up to `limit` frames of one model, and every head whose deadline cannot be met.

        Cameras whose frames have that model give them in turn, so that one with a long queue cannot fill a batch while others wait.

        Args:
            limit: how many at most.
            now_s: the monotonic time.
            needed_s: the seconds that a frame still needs, see `drop_expired`.
            model: the one; by default that of the frame whose turn it is when the late ones are gone.
        """
        taken: Taken[F] = Taken([], self.drop_expired(now_s, needed_s), [])
        first = self.next()
        if first is None:
            return taken
        self._begin_round(first)
        model = first.model if model is None else model
        while len(taken.frames) < limit:
            candidates = {camera: self._candidate(queue) for camera, queue in self._queues.items()}
            frame = self._first([camera for camera, head in candidates.items() if head.model == model])
            if frame is None:
                break
            self._take(frame, taken, now_s, needed_s)
        self._forget()
        return taken

    def take_next(self, frame: F, now_s: float, needed_s: Callable[[F], float] = lambda _frame: 0.0) -> Taken[F]:
        """Remove the frame that `next` returned, those that it supersedes, and late ones behind it; no other camera is looked at.

        Args:
            frame: see `next`.
            now_s: the monotonic time.
            needed_s: the seconds that a frame still needs, see `drop_expired`.
        """
        taken: Taken[F] = Taken([], [], [])
        self._begin_round(frame)
        self._take(frame, taken, now_s, needed_s)
        self._forget()
        return taken

    def _begin_round(self, first: F) -> None:
        self._round = max(self._round, self._tags[first.camera])

    def _take(self, frame: F, taken: Taken[F], now_s: float, needed_s: Callable[[F], float]) -> None:
        self._tags[frame.camera] += self._cost(frame)
        taken.superseded.extend(self._supersede(frame))
        self._pop(frame.camera)
        taken.frames.append(frame)
        taken.late.extend(self._drop_heads(frame.camera, now_s, needed_s))  # the other heads were looked at

    def count_of(self, camera: Hashable) -> int:
        """Return how many frames of a camera wait."""
        return len(self._queues.get(camera, ()))

    @property
    def cameras(self) -> int:
        """Of how many cameras frames wait."""
        return len(self._queues)

    def ahead_of(self, frame: F) -> int:
        """Return how many of the frames that wait would be taken before this one, if it were pushed now."""
        mine = len(self._queues.get(frame.camera, ()))
        tag = max(self._round, self._tags.get(frame.camera, 0.0)) + mine * self._cost(frame)
        others = 0
        for camera, queue in self._queues.items():
            if camera != frame.camera and self._tags[camera] <= tag:
                others += min(len(queue), 1 + int((tag - self._tags[camera]) / self._cost(queue[0])))
        return mine + others

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

    def _first(self, cameras: list[Hashable]) -> F | None:
        candidates = (self._candidate(self._queues[camera]) for camera in cameras)
        return min(candidates, key=lambda frame: (self._tags[frame.camera], frame.deadline_s), default=None)

    def _candidate(self, queue: deque[F]) -> F:
        """Return the frame of a queue that is taken when its camera has its turn."""
        if not self._freshest(queue[0]):
            return queue[0]
        return max(reversed(queue), key=lambda frame: frame.deadline_s)  # of equal ones the last

    def _supersede(self, frame: F) -> list[F]:
        """Remove and return all frames of its camera but this one, where only the newest counts."""
        queue = self._queues[frame.camera]
        if not self._freshest(frame) or len(queue) == 1:
            return []
        older = [other for other in queue if other is not frame]
        self._queues[frame.camera] = deque([frame])
        self._size -= len(older)
        return older

    def _drop_heads(self, camera: Hashable, now_s: float, needed_s: Callable[[F], float]) -> list[F]:
        """Do for one camera what `drop_expired` does for all."""
        expired: list[F] = []
        while (head := self._head(camera)) is not None and head.deadline_s <= now_s + needed_s(head):
            expired.append(self._pop(camera))
        return expired

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
