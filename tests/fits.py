"""How many pictures the fits of the tests learn from, and how small their models are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

OK, NOK = 26, 5
SMALL = ("--width", "96", "--height", "96")

Fit = Callable[..., dict[str, Any]]
"""Runs `trainer fit --json` and returns what it says."""
