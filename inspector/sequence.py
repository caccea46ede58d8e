"""The release order of each camera: outcomes may come in any order, they leave in the order of their tickets. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Ticket(Generic[T]):
    """A place in its camera's queue, taken at admission and completed once."""

    __slots__ = ("_outcome", "done", "owner", "queue")

    def __init__(self, queue: Hashable, owner: Hashable) -> None:
        """Made by `Sequencer.open`."""
        self.queue = queue
        self.owner = owner
        self.done = False
        self._outcome: T | None = None


class Sequencer(Generic[T]):
    """One queue of tickets for each camera; only what stands at the head goes on. Event loop only."""

    def __init__(self) -> None:
        """Start without queues; a queue exists while it holds tickets, so unknown cameras leave nothing behind."""
        self._queues: dict[Hashable, deque[Ticket[T]]] = {}

    def __len__(self) -> int:
        """Return the number of tickets that have not gone on."""
        return sum(map(len, self._queues.values()))

    def open(self, queue: Hashable, owner: Hashable) -> Ticket[T]:
        """Take the next place in `queue`; `owner` is who may later have all its places cleared."""
        ticket: Ticket[T] = Ticket(queue, owner)
        self._queues.setdefault(queue, deque()).append(ticket)
        return ticket

    def complete(self, ticket: Ticket[T], outcome: T) -> list[T]:
        """Give `ticket` its outcome; return what may go on now, in order.

        A ticket that was forgotten, or is completed again, releases nothing.
        """
        tickets = self._queues.get(ticket.queue)
        if ticket.done or tickets is None:
            return []
        ticket.done = True
        ticket._outcome = outcome  # noqa: SLF001 the two classes are one module's
        return self._advance(ticket.queue)

    def forget(self, tickets: list[Ticket[T]]) -> list[T]:
        """Clear these places; return what may go on because they no longer stand in the way."""
        for ticket in tickets:
            ticket.done = True
        gone = set(map(id, tickets))
        released: list[T] = []
        for queue in dict.fromkeys(ticket.queue for ticket in tickets):
            kept = deque(ticket for ticket in self._queues.get(queue, ()) if id(ticket) not in gone)
            self._queues[queue] = kept
            released += self._advance(queue)
        return released

    def forget_owner(self, owner: Hashable) -> list[T]:
        """Clear every place of `owner`; return what may go on because of it."""
        return self.forget([t for tickets in self._queues.values() for t in tickets if t.owner == owner])

    def _advance(self, queue: Hashable) -> list[T]:
        tickets = self._queues[queue]
        released: list[T] = []
        while tickets and tickets[0].done:
            outcome = tickets.popleft()._outcome  # noqa: SLF001
            if outcome is not None:
                released.append(outcome)
        if not tickets:
            del self._queues[queue]
        return released
