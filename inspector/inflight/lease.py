"""One assignment of one partition: which of its offsets are in flight, and how far a commit may go. Pure."""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum, auto


class _State(Enum):
    IN_FLIGHT = auto()
    ACKNOWLEDGED = auto()
    ABANDONED = auto()


class Lease:
    """The right to work on a partition between one assignment and its revocation. Event loop only.

    Offsets are tracked in the order in which they were read, not by adding one: compaction and transaction markers
    leave gaps that must not stall the mark. After `end` everything is ignored, so that a late acknowledgement of an
    earlier assignment never moves the offsets of a later one.
    """

    __slots__ = (
        "_committed",
        "_first",
        "_last",
        "_mark",
        "_pending",
        "_settled",
        "cap",
        "closing",
        "ended",
        "epoch",
        "partition",
    )

    def __init__(self, partition: tuple[str, int], epoch: int, *, cap: int) -> None:
        """Open the lease of `partition` (topic, number); `epoch` tells assignments apart, `cap` bounds the offsets in flight."""
        self.partition = partition
        self.epoch = epoch
        self.cap = cap
        self.closing = False
        self.ended = False
        self._pending: OrderedDict[int, _State] = OrderedDict()  # in the order read
        self._settled = 0  # of the pending ones, those that nobody waits for
        self._last = -1
        self._first: int | None = None
        self._mark: int | None = None
        self._committed: int | None = None

    def take(self, offset: int) -> bool:
        """Note that `offset` was read; return False for one that is still in flight, which must be skipped.

        An offset below earlier ones (a truncated or recreated partition was read again) is owed as any other. It never
        moves the mark backwards, but until it is acknowledged nothing is committed that lies behind it.
        """
        if self.ended or offset in self._pending:
            return False
        self._last = offset
        self._first = offset if self._first is None else self._first
        self._pending[offset] = _State.IN_FLIGHT
        return True

    def acknowledge(self, offset: int) -> None:
        """Note that everything owed for `offset` was acknowledged by the broker."""
        self._settle(offset, _State.ACKNOWLEDGED)
        while self._pending and next(iter(self._pending.values())) is _State.ACKNOWLEDGED:
            done, _ = self._pending.popitem(last=False)
            self._mark = done if self._mark is None else max(self._mark, done)
            self._settled -= 1

    def abandon(self, offset: int) -> None:
        """Give up an offset in flight: it is not waited for any more, and the mark never passes it."""
        self._settle(offset, _State.ABANDONED)

    def _settle(self, offset: int, state: _State) -> None:
        if self._pending.get(offset) is _State.IN_FLIGHT:
            self._pending[offset] = state
            self._settled += 1

    def close(self) -> None:
        """Take no more work; what is in flight may still be acknowledged."""
        self.closing = True

    def end(self) -> None:
        """Ignore everything from now on."""
        self.closing = True
        self.ended = True
        self._pending.clear()
        self._settled = 0

    @property
    def next_offset(self) -> int | None:
        """The offset behind the one read last; None before the first."""
        return None if self._last < 0 else self._last + 1

    @property
    def in_flight(self) -> int:
        """The number of offsets read, neither acknowledged nor given up."""
        return len(self._pending) - self._settled

    @property
    def readable(self) -> bool:
        """Whether more may be read: not closing, and below the cap."""
        return not self.closing and len(self._pending) < self.cap

    def committable(self) -> int | None:
        """Return the offset to commit (that of the next record to read).

        None when it was committed already, or when something that lies before it is owed again.
        """
        mark = self._mark
        if self.ended or mark is None or mark + 1 == self._committed:
            return None
        if any(offset <= mark and state is not _State.ACKNOWLEDGED for offset, state in self._pending.items()):
            return None
        return mark + 1

    def committed(self, offset: int) -> None:
        """Note that `offset` was committed."""
        self._committed = offset

    @property
    def committed_offset(self) -> int | None:
        """The offset that was committed last, or from which reading began; None before the first record."""
        return self._first if self._committed is None else self._committed
