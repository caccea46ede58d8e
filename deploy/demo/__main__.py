"""`python -m deploy.demo`, which is `make demo`.

Exit status: 0 every frame has its verdict and the verdicts are good; 1 not so, or a step failed; 2 wrong usage; 130
interrupted, 143 terminated.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.demo.cameras import BUDGET_MS
from deploy.demo.children import DemoError
from deploy.demo.page import draw_cards, render_page
from deploy.demo.show import DEFAULT_FRAMES, Show
from deploy.demo.summary import Run, summarise
from deploy.local.broker import CHECKOUT
from trainer.report import as_figure, as_percent

SUMMARY_NAME = "summary.json"
REPORT_NAME = "report.html"
# Tells a folder that a demo made from one that may hold something dear.
_MARKER = ".line-inspector-demo"
FAILED, WRONG_USAGE = 1, 2


class Terminated(BaseException):
    """A signal asked the demo to end."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.status = 128 + number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy.demo", description="Two cameras, two models, one broker.")
    parser.add_argument("--out", type=Path, default=CHECKOUT / "demo-out", metavar="DIR", help="default: demo-out")
    parser.add_argument(
        "--frames", type=int, default=DEFAULT_FRAMES, metavar="N", help=f"frames at least (default: {DEFAULT_FRAMES})"
    )
    options = parser.parse_args(arguments)
    if options.frames < 1:
        parser.error("--frames must be at least 1")
    console = Console(highlight=False)
    out = options.out.resolve()
    try:
        make_empty(out)
        with _signals_raise():
            return _run(Show(out, console, frames=options.frames))
    except DemoError as error:
        console.print(f"\n[bold red]The demo failed:[/] {escape(str(error))}", soft_wrap=True)
        return FAILED
    except Terminated as ended:
        console.print("\nended early; everything that was started has been stopped")
        return ended.status


def make_empty(out: Path) -> None:
    """Make the folder for the output; one that a demo made before is replaced.

    Raises:
        DemoError: It holds something else.
    """
    if out.is_dir() and any(out.iterdir()):
        if not (out / _MARKER).is_file():
            raise DemoError(f"{out} was not made by the demo, so it is not replaced; give another folder with --out")
        shutil.rmtree(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / _MARKER).touch()
    except OSError as exc:
        raise DemoError(f"{out} cannot be made: {exc.strerror}") from exc


def _run(show: Show) -> int:
    begun = time.monotonic()
    show.console.print("[bold]line-inspector[/]: two cameras, two models and a broker, all on this machine")
    run = show.play()
    cards = {camera.camera_id: draw_cards(run.images(camera), camera, show.pictures) for camera in run.cameras}
    show.seconds["total"] = time.monotonic() - begun
    summary = summarise(run)
    (show.out / SUMMARY_NAME).write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (show.out / REPORT_NAME).write_text(render_page(run, summary, cards), encoding="utf-8")
    _print_outcome(show, run, summary)
    return 0 if summary["passed"] else FAILED


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Turn the first signal into an exception; while things are ended in order, further ones are ignored."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}

    def on_signal(number: int, frame: FrameType | None) -> None:
        del frame
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise Terminated(number)

    for number in numbers:
        # One that is ignored on purpose (nohup) stays so.
        if before[number] != signal.SIG_IGN:
            signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_outcome(show: Show, run: Run, summary: Mapping[str, Any]) -> None:
    console = show.console
    table = Table(title="What came of it", title_justify="left", title_style="bold", header_style="bold")
    table.add_column("camera")
    for name in ("frames", "verdicts", "image AUROC", "defects found", "ok rejected", "on time", "p50 ms", "p99 ms"):
        table.add_column(name, justify="right")
    for camera in run.cameras:
        figures = summary["cameras"][camera.camera_id]
        table.add_row(
            camera.key,
            str(figures["frames"]),
            str(figures["verdicts"]),
            as_figure(figures["auroc"], 4),
            f"{figures['images_nok'] - figures['missed']} of {figures['images_nok']}",
            f"{figures['false_rejects']} of {figures['images_ok']}",
            as_percent(figures["on_time"]),
            f"{figures['p50_ms'] or 0:.0f}",
            f"{figures['p99_ms'] or 0:.0f}",
        )
    console.print()
    console.print(table)
    console.print(
        f"{summary['frames']} frames, {summary['verdicts']} verdicts, {summary['missing']} missing, "
        f"{summary['duplicates']} repeated; {summary['throughput_fps']:.1f} of {summary['offered_fps']:.1f} frames/s offered; "
        f"budget {BUDGET_MS / 1000:.0f} s; {summary['broker']}; {summary['seconds']['total']:.0f} s in all"
    )
    for fault in summary["faults"]:
        console.print(f"[bold red]not good:[/] {escape(fault)}")
    console.print(f"\nfigures:  {show.out / SUMMARY_NAME}\npictures: {show.out / REPORT_NAME}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
