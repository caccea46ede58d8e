"""The tables in the terminal: while the cameras run, and at the end."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deploy.demo.account import INSPECTED, Account, CameraAccount, Received, percentile
from deploy.demo.cameras import DemoCamera
from trainer.wording import as_figure, as_percent

LATEST = 6
_LINE_EVERY_S = 10.0
_PART_WIDTH = 30


class LiveTable:
    """Draws the account; the last few verdicts run below it."""

    def __init__(self, cameras: Sequence[DemoCamera], account: Account, planned: int) -> None:
        self._cameras = cameras
        self._account = account
        self._planned = planned
        self._latest: deque[Received] = deque(maxlen=LATEST)
        self._next_line_s = _LINE_EVERY_S

    @property
    def is_worth_keeping(self) -> bool:
        """Whether half of the planned verdicts have come, and the latest are of both kinds."""
        is_half_done = 2 * len(self._account.received()) >= self._planned
        return is_half_done and len({received.anomaly_class for received in self._latest}) > 1

    def note(self, received: Received) -> None:
        """Show a verdict among the latest."""
        self._latest.append(received)

    def render(self, elapsed_s: float) -> RenderableType:
        """Return the picture of this moment."""
        done = len(self._account.received())
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(total=self._planned, completed=done, width=40),
            Text(f"{done} of {self._planned} verdicts, {elapsed_s:.0f} s", style="dim"),
        )
        latest = Table.grid(padding=(0, 2))
        for received in self._latest:
            latest.add_row(*_verdict_cells(received))
        for _ in range(LATEST - len(self._latest)):
            latest.add_row("")
        title = "latest verdicts, as a reject actuator reads them"
        return Group(self._table(elapsed_s), bar, Panel(latest, title=title, title_align="left", border_style="dim"))

    def line(self, elapsed_s: float) -> str | None:
        """Return a line for a log now and then, else None."""
        if elapsed_s < self._next_line_s:
            return None
        self._next_line_s += _LINE_EVERY_S
        received = self._account.received()
        p99 = percentile([r.latency_ms for r in received], 99)
        return f"{elapsed_s:4.0f} s: {len(received)} of {self._planned} verdicts, p99 {_ms(p99)} ms"

    def _table(self, elapsed_s: float) -> Table:
        table = _table_with("sent", "verdicts", "ok", "nok", "expired", "p50 ms", "p99 ms", "frames/s")
        for camera in self._cameras:
            account = self._account.cameras[camera.camera_id]
            table.add_row(Text(camera.camera_id, style="cyan"), *_cells(account, elapsed_s))
        return table


def _table_with(*names: str) -> Table:
    """Return a table with a column for the camera and columns of numbers; it fits 80 characters."""
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1), collapse_padding=True)
    table.add_column("camera", min_width=8)
    for name in names:
        table.add_column(name, justify="right", min_width=4, no_wrap=True)
    return table


def _cells(account: CameraAccount, elapsed_s: float) -> list[str | Text]:
    num_expired = account.statuses()["expired"]
    others = len(account.received) - account.count("ok") - account.count("nok") - num_expired
    fps = len(account.received) / elapsed_s if elapsed_s > 0 else 0.0
    return [
        str(len(account.sent)),
        str(len(account.received)) + (f" ({others} faults)" if others else ""),
        Text(str(account.count("ok")), style="green"),
        Text(str(account.count("nok")), style="red"),
        Text(str(num_expired), style="bold yellow" if num_expired else "dim"),
        _ms(account.latency_ms(50)),
        _ms(account.latency_ms(99)),
        f"{fps:.1f}",
    ]


def _verdict_cells(received: Received) -> list[Text]:
    if received.status == INSPECTED:
        passed = received.anomaly_class == "ok"
        word = Text(" OK " if passed else " NOK ", style="bold black on green" if passed else "bold white on red")
        score = f"score {received.score:.3f}"
    else:
        word, score = Text(" NOK ", style="bold black on yellow"), received.reason
    name = Text(received.camera_id.ljust(8), style="cyan")
    return [
        word,
        name,
        Text(received.part_id[-_PART_WIDTH:].ljust(_PART_WIDTH)),
        Text(score),
        Text(f"{received.latency_ms:.0f} ms"),
    ]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def print_outcome(console: Console, cameras: Sequence[DemoCamera], summary: Mapping[str, Any]) -> None:
    """Print what came of the run: the figures of summary.json that a person asks for first."""
    table = _table_with("frames", "verdicts", "AUROC", "found", "rejected", "on time", "p50 ms", "p99 ms")
    for camera in cameras:
        figures = summary["cameras"][camera.camera_id]
        table.add_row(
            Text(camera.camera_id, style="cyan"),
            str(figures["frames"]),
            str(figures["verdicts"]),
            as_figure(figures["auroc"], 4),
            f"{figures['images_nok'] - figures['missed']}/{figures['images_nok']}",
            f"{figures['false_rejects']}/{figures['images_ok']}",
            as_percent(figures["on_time"]),
            _ms(figures["p50_ms"]),
            _ms(figures["p99_ms"]),
        )
    console.print()
    console.print("[bold blue]●[/] [bold]Results[/]")
    console.print(table)
    console.print("  found: share of the defects; rejected: share of the ok parts", style="dim")
    console.print(
        f"  {summary['frames']} frames, {summary['verdicts']} verdicts, {summary['missing']} missing, "
        f"{summary['duplicates']} repeated\n"
        f"  {summary['throughput_fps']:.1f} frames/s of {summary['offered_fps']:.1f} offered, "
        f"budget {summary['budget_ms'] / 1000:g} s, {summary['broker']}\n"
        f"  {summary['seconds']['total']:.0f} s in all"
    )
    for fault in summary["faults"]:
        console.print(f"[bold red]problem:[/] {escape(fault)}")
