"""Runs the cameras and keeps the account of what they sent and what came back, until nothing is missing any more."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Self

from rich.live import Live

from deploy.demo.account import Account
from deploy.demo.cameras import DemoCamera
from deploy.demo.children import Child
from deploy.demo.stage import Stage
from deploy.demo.views.live import LiveTable
from deploy.demo.views.screen import as_ansi

SILENCE_TIMEOUT_S = 30.0
"""How long to wait for the next verdict before those still out count as missing."""

SCREEN_LOG = "screen.ansi"
"""Name of the file in the folder of logs that has the live table of the second half, with its colours."""

_POLL_S = 0.1
_REDRAW_S = 0.25


class Playback:
    """One replay after the other, over one reader of results."""

    def __init__(self, stage: Stage, *, silence_timeout_s: float = SILENCE_TIMEOUT_S) -> None:
        self._stage = stage
        self._silence_timeout_s = silence_timeout_s
        # Lines of the clients, from their threads to the one that keeps the account.
        self._lines: queue.SimpleQueue[Callable[[Account], None]] = queue.SimpleQueue()
        self._table: LiveTable | None = None

    def on_result(self, line: str, read_at: int) -> None:
        """Take a line of the reader; for its thread."""

        def enter(account: Account) -> None:
            received = account.take_result_line(line, read_at)
            if received is not None and self._table is not None:
                self._table.note(received)

        self._lines.put(enter)

    def run(
        self,
        verb: str,
        commands: Mapping[DemoCamera, list[str]],
        *,
        watched: Sequence[Child],
        show: Callable[[Account], LiveTable] | None = None,
    ) -> Account:
        """Run the cameras until each frame has its verdict, or until none has come for a while.

        Args:
            verb: what the cameras do; begins the names of their logs.
            commands: of each camera.
            watched: commands that must not end meanwhile.
            show: makes the table that is shown.

        Raises:
            DemoError: A camera failed, or what is watched has ended.
        """
        account = Account(camera.camera_id for camera in commands)
        self._table = None if show is None else show(account)
        begun = time.monotonic()
        silence = _Silence(self._silence_timeout_s)
        with ExitStack() as stack:
            cameras = [stack.enter_context(self._camera(c, command, verb)) for c, command in commands.items()]
            screen = stack.enter_context(_Screen(self._stage, self._table))
            while True:
                # In this order: what a camera that is done has sent is entered before anything is judged.
                are_done = all(camera.is_done for camera in cameras)
                self._enter_lines(account)
                screen.refresh(time.monotonic() - begun)
                if are_done and (account.num_missing == 0 or silence.is_over(account.num_missing)):
                    break
                for child in watched:
                    child.must_be_running()
                for camera in cameras:
                    camera.must_not_have_failed()
                time.sleep(_POLL_S)
            for camera in cameras:
                camera.must_succeed()
            screen.finish(time.monotonic() - begun)
        self._table = None
        return account

    def _camera(self, camera: DemoCamera, command: list[str], verb: str) -> Child:
        def on_line(line: str, _: int) -> None:
            self._lines.put(lambda account: account.take_replay_line(camera.camera_id, line))

        return self._stage.start(f"{verb}-{camera.camera_id}", command, on_line=on_line)

    def _enter_lines(self, account: Account) -> None:
        while not self._lines.empty():
            self._lines.get()(account)


class _Silence:
    """Notices when no verdict that is still out has come for too long."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._num_missing = -1
        self._since = 0.0

    def is_over(self, num_missing: int) -> bool:
        """Tell how many are out; returns whether to wait no longer."""
        now = time.monotonic()
        if num_missing != self._num_missing:
            self._num_missing, self._since = num_missing, now
        return now - self._since > self._timeout_s


class _Screen:
    """Shows the table: live on a terminal; elsewhere a line now and then, and the table at the end.

    It leaves a table of the second half behind that shows verdicts of both kinds (`SCREEN_LOG`), from which `deploy.demo.picture` draws the terminal.
    """

    def __init__(self, stage: Stage, table: LiveTable | None) -> None:
        self._stage = stage
        self._table = table
        self._live = Live(console=stage.console, auto_refresh=False)
        self._drawn_at = 0.0
        self._is_kept = False

    def __enter__(self) -> Self:
        if self._table is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def refresh(self, elapsed_s: float) -> None:
        if self._table is None:
            return
        if not self._is_kept and self._table.is_worth_keeping:
            self._keep(elapsed_s)
        if not self._stage.console.is_terminal:
            line = self._table.line(elapsed_s)
            if line is not None:
                self._stage.say(line)
        elif elapsed_s - self._drawn_at >= _REDRAW_S:
            self._drawn_at = elapsed_s
            self._live.update(self._table.render(elapsed_s), refresh=True)

    def _keep(self, elapsed_s: float) -> None:
        if self._table is not None:
            self._is_kept = True
            (self._stage.logs / SCREEN_LOG).write_text(as_ansi(self._table.render(elapsed_s)), encoding="utf-8")

    def finish(self, elapsed_s: float) -> None:
        if self._table is not None:
            if not self._is_kept:
                self._keep(elapsed_s)
            self._live.update(self._table.render(elapsed_s), refresh=True)
