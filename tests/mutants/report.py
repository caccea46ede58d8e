"""What became of a room's mutants: the table, the survivors with their reasons, and the JSON that is kept."""

from __future__ import annotations

import json
import math
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

from tests.chaos.report import commit

HERE: Final = Path(__file__).parent
RESULTS: Final = HERE / "results"
REASONS: Final = HERE / "survivors.toml"

NOTICED: Final = ("killed", "timeout")
"""A test failed, or never ended."""

UNTRIED: Final = "not checked"
"""mutmut's word for what was made, and not tried before the run was stopped."""


EXCUSES = ("equivalent", "not worth it")
"""How the reason begins of a survivor for which no test is wanted."""


@dataclass(frozen=True, slots=True)
class Survivor:
    """A change that no test noticed.

    Attributes:
        function: Dotted, from the package on.
        status: `survived`; `no tests`: none calls the function; or what else mutmut says.
        before: What the change took away, in one line.
        after: What it put there.
        reason: Why it may live; None where nobody has looked at it yet.
    """

    function: str
    status: str
    before: str
    after: str
    reason: str | None

    @property
    def is_excused(self) -> bool:
        """Whether no test is wanted: nobody could see the change, or it is not worth one. A gap that is only known is none."""
        return self.reason is not None and self.reason.startswith(EXCUSES)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one room: how many mutants its code has, how many of those that were made ended how, and what lives.

    `is_again`: tests were written for what had lived of these very mutants, so they tell nothing of the others any more.
    """

    room: str
    mutants: int
    counts: Mapping[str, int]
    survivors: Sequence[Survivor]
    is_again: bool = False

    @property
    def tried(self) -> int:
        """All, or a sample."""
        return sum(many for status, many in self.counts.items() if status != UNTRIED)

    @property
    def noticed(self) -> int:
        """Those that a test noticed."""
        return sum(self.counts.get(status, 0) for status in NOTICED)

    @property
    def share(self) -> float:
        """Noticed of tried; 1 where nothing was tried."""
        return self.noticed / self.tried if self.tried else 1.0

    @property
    def interval(self) -> tuple[float, float] | None:
        """Where the share of all mutants lies (95 %, Wilson); None where all were tried, or nobody can tell."""
        if self.tried == self.mutants or not self.tried or self.is_again:
            return None
        z, n = 1.959964, self.tried
        middle = (self.share + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(self.share * (1 - self.share) / n + z * z / (4 * n * n))
        return middle - half, middle + half


def read_reasons(path: Path = REASONS) -> dict[tuple[str, str, str], str]:
    """Return why a survivor may live, by function, what was there before, and what came after."""
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("survivor", [])
    return {(entry["function"], entry["before"], entry["after"]): entry["reason"] for entry in entries}


def judge(
    room: str,
    mutants: int,
    found: Iterable[Mapping[str, str]],
    reasons: Mapping[tuple[str, str, str], str],
    *,
    is_again: bool = False,
) -> Outcome:
    """Count what `workplace.Workplace.outcome` found, and give the survivors their reasons."""
    found = list(found)
    counts = Counter(mutant["status"] for mutant in found)
    survivors = [
        Survivor(**mutant, reason=reasons.get((mutant["function"], mutant["before"], mutant["after"])))
        for mutant in found
        if mutant["status"] not in (*NOTICED, UNTRIED)
    ]
    return Outcome(room, mutants, dict(counts), survivors, is_again)


def print_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Print the survivors, those that want a test last, and one line for each room."""
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)
    for survivor in sorted(
        (one for outcome in outcomes for one in outcome.survivors), key=lambda one: not one.is_excused
    ):
        console.print(f"{survivor.function} ({survivor.status})", style="bold", markup=False)
        console.print(f"  - {survivor.before}\n  + {survivor.after}", markup=False)
        console.print(
            f"  {survivor.reason or 'NEW: write a test, or a reason into tests/mutants/survivors.toml'}", markup=False
        )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("room", "mutants", "tried", "killed", "timeout", "survived", "excused", "noticed", "95 %"):
        table.add_column(name, justify="left" if name == "room" else "right")
    for one in outcomes:
        excused = sum(survivor.is_excused for survivor in one.survivors)
        ended = (one.counts.get("killed", 0), one.counts.get("timeout", 0), len(one.survivors), excused)
        interval = "" if one.interval is None else "{:.1%} to {:.1%}".format(*one.interval)
        table.add_row(one.room, *map(str, (one.mutants, one.tried, *ended)), f"{one.share:.1%}", interval)
    console.print(table)


def write_outcome(outcome: Outcome, *, seed: int, seconds: float, folder: Path = RESULTS) -> None:
    """Write ROOM.json into `folder`; `seed` drew the sample, where it is one. What was found at first is kept when it is tried again."""
    path = folder / f"{outcome.room}.json"
    first = None
    if outcome.is_again and path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        first = kept["first"] or {name: kept[name] for name in ("commit", "tried", "noticed", "interval")}
    content = {
        "room": outcome.room,
        "commit": commit(),
        "tried_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds),
        "mutants": outcome.mutants,
        "tried": outcome.tried,
        "seed": None if outcome.tried == outcome.mutants else seed,
        "killed": outcome.counts.get("killed", 0),
        "timeout": outcome.counts.get("timeout", 0),
        "survived": len(outcome.survivors),
        "noticed": round(outcome.share, 4),
        "interval": outcome.interval and [round(end, 4) for end in outcome.interval],
        "first": first,
        "survivors": [
            {
                "function": one.function,
                "status": one.status,
                "before": one.before,
                "after": one.after,
                "reason": one.reason,
            }
            for one in outcome.survivors
        ],
    }
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
