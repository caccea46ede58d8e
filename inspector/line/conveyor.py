"""Parts between photo eye and rejector, and what happened to them. Pure: the time is an argument.

The rejector rests on reject: a part passes only if its PASS arrived before the part did, and the line ran all the time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["passed", "rejected"]


@dataclass(slots=True)
class Part:
    """One part on the belt."""

    part_id: str
    announced_s: float
    arrives_s: float
    announced_at: int
    """µs UTC."""
    action: str | None = None
    """PASS or REJECT, the first that was heard."""
    acted_at: int | None = None
    """µs UTC: when it was heard."""
    why: str = ""
    is_cleared: bool = False
    """The line stopped while it was on the belt, and it was taken off."""


@dataclass(slots=True)
class Tally:
    """What a line counts; each part is either passed or rejected once it has arrived."""

    announced: int = 0
    passed: int = 0
    rejected: int = 0
    unanswered: int = 0
    """Of the rejected: nothing was heard of them before they arrived."""
    stopped: int = 0
    """Of the rejected: on the belt when the line stopped, and taken off."""
    refused: int = 0
    """Of the rejected: the gate did not take their announcement."""
    late: int = 0
    """Actions heard when their part had arrived."""
    acted_twice: int = 0
    """Actions on a part that had one already."""
    unknown: int = 0
    """Actions on parts that this line has not announced."""
    stops: int = 0
    """How often the line stopped."""
    whys: Counter[str] = field(default_factory=Counter)
    """Reasons that came with REJECT."""


class Conveyor:
    """The belt of one line."""

    def __init__(self) -> None:
        """Start empty, and standing."""
        self.tally = Tally()
        self.runs = False
        self._belt: dict[str, Part] = {}
        self._arrived: dict[str, Part] = {}
        self.passed: list[Part] = []

    def __len__(self) -> int:
        """Return the number of parts between eye and rejector."""
        return len(self._belt)

    def announce(self, part_id: str, window_s: float, *, now_s: float, now_us: int) -> None:
        """A part is at the photo eye."""
        self.tally.announced += 1
        self._belt[part_id] = Part(part_id, now_s, now_s + window_s, now_us)

    def hear(self, action: str, part_id: str, why: str, *, now_us: int) -> None:
        """An action was heard."""
        part = self._belt.get(part_id) or self._arrived.get(part_id)
        if part is None:
            self.tally.unknown += 1
            return
        if part.action is not None:
            self.tally.acted_twice += 1
            return
        part.action, part.acted_at, part.why = action, now_us, why
        if action == "REJECT":
            self.tally.whys[why] += 1
        if part_id in self._arrived and not part.is_cleared:
            self.tally.late += 1

    def refused(self, part_id: str) -> None:
        """The gate does not take an announcement."""
        if part_id in self._belt:
            self.tally.refused += 1

    def move(self, *, now_s: float) -> list[tuple[Part, Outcome]]:
        """Return the parts that have arrived since, and what the rejector does with them."""
        arrived = [part for part in self._belt.values() if part.arrives_s <= now_s]
        return [(part, self._arrive(part)) for part in arrived]

    def _arrive(self, part: Part) -> Outcome:
        self._arrived[part.part_id] = self._belt.pop(part.part_id)
        if part.action == "PASS" and not part.is_cleared:
            self.tally.passed += 1
            self.passed.append(part)
            return "passed"
        self.tally.rejected += 1
        if part.is_cleared:
            self.tally.stopped += 1
        elif part.action is None:
            self.tally.unanswered += 1
        return "rejected"

    def stop(self) -> list[Part]:
        """Stand still; return the parts on the belt, which are taken off and rejected."""
        if self.runs:
            self.tally.stops += 1
        self.runs = False
        cleared = list(self._belt.values())
        for part in cleared:
            part.is_cleared = True
            self._arrive(part)
        return cleared

    def start(self) -> None:
        """Run again."""
        self.runs = True
