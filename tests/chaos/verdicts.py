"""The rows that many campaigns have in common: what the checker found of each promise."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from tests.chaos.campaign import Context
from tests.chaos.checker import Findings

SHOWN = 5
TOO_LONG_S = 60.0
"""Whoever has not gone on by itself by then does not."""

PROMISES = {
    "missing": "every frame has a verdict",
    "unrecognised": "a repeat is recognised by its result_id",
    "actuated_twice": "no part is acted on twice",
    "reordered": "first results of a camera keep its order",
    "false_pass": "only a positive, fresh, in-time ok passes",
    "conflicting": "one id has one verdict",
    "rewound": "no commit goes backwards",
    "strangers": "no result is about nothing",
    "unlettered": "what could not be inspected has a dead letter",
}


class Book(Protocol):
    """Takes rows."""

    def row(
        self, promise: str, *, trials: int, figure: str, held: bool | None, is_time: bool = False, **details: object
    ) -> None:
        """Add what was found of one promise."""


def add_rows(
    context: Book,
    findings: Findings,
    *,
    only: Collection[str] = (),
    leave_out: Collection[str] = (),
    about: str = "",
) -> None:
    """Add a row for each rule of the checker."""
    for rule, promise in PROMISES.items():
        if (only and rule not in only) or rule in leave_out:
            continue
        broken = getattr(findings, rule)
        figure = f"{len(broken)}"
        if rule == "missing":
            figure = f"{findings.frames} frames, {findings.verdicts} verdicts, {len(broken)} missing"
        elif rule == "unrecognised":
            figure = f"{findings.duplicates} repeats, {len(broken)} not recognised"
        # Of no frames at all nothing was shown.
        held = bool(findings.frames) and not broken
        context.row(about + promise, trials=findings.frames, figure=figure, held=held, broken=broken[:SHOWN])


def add_recovery(context: Context, what: str, took_s: Sequence[float], figure: str, **details: object) -> None:
    """Add a row of how long (s) it took, each time, until everything went on after a fault."""
    promise, held = f"it goes on by itself after: {what}", max(took_s) < TOO_LONG_S
    context.row(promise, trials=len(took_s), figure=figure, held=held, is_time=False, **details)
