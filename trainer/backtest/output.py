"""How a backtest is shown: two tables on the terminal, an object for programs, files in a folder."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from inspector.anomaly.files import write_file
from trainer.backtest.result import BacktestResult
from trainer.errors import OutputError
from trainer.rates import Rate
from trainer.wording import as_percent, printable

_SHOWN = 20
_COLUMNS = ("name", "label", "recorded", "recorded_ratio", "model", "is_sample", "verdict", "ratio", "change", "error")


def print_backtest(result: BacktestResult, console: Console) -> None:
    """Print what changed, at what rates, and the images that differ most."""
    counts = result.counts
    table = Table(
        title=Text(f"{len(result.images)} archived images judged again by {result.tried}"), title_justify="left"
    )
    table.add_column("recorded verdict")
    for name in ("ok", "nok"):
        table.add_column(f"now {name}", justify="right")
    for recorded in ("ok", "nok"):
        table.add_row(recorded, *(str(counts[recorded, tried]) for tried in ("ok", "nok")))
    console.print(table)
    _say(console, f"it rejects {_rate(result.new_rejects)} of the random sample of ok images")
    _say(console, f"it passes {_rate(result.passed)} of the images that were nok")
    if result.gone:
        _say(console, f"{result.gone} images of the index no longer exist")
    if not result.differences:
        return
    shown = Table(title="changed verdicts, the largest differences first", title_justify="left")
    for name in ("image", "then", "now", "score / threshold"):
        shown.add_column(name, overflow="fold")
    for one in result.differences[:_SHOWN]:
        now = "not judged" if one.ratio is None else f"{one.ratio:.3f}"
        verdict = one.verdict or "nok"
        shown.add_row(Text(printable(one.name)), one.recorded, verdict, f"{one.recorded_ratio:.3f} -> {now}")
    console.print(shown)
    if len(result.differences) > _SHOWN:
        _say(console, f"and {len(result.differences) - _SHOWN} more")


def write_backtest(result: BacktestResult, out: Path) -> None:
    """Write backtest.json, and backtest.csv with a row for each image.

    Raises:
        OutputError: They cannot be written.
    """
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, _COLUMNS)
    table.writeheader()
    table.writerows({name: getattr(one, name) for name in _COLUMNS} for one in result.images)
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_file(out / "backtest.csv", text.getvalue().encode())
        write_file(out / "backtest.json", (json.dumps(result.as_json(), indent=1) + "\n").encode())
    except OSError as error:
        raise OutputError.unwritable(out, error, mend="give another folder to --out") from error


def _rate(rate: Rate) -> str:
    if not rate.total:
        return "none, since there are none"
    share = as_percent(rate.rate or 0.0)
    return (
        f"{rate.count} of {rate.total} ({share}; 95\u00a0% interval {as_percent(rate.low)} to {as_percent(rate.high)})"
    )


def _say(console: Console, sentence: str) -> None:
    console.print(sentence, markup=False, highlight=False, soft_wrap=True)
