"""The registers of Modbus TCP: what the line writes, what the gate shows. One map for the gate, its simulator and the docs.

All are holding registers of 16 bits; part numbers have 32 bits, the high word first. The status and the ring of decisions after it can
be read in one request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from inspector.gate.decide import Fault, State
from inspector.gate.evidence import Why

NUMBER_HIGH: Final = 0
NUMBER_LOW: Final = 1
WINDOW_MS: Final = 2
"""Of the part that is announced; 0: what the settings say."""
ANNOUNCE: Final = 3
"""Written together with the three before; another value than before, and not 0, announces their part."""
RESET: Final = 4
"""Another value than before, and not 0, ends a fault."""
COMMAND_COUNT: Final = 5

STATUS: Final = 100
ALIVE: Final = 100
STATE: Final = 101
FAULT: Final = 102
ANNOUNCED: Final = 103
"""The last value of `ANNOUNCE` that was dealt with."""
ANNOUNCE_RESULT: Final = 104
"""0: taken; else why not."""
DECISIONS: Final = 105
"""How many there have been of parts announced over Modbus; begins again behind 65,535."""
RESET_DONE: Final = 106
"""The last value of `RESET` that was dealt with."""
RESET_RESULT: Final = 107
"""0: taken; 1: the cause of the fault is still there."""
BOOT: Final = 108
"""Another number, never 0, with each start of the gate."""
RESERVED: Final = 109
"""0."""
STATUS_COUNT: Final = 10

RING: Final = 110
RING_ENTRIES: Final = 16
RING_WIDTH: Final = 5
"""Count of the decision (its value of `DECISIONS`), number of the part in two words, 1 for pass or 2 for reject, why."""
RING_COUNT: Final = RING_ENTRIES * RING_WIDTH

PASS: Final = 1
REJECT: Final = 2

STATES: Final = MappingProxyType[State, int]({"starting": 0, "running": 1, "fault": 2})
FAULTS: Final = MappingProxyType[Fault, int](
    {"none": 0, "silence": 1, "heartbeat": 2, "golden": 3, "results": 4, "overflow": 5, "gate": 6}
)
REFUSED: Final = MappingProxyType[str, int](
    {"announced_twice": 1, "full": 2, "window_too_short": 3, "window_too_long": 4}
)
WHYS: Final = MappingProxyType[Why, int](
    {
        "ok": 0,
        "nok": 1,
        "error": 2,
        "late": 3,
        "expired": 4,
        "future": 5,
        "stale": 6,
        "simulated": 7,
        "unreadable": 8,
        "conflict": 9,
        "missing": 10,
        "announced_twice": 11,
        "line_lost": 12,
        "gate_late": 13,
        "starting": 14,
        "fault": 15,
    }
)


@dataclass(frozen=True, slots=True)
class RingEntry:
    """One decision as it stands in the ring."""

    count: int
    number: int
    passes: bool
    why: int


def ring_entry(registers: Sequence[int]) -> RingEntry:
    """Read the five registers of an entry."""
    count, high, low, what, why = registers
    return RingEntry(count, high << 16 | low, what == PASS, why)
