"""The commands of `trainer`: progress on standard error, the answer on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

from inspector.anomaly.network.tuning import tune_process
from trainer.errors import SettingsError, TrainerError
from trainer.settings.commands import ApplySettings, FitSettings, ShowSettings, WorkflowSettings, parse_settings
from trainer.wording import printable

if TYPE_CHECKING:
    from trainer.commands.apply import ImageVerdict
    from trainer.commands.outcome import FitOutcome
    from trainer.progress import StageProgress

REFUSED, WRONG_USAGE, INTERRUPTED = 1, 2, 130
_BOXES_SHOWN = 3


def run(arguments: list[str]) -> int:
    """Run a command.

    Returns:
        Exit status: 0 done, 1 refused or an image could not be scored, 2 wrong usage, 130 interrupted.

    Raises:
        SystemExit: Wrong usage, or help was asked for.
    """
    try:
        settings = parse_settings(arguments)
        tune_process()  # before either command imports torch
        if isinstance(settings, FitSettings):
            return _fit(settings)
        if isinstance(settings, ShowSettings):
            return _show(settings)
        return _workflow(settings) if isinstance(settings, WorkflowSettings) else _apply(settings)
    except SettingsError as error:
        return _complain(error, WRONG_USAGE)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)


def _fit(settings: FitSettings) -> int:
    # Torch takes a second to load: not before the arguments are checked.
    from inspector.anomaly.errors import AnomalyError
    from trainer.commands.fit import run_fit

    try:
        with _progress_bar() as progress:
            outcome = run_fit(settings, progress)
    except (TrainerError, AnomalyError) as error:
        return _complain(error, REFUSED)
    if settings.json_output:
        print(json.dumps(outcome.as_json()))
    else:
        _print_outcome(outcome)
    return 0


def _apply(settings: ApplySettings) -> int:
    from inspector.anomaly.errors import AnomalyError
    from trainer.commands.apply import run_apply, verdicts_as_json
    from trainer.dataset.remarks import ignored_orientation_note

    try:
        with _progress_bar() as progress:
            verdicts = run_apply(settings, progress)
    except (TrainerError, AnomalyError) as error:
        return _complain(error, REFUSED)
    if settings.json_output:
        print(json.dumps(verdicts_as_json(settings.bundle, verdicts)))
    else:
        _print_verdicts(verdicts)
    if note := ignored_orientation_note([verdict.path for verdict in verdicts if verdict.is_orientation_ignored]):
        print(f"trainer: note: {note}", file=sys.stderr)
    failed = [verdict for verdict in verdicts if verdict.error is not None]
    for verdict in failed:
        print(f"trainer: {printable(verdict.path)}: {printable(verdict.error)}", file=sys.stderr)
    return REFUSED if failed else 0


def _show(settings: ShowSettings) -> int:
    from inspector.anomaly.errors import AnomalyError
    from trainer.commands.show import run_show

    try:
        with _progress_bar() as progress:
            drawn = run_show(settings, progress)
    except (TrainerError, AnomalyError) as error:
        return _complain(error, REFUSED)
    print(f"{len(drawn.files)} pictures in {settings.out}")
    _print_remarks(drawn.warnings, drawn.notes)
    return 0


def _workflow(settings: WorkflowSettings) -> int:
    from inspector.anomaly.errors import AnomalyError
    from trainer.commands.workflow import run_workflow

    console = Console()
    steps = 0

    def say(procedure: str, sentence: str) -> None:
        nonlocal steps
        steps += 1
        console.print(f"[bold cyan]{steps:2} {procedure}[/]")
        console.print(f"   {sentence}", markup=False, highlight=False, soft_wrap=True)

    try:
        # On a terminal the bar of what is running stands below what was said.
        with _progress_bar(console if console.is_terminal else None) as progress:
            pictures = run_workflow(settings, say, progress)
    except (TrainerError, AnomalyError) as error:
        return _complain(error, REFUSED)
    print(f"pictures: {pictures}")
    return 0


def _complain(message: object, status: int) -> int:
    print(f"trainer: {printable(message)}", file=sys.stderr)
    return status


@contextmanager
def _progress_bar(shared: Console | None = None) -> Iterator[StageProgress]:
    """Bars on standard error; or on a console that others print to, where only what is running is shown."""
    columns = (
        TextColumn("{task.description:<22}", markup=False),
        BarColumn(bar_width=36),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True) if shared is None else shared
    with Progress(*columns, console=console, transient=shared is not None) as bar:
        tasks: dict[str, TaskID] = {}

        def advance(stage: str, done: int, total: int) -> None:
            name = stage.partition(": ")[0]
            if name not in tasks:
                tasks[name] = bar.add_task(stage, total=total)
            is_shown = shared is None or done < total
            bar.update(tasks[name], description=stage, completed=done, total=total, visible=is_shown)

        yield advance


def _print_outcome(outcome: FitOutcome) -> None:
    console = Console()
    title = Text(f"Model {outcome.name}")
    table = Table(title=title, title_justify="left", show_header=False, title_style="bold")
    for name, value in outcome.summary():
        table.add_row(name, Text(value))
    console.print(table)
    # Not in the table, whose cells would break a path.
    print(f"bundle: {outcome.bundle}\nreport: {outcome.report}")
    _print_remarks(outcome.warnings, outcome.notes)


def _print_remarks(warnings: Iterable[str], notes: Iterable[str]) -> None:
    console = Console()
    for warning in warnings:
        console.print("warning:", style="yellow bold", end=" ")
        console.print(warning, markup=False, highlight=False, soft_wrap=True)
    for note in notes:
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)


def _print_verdicts(verdicts: list[ImageVerdict]) -> None:
    table = Table(Column("image", overflow="fold"), "score", "threshold", "verdict", "regions (x, y, width, height)")
    for verdict in verdicts:
        path = Text(printable(verdict.path))  # as it is: brackets in a name are no markup
        if verdict.error is not None:
            table.add_row(path, "", "", "[red]not scored[/red]", "")
            continue
        boxes = [f"({box.x}, {box.y}, {box.width}, {box.height})" for box in verdict.boxes[:_BOXES_SHOWN]]
        more = verdict.num_regions - len(boxes)
        colour = "green" if verdict.anomaly_class == "ok" else "red"
        table.add_row(
            path,
            f"{verdict.anomaly_score:.4f}",
            f"{verdict.threshold:.4f}",
            f"[{colour}]{verdict.anomaly_class}[/{colour}]",
            " ".join(boxes) + (f" and {more} more" if more > 0 else ""),
        )
    Console().print(table)
