"""Which part has been at one step for how long, in ticks of the watchdog. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

Steps = Callable[[], Mapping[str, int]]
"""The step that each doer is at; who does nothing is left out. Any thread may ask."""


SLOW = 5.0


class Watched(NamedTuple):
    """Something that must not stand still."""

    sentence: str
    """Says that it does; `{doer}` and `{seconds}` are filled in."""
    limit_s: float
    status: int
    """What the process ends with."""
    steps: Steps
    drains: bool = True
    """Whether the rest can still finish what it has begun."""
    takes_s: Callable[[], float] = float
    """What a step was found to take here, in seconds; `SLOW` times that is no hang, whatever the limit says."""

    def is_over(self, seconds: float) -> bool:
        """Return whether a step that has lasted so long hangs."""
        return seconds >= max(self.limit_s, SLOW * self.takes_s())

    def says(self, doer: str, seconds: float) -> str:
        """Return the sentence for one doer."""
        return self.sentence.format(doer=doer, seconds=f"{seconds:.0f}")


@dataclass(slots=True)
class Stillness:
    """For how long each doer has been at its step.

    What counts is the time in which somebody watched: between two looks no more than `most_s` counts. A process that was suspended
    (SIGSTOP, a virtual machine moved elsewhere), or a machine that runs nobody, has not stood still.
    """

    most_s: float
    _seen: dict[str, tuple[int, float]] = field(default_factory=dict)

    def look(self, steps: Mapping[str, int], passed_s: float) -> dict[str, float]:
        """Take note of the steps `passed_s` after the last look; return for how long each has been the same, in seconds."""
        passed_s = min(passed_s, self.most_s)
        seen = {}
        for doer, step in steps.items():
            before, still_s = self._seen.get(doer, (None, 0.0))
            seen[doer] = (step, still_s + passed_s if step == before else 0.0)
        self._seen = seen
        return {doer: still_s for doer, (_, still_s) in seen.items()}
