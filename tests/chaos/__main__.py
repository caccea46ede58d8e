"""`python -m tests.chaos`: runs the campaigns, prints a table, writes JSON; status 1 where a promise is missed."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from inspector.anomaly.network.tuning import tune_process
from tests.chaos import report
from tests.chaos.campaign import Campaign, Context, Counts, Row, Shared, SkipCampaign, find_campaigns


def arguments_of(argv: Sequence[str] | None, names: Iterable[str]) -> argparse.Namespace:
    """Return what was typed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="smaller counts: minutes")
    parser.add_argument("--only", nargs="+", choices=sorted(names), metavar="NAME", help=", ".join(sorted(names)))
    parser.add_argument("--seed", type=int, default=1, help="decides frames, faults and their moments (default: 1)")
    parser.add_argument(
        "--mutate",
        action="store_true",
        help="switch off one protection after the other; each must make a promise missed",
    )
    parser.add_argument(
        "--set", nargs="+", default=[], type=count_of, metavar="COUNT=N", help="other counts, such as kills=40"
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave logs and settings there")
    parser.add_argument("--name", help="of the JSON in tests/chaos/results (default: smoke, mutate or full)")
    return parser.parse_args(argv)


def count_of(text: str) -> tuple[str, int]:
    """Read `NAME=N`."""
    name, _, number = text.partition("=")
    return name, int(number)


def run_one(
    campaign: Campaign,
    counts: Counts,
    shared: Shared,
    seed: int,
    mutation: str | None = None,
    *,
    judges_times: bool = True,
) -> list[Row]:
    """Run one campaign in a folder of its own; an error of its own is a missed promise too."""
    folder = shared.folder_for(campaign.name if mutation is None else f"{campaign.name}-{mutation}")
    context = Context(campaign.name, folder, seed, counts, shared, mutation, judges_times)
    started = time.monotonic()
    context.say(f"{campaign.summary}; {', '.join(f'{name} {count}' for name, count in counts.items())}")
    try:
        asyncio.run(_run(campaign, context))
    except SkipCampaign as exc:
        context.row(campaign.summary, trials=0, figure=str(exc), held=None)
    except (Exception, ExceptionGroup) as exc:  # noqa: BLE001 the other campaigns are still to be run
        sentence = f"{type(exc).__name__}: {exc}"
        context.row("the campaign comes to its end", trials=1, figure=sentence[:1500], held=False)
    context.say(f"took {time.monotonic() - started:.0f} s")
    return context.rows


async def _run(campaign: Campaign, context: Context) -> None:
    await campaign.run(context)


def run_mutated(campaign: Campaign, mutation: str, shared: Shared, seed: int, changed: Counts) -> Row:
    """Run a campaign with a protection off; return whether it noticed, by the promise that this protection keeps."""
    counts = {**(campaign.mutated or campaign.smoke), **_known(changed, campaign.smoke)}
    rows = run_one(campaign, counts, shared, seed, mutation)
    wanted = campaign.mutations[mutation]
    missed = [row for row in rows if row.held is False]
    tried = any(row.held is not None for row in rows)
    noticed = any(wanted in row.promise for row in missed)
    figure = "; ".join(f"{row.promise}: {row.figure}" for row in missed) or "nothing was noticed"
    if not tried:
        figure = "; ".join(row.figure for row in rows)
    promise = f"without {mutation}'s protection it is missed that {wanted}"
    return Row(campaign.name, promise, 1, figure, noticed if tried else None, {"rows": len(rows)})


def status_of(rows: Sequence[Row], *, ended_early: bool = False) -> int:
    """Return the exit status: 1 where a promise was missed, nothing was tried, or less than what was asked for.

    With REQUIRE=kafka no campaign may be skipped but those that take root or a kernel's help (`network`).
    """
    required = "kafka" in os.environ.get("REQUIRE", "").split(",")
    skipped = [row for row in rows if row.held is None and row.trials == 0 and row.campaign != "network"]
    missed = any(row.held is False for row in rows)
    return int(missed or ended_early or all(row.held is None for row in rows) or bool(required and skipped))


def _known(changed: Counts, counts: Counts) -> Counts:
    return {name: count for name, count in changed.items() if name in counts}


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for; 0: every promise that was tried held."""
    campaigns = find_campaigns()
    arguments = arguments_of(argv, campaigns)
    chosen = [campaigns[name] for name in arguments.only or campaigns]
    changed = dict(arguments.set)
    tune_process()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # that the broker is away is what is tried here
    rows: list[Row] = []
    name = arguments.name or ("mutate" if arguments.mutate else "smoke" if arguments.smoke else "full")
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        shared = Shared(Path(folder) / "runs")
        started = time.monotonic()
        before = {number: signal.signal(number, shared.stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            for campaign in chosen:
                if shared.is_stopping:
                    break
                if arguments.mutate:
                    rows += [run_mutated(campaign, m, shared, arguments.seed, changed) for m in campaign.mutations]
                else:
                    counts = campaign.smoke if arguments.smoke else campaign.full
                    counts = {**counts, **_known(changed, counts)}
                    rows += run_one(campaign, counts, shared, arguments.seed, judges_times=not arguments.smoke)
        finally:
            shared.close()
            for number, handler in before.items():
                signal.signal(number, handler)
            if arguments.keep:
                shutil.copytree(folder, arguments.keep, dirs_exist_ok=True)
        facts = {
            "broker": shared.broker_name,
            "seed": arguments.seed,
            "seconds": round(time.monotonic() - started, 1),
            "cpu_seconds": round(sum(os.times()[:4]), 1),
            "ended_early": shared.is_stopping,
            "counts": {
                c.name: dict(c.smoke if arguments.smoke or arguments.mutate else c.full) | changed for c in chosen
            },
        }
    report.write_json(report.RESULTS / f"{name}.json", report.document(rows, facts))
    report.print_table(rows)
    return status_of(rows, ended_early=shared.is_stopping)


if __name__ == "__main__":
    sys.exit(main())
