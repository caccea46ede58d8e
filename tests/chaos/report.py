"""The table for people and the JSON for the archive."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from deploy.local.broker import CHECKOUT
from tests.benchmarks.machine import describe_machine, describe_software
from tests.chaos.campaign import Row

RESULTS = Path(__file__).parent / "results"
WORDS = {True: "held", False: "MISSED", None: "not judged"}
COLOURS = {True: "green", False: "bold red", None: "yellow"}


def print_table(rows: Sequence[Row], first: str = "campaign") -> None:
    """Print one line for each promise, to standard output; `first` heads the first column."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in (first, "promise"):
        table.add_column(name, overflow="fold")
    table.add_column("trials", justify="right")
    table.add_column("figure", overflow="fold")
    table.add_column("", no_wrap=True)
    for row in rows:
        verdict = f"[{COLOURS[row.held]}]{WORDS[row.held]}[/]"
        table.add_row(row.campaign, row.promise, f"{row.trials:,}", row.figure, verdict)
    console = Console() if sys.stdout.isatty() else Console(width=160)
    console.print(table)


def document(rows: Sequence[Row], facts: Mapping[str, object], program: str = "tests.chaos") -> dict[str, object]:
    """Return what is kept of a run of `program`: the rows, and what they were found with."""
    return {
        **facts,
        "command": " ".join([f"python -m {program}", *sys.argv[1:]]),
        "commit": commit(),
        "machine": describe_machine(),
        "software": describe_software(),
        "missed": sum(row.held is False for row in rows),
        "rows": [asdict(row) for row in rows],
    }


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write the JSON of a run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")


def commit() -> str:
    """Return the commit of the checkout, with -dirty where files differ from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607 the git of whoever runs it
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"
