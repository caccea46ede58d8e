"""Sends what libraries write to standard error through the log: each condition once, and as JSON if the log is JSON.

libjpeg and libpng write there what is odd about a picture, every time, and no setting of OpenCV stops them. So file descriptor 2 becomes a
socket, which a thread reads. The log itself, Python's tracebacks and faulthandler's stacks go directly to the former standard error.

If the process crashes, its threads end with it, and its last lines, which tell why, would be lost in the socket. So a shell
waits for the end of this process and then writes what is left. The thread removes a line only after it was written to the log:
at a crash one line may be written twice, but none is lost. If there is no shell, or if this process is the first of a container (whose end
ends all others), the last lines of libraries are lost, but not Python's.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import TextIO

log = logging.getLogger("stderr")

SHELL = "/bin/sh"
MAX_LINE_BYTES = 8192
PART_S, PAUSE_S = 1.0, 0.05
"""How long the rest of a line is waited for, and how often it is looked for."""
END_S = 2.0
"""For the thread, and for the shell, when all is over."""


@contextlib.contextmanager
def stderr_in_log() -> Iterator[TextIO]:
    """Let file descriptor 2 go through the log; gives what was standard error, to which the log is to be written.

    Main thread only. Where standard error is closed nothing is changed, and what is given goes nowhere.
    """
    try:
        # Never closed: the log is written to it until the process ends.
        real = open(os.dup(2), "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    except OSError:
        with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 it is no path of ours
            yield nowhere
        return
    reading, writing = socket.socketpair()
    # A log that nobody reads holds up its thread; then a library's line is lost, but the library goes on.
    writing.setblocking(False)
    with _drainer(reading, real):
        os.dup2(writing.fileno(), 2)
        writing.close()
        reader = threading.Thread(target=_read, args=(reading,), name="stderr", daemon=True)
        reader.start()
        with _python_beside(real):
            try:
                yield real
            finally:
                with contextlib.suppress(OSError, ValueError):
                    real.flush()
                os.dup2(real.fileno(), 2)  # nobody writes to the socket any more
                reader.join(END_S)


def _read(reading: socket.socket) -> None:
    """Log what arrives, line by line, until all writers are gone."""
    with reading:
        waited_s = 0.0
        while data := reading.recv(MAX_LINE_BYTES, socket.MSG_PEEK):
            whole = data.rfind(b"\n") + 1
            if whole == 0 and len(data) < MAX_LINE_BYTES and waited_s < PART_S and not _is_over(reading, len(data)):
                time.sleep(PAUSE_S)
                waited_s += PAUSE_S
                continue
            told = data[: whole or len(data)]
            for line in told.split(b"\n"):
                _tell(line)
            reading.recv(len(told), socket.MSG_WAITALL)
            waited_s = 0.0


def _is_over(reading: socket.socket, known_bytes: int) -> bool:
    """Return whether there will never be more than is known: the other end is closed."""
    poll = select.poll()
    poll.register(reading, getattr(select, "POLLRDHUP", select.POLLHUP))  # the first is Linux's
    return bool(poll.poll(0)) and len(reading.recv(MAX_LINE_BYTES, socket.MSG_PEEK)) == known_bytes


def _tell(line: bytes) -> None:
    text = line.decode(errors="backslashreplace").rstrip()
    if text:
        log.warning("%s", text)


@contextlib.contextmanager
def _drainer(reading: socket.socket, real: TextIO) -> Iterator[None]:
    """Let a shell write what is left in the socket when this process ends, however it does."""
    life_fd, alive_fd = os.pipe()
    script = f"trap '' INT TERM HUP; cat /dev/fd/{life_fd} >/dev/null; exec cat >&2"
    try:
        shell = subprocess.Popen(  # noqa: S603 a script of ours, by absolute path
            [SHELL, "-c", script],
            stdin=reading.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=real,
            pass_fds=(life_fd,),
            start_new_session=True,
        )
    except OSError:
        shell = None
    os.close(life_fd)
    try:
        yield
    finally:
        os.close(alive_fd)
        if shell is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                shell.wait(END_S)


@contextlib.contextmanager
def _python_beside(real: TextIO) -> Iterator[None]:
    """Let Python's own words reach standard error directly: errors that nobody caught by the log, stacks of a crash as they are."""
    stderr, excepthook, threading_hook, unraisable_hook = (
        sys.stderr,
        sys.excepthook,
        threading.excepthook,
        sys.unraisablehook,
    )
    was_enabled = faulthandler.is_enabled()
    sys.stderr = real
    sys.excepthook = _uncaught
    threading.excepthook = lambda told: _uncaught(told.exc_type, told.exc_value, told.exc_traceback)
    sys.unraisablehook = lambda told: log.error(
        "%s: %r", told.err_msg or "ignored", told.object, exc_info=told.exc_value or None
    )
    logging.captureWarnings(True)
    faulthandler.enable(real)
    try:
        yield
    finally:
        faulthandler.disable()
        if was_enabled and stderr is not None:
            with contextlib.suppress(OSError, ValueError):
                faulthandler.enable(stderr)
        logging.captureWarnings(False)
        sys.stderr, sys.excepthook = stderr, excepthook
        threading.excepthook, sys.unraisablehook = threading_hook, unraisable_hook


def _uncaught(kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt | SystemExit):
        log.critical("an error that nobody caught", exc_info=(kind, error or kind(), traceback))
