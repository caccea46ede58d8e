"""The commands that the demo starts: each with its log, its lines read by a thread, and its end by its own id."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local.broker import CHECKOUT

STOP_TIMEOUT_S = 30.0
"""Longer than the inspector's drain."""

_TAIL_LINES = 25
_TAIL_WIDTH = 300
_CLEARED = ("INSPECTOR_", "TRAINER_")

OnLine = Callable[[str, int], None]
"""Called on the child's own thread with a line and the time at which it was read, µs UTC."""


class DemoError(Exception):
    """The demo cannot go on; the message says why, with the end of the log that tells more."""


class Child:
    """A command of ours as a process, ended with the block that it is used in.

    It leads a session of its own, so that Ctrl-C reaches the demo alone, which ends its children in the right order.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        logs: Path,
        *,
        on_line: OnLine | None = None,
        show_progress: bool = False,
    ) -> None:
        """Start it.

        Args:
            name: of the log.
            command: program and arguments.
            logs: folder of the logs.
            on_line: takes the lines of its standard output, which go to the log in any case.
            show_progress: whether its standard error goes to the terminal.
        """
        self.name = name
        self.log = logs / f"{name}.log"
        with self.log.open("ab") as log:
            log.write(f"$ {shlex.join(command)}\n".encode())
            log.flush()
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log if on_line is None else subprocess.PIPE,
                stderr=None if show_progress else log,
                cwd=CHECKOUT,
                env=_environment(),
                start_new_session=True,
            )
        self._reader = None if on_line is None else threading.Thread(target=self._read, args=(on_line,), daemon=True)
        if self._reader is not None:
            self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def status(self) -> int | None:
        """Its exit status, None while it runs."""
        return self._process.poll()

    @property
    def is_done(self) -> bool:
        """Whether it has ended and all its lines were taken."""
        return self.status is not None and (self._reader is None or not self._reader.is_alive())

    def wait(self) -> int:
        """Wait for its end, all its lines taken; return its exit status."""
        status = self._process.wait()
        if self._reader is not None:
            self._reader.join()
        return status

    def must_succeed(self) -> None:
        """Wait for its end.

        Raises:
            DemoError: It failed.
        """
        if self.wait() != 0:
            raise self.failure()

    def must_be_running(self) -> None:
        """Check a command that is not meant to end.

        Raises:
            DemoError: It has ended.
        """
        if self.status is not None:
            raise self.failure()

    def must_not_have_failed(self) -> None:
        """Check a command that may have ended.

        Raises:
            DemoError: It has ended, and not well.
        """
        if self.status not in (None, 0):
            raise self.failure()

    def failure(self, what: str | None = None) -> DemoError:
        """Return the error that tells what became of it, with the end of its log."""
        what = what or f"ended with status {self.status}"
        lines = self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        tail = "\n".join(line[:_TAIL_WIDTH] for line in lines)
        return DemoError(f"{self.name} {what}; the end of {self.log}:\n\n{tail}")

    def stop(self) -> int:
        """Ask it to end (SIGTERM), insist after a while, and return its exit status; -9 where it had to be killed."""
        if self.status is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_S)
        if self.status is None:
            self._process.kill()
        return self.wait()

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self._process.kill()
        self.wait()

    def _read(self, on_line: OnLine) -> None:
        output = self._process.stdout
        if output is None:
            return
        with output, self.log.open("ab") as log:
            for line in output:
                log.write(line)
                on_line(line.decode(errors="replace").rstrip("\n"), time.time_ns() // 1000)


def _environment() -> dict[str, str]:
    """The user's, without what would change the settings of the demo."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(_CLEARED)}
    return kept | {"PYTHONUNBUFFERED": "1"}
