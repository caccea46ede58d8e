"""A command of the product beside the workers: started by the launcher, so that it may carry a mutation; prints JSON lines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.e2e.processes import CHECKOUT

END_S = 60.0


class Command:
    """One process; what it prints is kept in a file."""

    def __init__(self, name: str, folder: Path, words: Sequence[str], *, mutation: str | None = None) -> None:
        """Start `inspector` with these words."""
        self.name = name
        self._output, self._errors = folder / f"{name}.jsonl", folder / f"{name}.log"
        flaws = ["--mutation", mutation] if mutation else []
        command = [sys.executable, "-m", "tests.chaos.launcher", *flaws, "--", *words]
        with self._output.open("wb") as output, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                cwd=CHECKOUT,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )

    def lines(self) -> list[dict[str, Any]]:
        """Return what it has printed so far, whole lines only.

        Raises:
            RuntimeError: It has ended.
        """
        status = self._process.poll()
        if status is not None:
            raise RuntimeError(f"{self.name} ended with {status}:\n{self._errors.read_text()[-2000:]}")
        return self._lines()

    def _lines(self) -> list[dict[str, Any]]:
        whole, _, _ = self._output.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def finish(self) -> list[dict[str, Any]]:
        """Ask it to come to its end; return all that it has printed."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(END_S)
        return self._lines()

    def end(self) -> None:
        """Make sure that nothing of it is left."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
