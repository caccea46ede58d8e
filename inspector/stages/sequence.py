"""The order of each camera's results: they may be ready in any order, and leave in the order of the frames. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from itertools import dropwhile
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class _Open:
    """Stands where an outcome is still to come."""


_OPEN = _Open()


class Sequencer(Generic[K, T]):
    """One queue of places for each camera; only what stands at the head goes on. Event loop only.

    A queue exists while it holds places, so cameras that nobody knows leave nothing behind.
    """

    def __init__(self) -> None:
        """Start without queues."""
        self._queues: dict[Hashable, OrderedDict[K, T | _Open]] = {}

    def __len__(self) -> int:
        """Return the number of places that have not gone on."""
        return sum(map(len, self._queues.values()))

    def open(self, queue: Hashable, key: K) -> None:
        """Give `key` the next place in `queue`."""
        self._queues.setdefault(queue, OrderedDict())[key] = _OPEN

    def complete(self, queue: Hashable, key: K, outcome: T) -> list[T]:
        """Fill the place of `key`; return what may go on now, in order.

        A place that was filled or forgotten before releases nothing.
        """
        places = self._queues.get(queue)
        if places is None or places.get(key) is not _OPEN:
            return []
        places[key] = outcome
        return self._advance(queue)

    def forget(self, unwanted: Callable[[K], bool]) -> list[T]:
        """Clear the places whose key is unwanted; return what may go on because they no longer stand in the way."""
        released: list[T] = []
        for queue, places in list(self._queues.items()):
            keys = [key for key in places if unwanted(key)]
            for key in keys:
                del places[key]
            if keys:
                released += self._advance(queue)
        return released

    def cut(self, unwanted: Callable[[K], bool]) -> list[K]:
        """Clear each queue from its first unwanted place on; return what was cleared.

        Nothing goes on: what stood behind would overtake the one that is to come again.
        """
        cleared: list[K] = []
        for queue, places in list(self._queues.items()):
            keys = list(dropwhile(lambda key: not unwanted(key), places))
            for key in keys:
                del places[key]
            if not places:
                del self._queues[queue]
            cleared += keys
        return cleared

    def _advance(self, queue: Hashable) -> list[T]:
        places = self._queues[queue]
        released: list[T] = []
        while places:
            key, outcome = next(iter(places.items()))
            if isinstance(outcome, _Open):
                break
            del places[key]
            released.append(outcome)
        if not places:
            del self._queues[queue]
        return released
