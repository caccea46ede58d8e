"""Figures and lists of names in words, for messages and reports."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable

_NAMES_SHOWN = 5


def some(names: Iterable[object], count: int = _NAMES_SHOWN) -> str:
    """The first few names, and how many more there are, in one line that can be shown anywhere: for messages."""
    listed = [printable(name) for name in names]
    more = len(listed) - count
    return ", ".join(listed[:count]) + (f" and {more} more" if more > 0 else "")


def counted(number: int, noun: str = "image") -> str:
    """So many of a thing: 1 image, 2 images."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def agreed(number: int, one: str, several: str) -> str:
    """The form of a verb, or of another word, for this number."""
    return one if number == 1 else several


_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode's categories of control characters, halves of characters and ends of lines."""


def printable(name: object) -> str:
    r"""A name as one line of text: bytes that are no UTF-8 and control characters are written as `\xff`, `\n`."""
    text = str(name)
    return text if is_printable(text) else "".join(c if is_printable(c) else _escaped(c) for c in text)


def is_printable(name: str) -> bool:
    """Whether a name can be shown and stored as it is: it is UTF-8, in one line, and without control characters."""
    return not any(unicodedata.category(character) in _UNPRINTABLE for character in name)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004 - how Python keeps a byte of a file name that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


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
