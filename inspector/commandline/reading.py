"""Parses what is typed for tables, lists of objects and optional values; everything else stays as it was typed."""

from __future__ import annotations

import argparse
import json
import re
from typing import Final

_NOTHING: Final = "None"
"""What is typed to set an optional value back to none, over a file or an environment that has one."""


def read_table(text: str) -> list[tuple[str, object]]:
    """Read `NAME=VALUE`, several of them parted by commas, or a JSON object.

    Raises:
        argparse.ArgumentTypeError: It is neither.
    """
    if text.startswith("{"):
        read: list[tuple[str, object]] = []
        for table in read_objects(text):
            if not isinstance(table, dict):
                raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object")
            read += table.items()
        return read
    entries = [entry.partition("=") for entry in re.split(r",(?=[\w-]+=)", text)]  # a value may hold a comma
    if not all(name and equals for name, equals, _ in entries):
        raise argparse.ArgumentTypeError(f"{text!r} is neither NAME=VALUE nor a JSON object")
    return [(name, value) for name, _, value in entries]


def read_objects(text: str) -> list[object]:
    """Read a JSON object, several of them parted by commas, or a JSON array of them.

    Raises:
        argparse.ArgumentTypeError: It is no JSON.
    """
    try:
        read = json.loads(text if text.startswith("[") else f"[{text}]")
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {exc}") from exc
    return list(read)


def read_or_nothing(text: str) -> str | None:
    """Read an optional value."""
    return None if text == _NOTHING else text
