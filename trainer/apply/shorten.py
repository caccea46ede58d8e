"""Shortens names in the middle to fit a width, so that they can still be distinguished."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from rich.cells import cell_len


def shorten(names: Sequence[str], width: int, ellipsis: str = "\u2026") -> dict[str, str]:
    """Shorten the names that are wider than a column.

    Names that would look alike show the place where they differ instead of their middle; where that is not enough, a number.

    Args:
        names: What is to be shown, without control characters.
        width: Of the column, in cells of a terminal; at least 8.
        ellipsis: What stands for what is left out.

    Returns:
        What to show, by the name; all different.
    """
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        groups.setdefault(name if cell_len(name) <= width else _cut(name, width, ellipsis), []).append(name)
    shown = {group[0]: short for short, group in groups.items() if len(group) == 1}
    taken = set(shown.values())
    for group in (group for group in groups.values() if len(group) > 1):
        for name, short in zip(group, _told_apart(group, width, ellipsis), strict=True):
            numbered = (_cut(name, width, f"{ellipsis}{number}{ellipsis}") for number in count(2))
            shown[name] = short if short not in taken else next(other for other in numbered if other not in taken)
            taken.add(shown[name])
    return shown


def _told_apart(group: Sequence[str], width: int, ellipsis: str) -> list[str]:
    """Each name with a piece of what is its own in the middle."""
    start = _common(group)
    marks = (_head(name[start:], width // 3) for name in group)
    return [_cut(name, width, f"{ellipsis}{mark}{ellipsis}") for name, mark in zip(group, marks, strict=True)]


def _common(names: Sequence[str]) -> int:
    """How many characters they all begin with."""
    first, last = min(names), max(names)
    return next((place for place, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))


def _cut(name: str, width: int, middle: str) -> str:
    """The beginning and the end of a name, which has the suffix, and `middle` between them."""
    room = max(0, width - cell_len(middle))
    tail = _head(name[::-1], room - room // 3)[::-1]
    return _head(name, room - cell_len(tail)) + middle + tail


def _head(text: str, width: int) -> str:
    """As many characters as fit."""
    used = 0
    for place, character in enumerate(text):
        used += cell_len(character)
        if used > width:
            return text[:place]
    return text
