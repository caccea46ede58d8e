"""The text of docs/commands.md: what `--help` says of every command."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final
from unittest import mock

from inspector.cli import parse_arguments
from trainer.settings.commands import parse_settings

PROGRAMS: Final[Mapping[str, Callable[[list[str]], object]]] = MappingProxyType(
    {"trainer": parse_settings, "inspector": parse_arguments}
)


def commands_markdown() -> str:
    """Return a section for each command, with its help in 100 columns."""
    return "\n".join(
        f"## {program} {command}\n\n```text\n{help_text(program, command)}```\n"
        for program in PROGRAMS
        for command in command_names(program)
    )


def command_names(program: str) -> list[str]:
    """Return the commands that the program's own help lists."""
    return re.findall(r"^    ([a-z][a-z-]*)(?: |$)", help_text(program), re.MULTILINE)


def help_text(program: str, *command: str) -> str:
    """Return what `--help` prints for a program or one of its commands, in 100 columns."""
    printed = io.StringIO()
    with (
        mock.patch.dict(os.environ, {"COLUMNS": "100"}),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        PROGRAMS[program]([*command, "--help"])
    return printed.getvalue()
