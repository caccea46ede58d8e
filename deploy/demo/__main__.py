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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.markup import escape

from deploy.demo.children import DemoError
from deploy.demo.show import DEFAULT_FRAMES, Show
from deploy.demo.stage import Stage
from deploy.demo.summary import summarise
from deploy.demo.views.live import print_outcome
from deploy.demo.views.page import draw_cards, render_page
from deploy.local.broker import CHECKOUT
from inspector.anomaly.files import write_file

SUMMARY_NAME = "summary.json"
REPORT_NAME = "report.html"
# Tells a folder that a demo made from one that may hold something dear.
_MARKER = ".line-inspector-demo"
FAILED = 1
LOG_WIDTH = 120


class Terminated(BaseException):
    """A signal asked the program to end; `status` is what it ends with."""

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
    if not console.is_terminal:
        console = Console(highlight=False, width=LOG_WIDTH)
    out = options.out.resolve()
    try:
        make_empty(out)
        with signals_raise():
            return _run(Stage(out, console), options.frames)
    except DemoError as error:
        console.print(f"\n[bold red]The demo failed:[/] {escape(str(error))}", soft_wrap=True)
        return FAILED
    except Terminated as ended:
        console.print("\ninterrupted; everything that was started has been stopped")
        return ended.status


def make_empty(out: Path) -> None:
    """Make the folder for the output; one that was made here before is replaced.

    Raises:
        DemoError: It holds something else.
    """
    if out.is_dir() and any(out.iterdir()):
        if not (out / _MARKER).is_file():
            raise DemoError(
                f"{out} was not created by this command, so it is not replaced; give another folder with --out"
            )
        shutil.rmtree(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / _MARKER).touch()
    except OSError as exc:
        raise DemoError(f"{out} cannot be created: {exc.strerror}") from exc


def _run(stage: Stage, frames: int) -> int:
    return run_show(stage, Show(stage, frames=frames))


def run_show(stage: Stage, show: Show) -> int:
    """Play the demo, write figures and pictures, print what came of it; return the exit status.

    Raises:
        DemoError: A step failed; nothing is written then.
    """
    begun = time.monotonic()
    stage.console.print("[bold]line-inspector[/]: two cameras, two models and a broker, all on this machine")
    run = show.play()
    cards = {camera.camera_id: draw_cards(run.images(camera), camera, show.pictures) for camera in run.cameras}
    stage.seconds["total"] = time.monotonic() - begun
    summary = summarise(run)
    write_file(stage.out / SUMMARY_NAME, (json.dumps(summary, indent=2, ensure_ascii=False) + "\n").encode())
    write_file(stage.out / REPORT_NAME, render_page(run, summary, cards).encode())
    print_outcome(stage.console, run.cameras, summary)
    stage.console.print(f"\nfigures:  {stage.out / SUMMARY_NAME}\npictures: {stage.out / REPORT_NAME}", soft_wrap=True)
    return 0 if summary["passed"] else FAILED


@contextmanager
def signals_raise() -> Iterator[None]:
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


if __name__ == "__main__":
    sys.exit(main())
