"""How `trainer check` prints what it found: a table that fits the terminal, then reasons, warnings and notes."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainer.check.result import CheckResult
from trainer.check.words import lines, verdict
from trainer.wording import printable


def print_check(result: CheckResult, console: Console) -> None:
    """Print all of it, the verdict last where it is read first: above the prompt."""
    console.print(Text(f"Check of {printable(result.source)}", style="bold"), soft_wrap=True)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for line in lines(result):
        table.add_row(Text(line.title), Text(line.text))
    console.print(table, highlight=False)
    _print_list(console, "note", "", result.notes)
    _print_list(console, "look", "magenta", [one.sentence for one in result.oddities])
    _print_list(console, "warning", "yellow bold", result.warnings)
    console.print()
    style = "red bold" if result.is_refused else "green bold"
    console.print(Text(verdict(result), style=style), highlight=False)
    for number, refusal in enumerate(result.refusals, start=1):
        console.print(_entry(f"{number:2}.", "red bold", refusal.summary), highlight=False)


def _print_list(console: Console, title: str, style: str, sentences: Sequence[str]) -> None:
    for sentence in sentences:
        console.print(_entry(f"{title}:", style, sentence), highlight=False)


def _entry(title: str, style: str, sentence: str) -> Table:
    row = Table.grid(padding=(0, 1))
    row.add_column(no_wrap=True)
    row.add_column(overflow="fold")
    row.add_row(Text(title, style=style), Text(sentence))
    return row
