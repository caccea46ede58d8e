"""The text of docs/commands.md: what `--help` says of every command."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final
from unittest import mock

from inspector.cli import parse_arguments
from trainer.settings.commands import parse_settings

COMMANDS: Final[Mapping[str, tuple[Callable[[list[str]], object], tuple[str, ...]]]] = MappingProxyType(
    {
        "trainer": (parse_settings, ("check", "fit", "apply", "show", "workflow", "sign")),
        "inspector": (
            parse_arguments,
            ("config", "topics", "run", "replay", "results", "gate", "line-simulator"),
        ),
    }
)


def commands_markdown() -> str:
    """Return a section for each command, with its help in 100 columns."""
    return "\n".join(
        f"## {program} {command}\n\n```text\n{help_text(parse, command)}```\n"
        for program, (parse, commands) in COMMANDS.items()
        for command in commands
    )


def help_text(parse: Callable[[list[str]], object], command: str) -> str:
    """Return what `command --help` prints.

    Args:
        parse: What reads the program's command line.
        command: One of its commands.
    """
    printed = io.StringIO()
    with (
        mock.patch.dict(os.environ, {"COLUMNS": "100"}),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        parse([command, "--help"])
    return printed.getvalue()
