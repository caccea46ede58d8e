"""The book of one run: what was promised and found, when each part of the day was, which faults were provoked, what commands said."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.chaos.campaign import Row

Tone = Literal["calm", "change", "fault"]


@dataclass(frozen=True)
class Period:
    """A part of the day; times are s since 1970, by this machine's clock, which is the broker's too."""

    title: str
    begin_s: float
    end_s: float
    tone: Tone


@dataclass(frozen=True)
class Provoked:
    """A fault that was provoked, and the alert that it was to raise.

    Attributes:
        fault: in words.
        alert: its name in Prometheus.
        labels: that this alert has and no other fault's has.
        at_s: when it was done.
        mended_s: when it was undone.
    """

    fault: str
    alert: str
    labels: Mapping[str, str]
    at_s: float
    mended_s: float


@dataclass(frozen=True)
class Change:
    """Of a model, as an engineer ordered it: `number` of each camera's release, and how long (s) until all inspectors had it."""

    title: str
    numbers: Mapping[str, int]
    ordered_s: float
    took_s: float


@dataclass
class Book:
    """Everything that is known of a run beside the topics.

    Attributes:
        fits: what `trainer fit --json` printed, by name of the model.
        said: what other commands printed, by name.
        statuses: of commands that may fail.
    """

    rows: list[Row] = field(default_factory=list)
    periods: list[Period] = field(default_factory=list)
    provoked: list[Provoked] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    fits: dict[str, dict[str, Any]] = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    chapter: str = "day"

    def row(
        self, promise: str, *, trials: int, figure: str, held: bool | None, is_time: bool = False, **details: object
    ) -> None:
        """Add what was found of one promise, under the chapter that is open; times are judged like all else."""
        self.rows.append(Row(self.chapter, promise, trials, figure, held, details))

    @contextmanager
    def period(self, title: str, tone: Tone = "calm") -> Iterator[None]:
        """Note when a block began and ended."""
        begin_s = time.time()
        yield
        self.periods.append(Period(title, begin_s, time.time(), tone))

    def when(self, title: str) -> Period:
        """Return the last period of a title.

        Raises:
            KeyError: There was none.
        """
        for period in reversed(self.periods):
            if period.title == title:
                return period
        raise KeyError(title)
