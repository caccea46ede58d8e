"""What libraries write to standard error goes through the log: one condition once, and in JSON where the log is JSON.

libjpeg and libpng say what is odd about a picture there, each time, and no setting of OpenCV stops them. So file descriptor 2 becomes a
pipe, which a thread reads. The log itself, Python's tracebacks and faulthandler's stacks are written to what was standard error before,
without that detour.

A process that crashes takes its threads along, and what it has just written would be lost in the pipe; it is what tells why. So a shell
waits for the end of this process, and then writes what nobody has read. Where there is no shell, or where this process is the first of a
container, whose end ends all others, only the last lines of libraries are lost, not Python's.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import TextIO

log = logging.getLogger("stderr")

SHELL = "/bin/sh"
MAX_LINE_BYTES = 8192
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
    read_fd, write_fd = os.pipe()
    # A log that nobody reads holds up its thread; then a library's line is lost, but the library goes on.
    os.set_blocking(write_fd, False)
    with _drainer(read_fd, real):
        os.dup2(write_fd, 2)
        os.close(write_fd)
        reader = threading.Thread(target=_read, args=(read_fd,), name="stderr", daemon=True)
        reader.start()
        with _python_beside(real):
            try:
                yield real
            finally:
                with contextlib.suppress(OSError, ValueError):
                    real.flush()
                os.dup2(real.fileno(), 2)  # nobody writes to the pipe any more
                reader.join(END_S)


def _read(fd: int) -> None:
    """Log what comes through the pipe, line by line, until nobody can write to it any more."""
    rest = b""
    with os.fdopen(fd, "rb", buffering=0) as pipe:
        while data := pipe.read(MAX_LINE_BYTES):
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) > MAX_LINE_BYTES:
                lines, rest = [*lines, rest], b""
            for line in lines:
                _tell(line)
    _tell(rest)


def _tell(line: bytes) -> None:
    text = line.decode(errors="backslashreplace").rstrip()
    if text:
        log.warning("%s", text)


@contextlib.contextmanager
def _drainer(read_fd: int, real: TextIO) -> Iterator[None]:
    """Let a shell write what is left in the pipe when this process ends, however it does."""
    life_fd, alive_fd = os.pipe()
    script = f"trap '' INT TERM HUP; cat >/dev/null; exec cat /dev/fd/{read_fd} >&2"
    try:
        shell = subprocess.Popen(  # noqa: S603 a script of ours, by absolute path
            [SHELL, "-c", script],
            stdin=life_fd,
            stdout=subprocess.DEVNULL,
            stderr=real,
            pass_fds=(read_fd,),
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
