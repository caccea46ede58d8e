"""`python -m tests.e2e.factory`, which is `make e2e`: a day of a factory, judged.

Exit status: 0 every promise held; 1 one was missed, a step failed, or Apache Kafka or Prometheus is not here; 2 wrong usage; 130
interrupted, 143 terminated.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from deploy.demo.__main__ import LOG_WIDTH, Terminated, make_empty, signals_raise
from deploy.demo.children import DemoError
from deploy.demo.stage import Stage
from deploy.local.broker import CHECKOUT
from deploy.local.prometheus import PrometheusMissingError
from tests.chaos.report import document, print_table, write_json
from tests.e2e.factory.day import Day
from tests.e2e.factory.findings import Evening, read_evening
from tests.e2e.factory.page import camera_rows, write_page
from tests.e2e.factory.plant import must_be_here
from tests.e2e.factory.promises import judge_day
from tests.e2e.offspring import Offspring

PAGE_NAME, RESULT_NAME = "report.html", "result.json"
RATE = 3.0
FAILED = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Play the day, write page and JSON, print the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.factory", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=CHECKOUT / "out" / "e2e", metavar="DIR", help="default: out/e2e")
    parser.add_argument(
        "--rate", type=float, default=RATE, metavar="FPS", help=f"frames a second of each camera (default: {RATE:g})"
    )
    options = parser.parse_args(argv)
    if not options.rate > 0:
        parser.error("--rate must be above 0")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # that the broker is away is one of the faults
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=LOG_WIDTH)
    out = options.out.resolve()
    try:
        must_be_here()
        make_empty(out)
        with Offspring().ended(), signals_raise():
            return _run(Day(Stage(out, console), rate=options.rate))
    except (DemoError, PrometheusMissingError) as error:
        console.print(f"\n[bold red]The factory stands:[/] {escape(str(error))}", soft_wrap=True)
        return FAILED
    except Terminated as ended:
        console.print("\nended early; everything that was started has been stopped")
        return ended.status


def _run(day: Day) -> int:
    begun = time.monotonic()
    stage = day.stage
    stage.console.print("[bold]line-inspector[/]: a day of a factory with four cameras, on Apache Kafka")
    try:
        day.play()
        with stage.step("judge"):
            evening = read_evening(day.plant)
    finally:
        day.plant.close()
    stage.seconds["total"] = time.monotonic() - begun
    judge_day(day, evening)
    rows = day.book.rows
    write_json(stage.out / RESULT_NAME, document(rows, _facts(day, evening), program="tests.e2e.factory"))
    write_page(day, evening, stage.out / PAGE_NAME)
    stage.console.print()
    print_table(rows, first="chapter")
    stage.console.print(f"figures:  {stage.out / RESULT_NAME}\nreport:   {stage.out / PAGE_NAME}", soft_wrap=True)
    return FAILED if any(row.held is False for row in rows) else 0


def _facts(day: Day, evening: Evening) -> dict[str, Any]:
    broker = day.broker
    return {
        "broker": None if broker is None else broker.name,
        "seconds": {step: round(seconds, 1) for step, seconds in day.stage.seconds.items()},
        "statuses": dict(evening.findings.statuses),
        "cameras": {row.camera.camera_id: row.figures._asdict() for row in camera_rows(evening)},
        "commands": day.stage.commands,
    }


if __name__ == "__main__":
    sys.exit(main())
