"""How many pictures the fits of the tests learn from, how small their models are, and a command's answer without `capsys`."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

from trainer.commands.cli import run

OK, NOK = 26, 5
FEW_OK, FEW_NOK = 13, 3
SMALL = ("--width", "96", "--height", "96")

Fit = Callable[..., dict[str, Any]]
"""Runs `trainer fit --json` and returns what it says."""


def answer_of(*arguments: object) -> dict[str, Any]:
    """What a command says with --json, for fixtures that serve a whole module. It must succeed."""
    with redirect_stdout(StringIO()) as said:
        status = run([*map(str, arguments), "--json"])
    assert status == 0
    answer: dict[str, Any] = json.loads(said.getvalue())
    return answer
