"""What a simulated line prints: a line for each part, and the totals."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from inspector.line.conveyor import Tally
from inspector.line.simulate import Happened

_COLOURS = {"passed": "green", "rejected": "bold red", "stopped": "bold red", "waits": "yellow", "runs": "bold"}


class LineDisplay:
    """Prints on standard output, each line at once."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._console = Console(soft_wrap=True, highlight=False)

    def show(self, happened: Happened) -> None:
        """Print what the line saw."""
        if self._as_json:
            event = {"event": happened.what, "part_id": happened.part_id or None, "text": happened.text or None}
            sys.stdout.write(json.dumps({key: value for key, value in event.items() if value is not None}) + "\n")
            sys.stdout.flush()
            return
        line = Text(happened.part_id.ljust(24) if happened.part_id else "the line ".ljust(24))
        line.append(happened.what.ljust(10), style=_COLOURS[happened.what])
        self._console.print(line.append(happened.text))


def tally_line(tally: Tally, unentitled: Sequence[str]) -> str:
    """Return the outcome of a simulated line, in sentences."""
    whys = ", ".join(f"{count} {why}" for why, count in sorted(tally.whys.items()))
    return (
        f"{tally.announced} parts: {tally.passed} passed, {tally.rejected} rejected"
        + (f" ({whys})" if whys else "")
        + f"; unanswered {tally.unanswered}, while the line stood {tally.stopped}, refused {tally.refused}\n"
        + f"passed without a verdict {len(unentitled)}, acted twice {tally.acted_twice}, late actions {tally.late}, "
        + f"line stops {tally.stops}"
    )


def tally_json(tally: Tally, unentitled: Sequence[str]) -> str:
    """Return the outcome of a simulated line as a JSON object."""
    known = {"event": "summary", **asdict(tally), "whys": dict(tally.whys)}
    return json.dumps(known | {"passed_without_verdict": list(unentitled)})
