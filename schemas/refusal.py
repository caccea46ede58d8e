"""The one place where a ValidationError of pydantic becomes sentences for people.

Needs pydantic and nothing of ours, so that messages, the anomaly domain, settings and trainer all use the same words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

Place = tuple[int | str, ...]
"""Where a value stands: keys and indices from the outside in; empty where the whole is meant."""

LONGEST_ECHO: Final = 200
"""Longer values are cut where a sentence shows them."""


def dotted(place: Place) -> str:
    """Spell a place as `cameras.0.model`."""
    return ".".join(str(part) for part in place)


def refusals(
    error: ValidationError,
    *,
    name: Callable[[Place], str] = dotted,
    unknown: Callable[[Place], str] = lambda _: "is not known",
    echoes_input: bool = False,
) -> list[str]:
    """Return a sentence for each thing that is refused: `threads: input should be less than 9`.

    Args:
        error: At least one refusal, as every ValidationError holds.
        name: How a place is spelt; an empty name leaves the bare sentence.
        unknown: What is said of a key that is none; it follows the key's name.
        echoes_input: Whether a sentence shows the value, unless it does already. Never for what came over a wire, nor
            where it may be a secret; bytes and whole objects are not shown in any case.
    """
    details = error.errors(include_url=False, include_context=False, include_input=echoes_input)
    return [_sentence(item, name(item["loc"]), unknown, echoes_input=echoes_input) for item in details]


def _sentence(item: ErrorDetails, name: str, unknown: Callable[[Place], str], *, echoes_input: bool) -> str:
    kind = item["type"]
    if kind == "missing":
        return f"{name} is missing"
    if kind == "extra_forbidden":
        return f"{name} {unknown(item['loc'])}"
    words = item["msg"].removeprefix("Value error, ")
    if kind != "value_error":  # pydantic's own words; ours are written as they are to be read
        words = words[0].lower() + words[1:]
    if name and echoes_input:
        words += _echo(item["input"], words)
    return f"{name}: {words}" if name else words


def _echo(value: object, words: str) -> str:
    if isinstance(value, bytes | dict):
        return ""
    shown = repr(value)
    if len(shown) > LONGEST_ECHO:
        shown = shown[:LONGEST_ECHO] + "..."
    return "" if f"got {shown}" in words else f", got {shown}"
