"""The commands of `trainer`: progress on standard error, the answer on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

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
from rich.table import Table
from rich.text import Text

from inspector.anomaly.network.tuning import tune_process
from trainer.errors import SettingsError, TrainerError
from trainer.settings.check import CheckSettings
from trainer.settings.commands import (
    ApplySettings,
    BacktestSettings,
    CommandSettings,
    CompareSettings,
    FitSettings,
    ReleaseSettings,
    ReleasesSettings,
    RollbackSettings,
    ShowSettings,
    SignSettings,
    WorkflowSettings,
    parse_settings,
)
from trainer.wording import printable

if TYPE_CHECKING:
    from inspector.releases.desk import Outcome
    from trainer.progress import StageProgress
    from trainer.workflow.outcome import FitOutcome

REFUSED, WRONG_USAGE, LEFT_OUT, INTERRUPTED = 1, 2, 3, 130


def run(arguments: list[str]) -> int:
    """Run a command.

    Returns:
        Exit status: 0 done, 1 refused, 2 wrong usage, 3 pictures were left out of `apply`, 130 interrupted.

    Raises:
        SystemExit: Wrong usage, or help was asked for.
    """
    try:
        settings = parse_settings(arguments)
        tune_process()  # before either command imports torch
        with _archive_copied(settings) as at_hand:
            return _COMMANDS[type(at_hand)](at_hand)
    except SettingsError as error:
        return _complain(error, WRONG_USAGE)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)


def _check(settings: CheckSettings) -> int:
    from trainer.check.file import check_target, write_sheet
    from trainer.check.output import print_check
    from trainer.check.run import run_check

    try:
        check_target(settings)
        with _progress_bar(is_shown=not settings.json_output) as progress:
            checked = run_check(settings, progress)
        if settings.out is not None:
            write_sheet(settings.out, checked)
    except TrainerError as error:
        return _complain(error, REFUSED)
    if settings.json_output:
        print(json.dumps(checked.result.as_json()))
    else:
        print_check(checked.result, Console())
        if settings.out is not None:
            print(f"contact sheet: {settings.out}")
    return REFUSED if checked.result.is_refused else 0


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
    from trainer.apply.output import VerdictOutput
    from trainer.apply.run import plan_apply, run_apply
    from trainer.pictures.remarks import ignored_orientation_note

    console = Console()
    try:
        plan = plan_apply(settings)
        output = VerdictOutput(plan, console)
        try:
            with (
                _progress_bar(console if console.is_terminal else None, is_shown=not settings.json_output) as progress,
                closing(run_apply(plan, progress)) as verdicts,
            ):
                for verdict in verdicts:
                    output.show(verdict)
        except KeyboardInterrupt:
            output.end(is_interrupted=True)
            raise
        output.end()
    except (TrainerError, AnomalyError) as error:
        return _complain(error, REFUSED)
    if note := ignored_orientation_note(output.ignored_orientation):
        _complain(f"note: {note}", 0)
    for failed in output.failed:
        _complain(f"{failed.path}: {failed.error}", LEFT_OUT)
    if not output.tally.taken:
        return REFUSED
    return LEFT_OUT if output.tally.pictures_left_out else 0


def _backtest(settings: BacktestSettings) -> int:
    from inspector.anomaly.errors import AnomalyError
    from trainer.backtest.output import print_backtest, write_backtest
    from trainer.backtest.run import run_backtest

    try:
        with _progress_bar(is_shown=not settings.json_output) as progress:
            result = run_backtest(settings, progress)
        if settings.out is not None:
            write_backtest(result, settings.out)
    except (TrainerError, AnomalyError) as error:
        return _complain(error, REFUSED)
    if settings.json_output:
        print(json.dumps(result.as_json()))
    else:
        print_backtest(result, Console())
        if settings.out is not None:
            print(f"files: {settings.out}")
    return 0


def _show(settings: ShowSettings) -> int:
    from inspector.anomaly.errors import AnomalyError
    from trainer.commands.show import run_show

    try:
        with _progress_bar() as progress:
            drawn = run_show(settings, progress)
    except (TrainerError, AnomalyError) as error:
        return _complain(error, REFUSED)
    print(f"{len(drawn.files)} pictures in {settings.out}")
    print(f"files: {drawn.tally.sentence}; {drawn.n_images} drawn")
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


def _sign(settings: SignSettings) -> int:
    from inspector.anomaly.errors import AnomalyError
    from inspector.anomaly.model.manifest import MANIFEST_NAME, read_manifest
    from inspector.anomaly.model.signature import SIGNATURE_NAME, sign

    try:
        manifest, digest = read_manifest(settings.bundle)  # what is damaged is not signed
        key = sign(settings.bundle, MANIFEST_NAME, settings.key)
    except AnomalyError as error:
        return _complain(error, REFUSED)
    print(
        f"{settings.bundle / SIGNATURE_NAME}: {manifest.name} {manifest.version} ({digest[:12]}) signed by key {key[:16]}"
    )
    return 0


def _release(settings: ReleaseSettings) -> int:
    from trainer.commands.release import run_release

    return _tell_changes(settings, lambda: run_release(settings))


def _rollback(settings: RollbackSettings) -> int:
    from trainer.commands.release import run_rollback

    return _tell_changes(settings, lambda: run_rollback(settings))


def _tell_changes(settings: ReleaseSettings | RollbackSettings, run: Callable[[], Sequence[Outcome]]) -> int:
    from inspector.anomaly.errors import AnomalyError
    from inspector.errors import ConfigError, InspectorError
    from trainer.commands.release import as_json, outcome_lines

    try:
        outcomes = run()
    except (AnomalyError, InspectorError) as error:
        return _complain(error, WRONG_USAGE if isinstance(error, ConfigError) else REFUSED)
    if settings.json_output:
        for outcome in outcomes:
            if outcome.written is not None:
                print(as_json(outcome.written.release))
    else:
        for line in outcome_lines(outcomes):
            print(line)
    refused = [outcome for outcome in outcomes if outcome.written is None]
    for outcome in refused:
        _complain(f"{outcome.camera}: {outcome.refusal.removeprefix(f'{outcome.camera}: ')}", REFUSED)
    return REFUSED if refused else 0


def _releases(settings: ReleasesSettings) -> int:
    from inspector.errors import ConfigError, InspectorError
    from trainer.commands.release import as_json, releases_table, run_releases

    try:
        releases = run_releases(settings)
    except InspectorError as error:
        return _complain(error, WRONG_USAGE if isinstance(error, ConfigError) else REFUSED)
    if settings.json_output:
        for release in releases:
            print(as_json(release))
    elif releases:
        Console().print(releases_table(releases))
    else:
        print("no model was released: the models of the inspectors' settings judge")
    return 0


def _compare(settings: CompareSettings) -> int:
    from inspector.errors import ConfigError, InspectorError
    from trainer.commands.compare import run_compare
    from trainer.compare.output import print_comparison

    try:
        result = run_compare(settings)
    except (TrainerError, InspectorError) as error:
        return _complain(error, WRONG_USAGE if isinstance(error, ConfigError) else REFUSED)
    if settings.json_output:
        print(json.dumps(result.as_json()))
    else:
        print_comparison(result, Console())
        if settings.out is not None:
            print(f"files: {settings.out}")
    return 0


def _complain(message: object, status: int) -> int:
    print(f"trainer: {printable(message)}", file=sys.stderr)
    return status


@contextmanager
def _archive_copied(settings: CommandSettings) -> Iterator[CommandSettings]:
    """Give pictures of an archive in S3 a folder until the command ends, where the user has named none."""
    if not isinstance(getattr(settings, "archive", None), str) or getattr(settings, "archive_cache", None) is not None:
        yield settings
        return
    with TemporaryDirectory(prefix="line-inspector-archive-") as folder:
        yield settings.model_copy(update={"archive_cache": Path(folder)})


@contextmanager
def _progress_bar(shared: Console | None = None, *, is_shown: bool = True) -> Iterator[StageProgress]:
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
    # What is printed meanwhile would go to the bar's console, which is standard error.
    is_redirected = shared is not None
    with Progress(
        *columns, console=console, transient=is_redirected, redirect_stdout=is_redirected, disable=not is_shown
    ) as bar:
        tasks: dict[str, TaskID] = {}

        def advance(stage: str, done: int, total: int) -> None:
            name = stage.partition(": ")[0]
            if name not in tasks:
                tasks[name] = bar.add_task(stage, total=total)
            is_left = shared is None or done < total
            bar.update(tasks[name], description=stage, completed=done, total=total, visible=is_left)

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


_COMMANDS: Final[Mapping[type[CommandSettings], Callable[[Any], int]]] = MappingProxyType(
    {
        CheckSettings: _check,
        FitSettings: _fit,
        ApplySettings: _apply,
        BacktestSettings: _backtest,
        ShowSettings: _show,
        WorkflowSettings: _workflow,
        SignSettings: _sign,
        ReleaseSettings: _release,
        RollbackSettings: _rollback,
        ReleasesSettings: _releases,
        CompareSettings: _compare,
    }
)
