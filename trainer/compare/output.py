"""How a comparison is shown: tables on the terminal, an object for programs, a table and a page with pictures in a folder."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from inspector.anomaly.files import write_file
from trainer.compare.pictures import ShownPair
from trainer.compare.result import CompareResult, Pair, named
from trainer.errors import OutputError
from trainer.report.page import page_environment
from trainer.wording import as_percent

_SHOWN = 20
_COLUMNS = (
    "result_id", "part_id", "seq", "captured_at", "verdict", "ratio", "shadow", "shadow_ratio", "reason", "change",
)  # fmt: skip


def print_comparison(result: CompareResult, console: Console) -> None:
    """Print the table of verdicts, how often they differ, and the frames that differ most."""
    counts = result.counts
    title = f"{_frames(len(result.pairs))} of {result.camera}, also seen by {named(result.tried)}"
    table = Table(title=Text(title), title_justify="left")
    table.add_column("verdict that counted")
    for name in ("ok", "nok"):
        table.add_column(f"in the shadow {name}", justify="right")
    for counted in ("ok", "nok"):
        table.add_row(counted, *(str(counts[counted, shadow]) for shadow in ("ok", "nok")))
    console.print(table)
    for sentence in sentences(result):
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)
    if not result.differences:
        return
    shown = Table(title="other verdicts, the largest differences first", title_justify="left")
    for name in ("part", "captured", "counted", "shadow", "score / threshold"):
        shown.add_column(name, overflow="fold")
    for pair in result.differences[:_SHOWN]:
        shown.add_row(pair.part_id, when(pair), pair.counted.verdict, pair.shadow.verdict, ratios(pair))
    console.print(shown)
    if len(result.differences) > _SHOWN:
        console.print(f"and {len(result.differences) - _SHOWN} more", highlight=False)


def sentences(result: CompareResult) -> list[str]:
    """What follows from a comparison, a sentence each."""
    differing, rejects = result.differing, result.rejects
    said = [
        (
            f"the verdicts differ on {differing.count} of {differing.total} frames ({as_percent(differing.rate or 0.0)}; "
            f"95\u00a0% interval {as_percent(differing.low)} to {as_percent(differing.high)})"
        ),
        (
            f"the model on trial would reject {rejects.only_first + rejects.both} of them, {rejects.only_second + rejects.both} were rejected; "
            f"95\u00a0% interval of the difference {100 * rejects.low:+.1f} to {100 * rejects.high:+.1f} points"
        ),
    ]
    if result.moved is not None:
        low, middle, high = result.moved
        said.append(
            f"score / threshold moved by {middle:+.3f} in the middle; 90 % of the frames lie between {low:+.3f} and {high:+.3f}"
        )
    said += [f"it could not score {_frames(count)}: {reason}" for reason, count in sorted(result.failed.items())]
    if result.unseen:
        said.append(f"it was not given {_frames(result.unseen)} that were judged meanwhile: the line needed the device")
    if result.unpaired:
        said.append(f"it scored {_frames(result.unpaired)} of which no inspected result is there")
    if result.others:
        said.append(f"other trials in the window saw {_frames(result.others)}; --model DIGEST compares them")
    return said


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"


def ratios(pair: Pair) -> str:
    """Score over threshold of both, or why there is none."""
    both = (pair.counted, pair.shadow)
    return " -> ".join(one.reason if one.ratio is None else f"{one.ratio:.3f}" for one in both)


def when(pair: Pair) -> str:
    """The time of its capture, UTC."""
    return datetime.fromtimestamp(pair.captured_at / 1e6, UTC).isoformat(timespec="milliseconds")


def write_comparison(result: CompareResult, shown: Sequence[ShownPair], out: Path) -> None:
    """Write compare.json, compare.csv with a row for each frame, and the page.

    Raises:
        OutputError: They cannot be written.
    """
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, _COLUMNS)
    table.writeheader()
    table.writerows(pair.as_json() for pair in result.pairs)
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_file(out / "compare.csv", text.getvalue().encode())
        write_file(out / "compare.json", (json.dumps(result.as_json(), indent=1) + "\n").encode())
        write_file(out / "compare.html", render(result, shown).encode())
    except OSError as error:
        raise OutputError.unwritable(out, error, mend="give another folder to --out") from error


def render(result: CompareResult, shown: Sequence[ShownPair]) -> str:
    """The page as HTML: self-contained, its pictures inlined, no script."""
    environment = page_environment("trainer.compare")
    environment.globals |= {"ratios": ratios, "when": when, "named": named}
    page = environment.get_template("compare.html.jinja")
    return page.render(result=result, shown=shown, sentences=sentences(result), counts=result.counts)
