"""What every step of the demo uses: words on the screen, commands that are shown before they run, and a stopwatch."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from deploy.demo.children import Child, OnLine
from deploy.local.broker import CHECKOUT


class Stage:
    """Terminal, output folder and stopwatch of one run.

    Attributes:
        out: where everything goes.
        seconds: how long each step took.
        commands: what was run, as it would be typed in the checkout.
    """

    def __init__(self, out: Path, console: Console) -> None:
        self.out = out
        self.console = console
        self.seconds: dict[str, float] = {}
        self.commands: list[str] = []

    @property
    def logs(self) -> Path:
        """Folder of the commands' logs."""
        return self.out / "logs"

    def heading(self, text: str) -> None:
        """Begin a step."""
        self.console.print()
        self.console.print(f"[bold blue]●[/] [bold]{text}[/]", highlight=False)

    def say(self, text: str) -> None:
        """Tell what came of it."""
        self.console.print(f"  {text}", highlight=False, markup=False)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure a block."""
        begun = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - begun

    def start(
        self, name: str, command: list[str], *, on_line: OnLine | None = None, show_progress: bool = False
    ) -> Child:
        """Show and start a command; whoever asks for it ends it.

        Raises:
            OSError: It cannot be started.
        """
        readable = shlex.join(_relative(part) for part in command)
        self.commands.append(readable)
        self.console.print(f"  $ {readable}", style="dim", highlight=False, markup=False, soft_wrap=True)
        # The interpreter that runs the demo has what it needs; a command on the PATH may be another's.
        argv = [sys.executable, "-m", *command]
        return Child(name, argv, self.logs, on_line=on_line, show_progress=show_progress)

    def output_of(self, name: str, command: list[str]) -> dict[str, Any]:
        """Run a command that ends with one JSON object, and return it; its progress is shown on a terminal.

        Raises:
            DemoError: It fails, or prints something else.
        """
        return self.outputs_of(name, command, only_last=True)[-1]

    def outputs_of(self, name: str, command: list[str], *, only_last: bool = False) -> list[dict[str, Any]]:
        """Run a command that prints JSON lines, and return their objects; one at least.

        Raises:
            DemoError: It fails, or prints something else.
        """
        lines: list[str] = []
        is_seen = self.console.is_terminal
        with self.start(name, command, on_line=lambda line, _: lines.append(line), show_progress=is_seen) as child:
            child.must_succeed()
        try:
            outputs = [json.loads(line) for line in (lines[-1:] if only_last else lines)]
        except json.JSONDecodeError as exc:
            raise child.failure("printed no JSON") from exc
        if not outputs:
            raise child.failure("printed no JSON")
        if not all(isinstance(output, dict) for output in outputs):
            raise child.failure("printed no JSON object")
        return outputs


def _relative(part: str) -> str:
    """A path as it would be typed in the checkout."""
    path = Path(part)
    return str(path.relative_to(CHECKOUT)) if path.is_absolute() and path.is_relative_to(CHECKOUT) else part
