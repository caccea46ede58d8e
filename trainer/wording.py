"""Figures and lists of names in words, for messages and reports."""

from __future__ import annotations

import math
from collections.abc import Iterable

_NAMES_SHOWN = 5


def some(names: Iterable[object], count: int = _NAMES_SHOWN) -> str:
    """The first few names, and how many more there are: for messages."""
    listed = [str(name) for name in names]
    more = len(listed) - count
    return ", ".join(listed[:count]) + (f" and {more} more" if more > 0 else "")


def printable(text: str) -> str:
    """The text with what no terminal can show (line ends, control characters, bytes that are no UTF-8) written as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


_UNKNOWN = "\u2013"


def as_percent(value: float | None) -> str:
    """Three figures at most, and never a rounded 0 or 100: 0 %, 0.42 %, 7.1 %, 95 %, 99.95 %."""
    if value is None:
        return _UNKNOWN
    share = value * 100
    digits = 1 if 1 <= share <= 99.9 else 2  # noqa: PLR2004
    text = f"{share:.{digits}f}".rstrip("0").rstrip(".")
    return f"{text}\u00a0%"


def as_figure(value: float | None, digits: int = 3) -> str:
    """A measure in [0, 1]; 1 only where nothing is missing, so that 0.9997 is not called perfect."""
    if value is None:
        return _UNKNOWN
    if not math.isfinite(value):
        return str(value)
    if value < 1 <= round(value, digits):
        return f"{math.floor(value * 10**digits) / 10**digits:.{digits}f}"
    return f"{value:.{digits}f}"
