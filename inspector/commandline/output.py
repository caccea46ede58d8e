"""Ends a command properly if its output cannot be written: the reader has left, the disk is full, the terminal has no Unicode."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from collections.abc import Callable
from typing import Final, NoReturn, TextIO, cast

EXIT_OUTPUT_LOST: Final = 1
EXIT_READER_LEFT: Final = 141
"""128 and the number of SIGPIPE: what a shell reports of a program that the signal ended."""


class OutputLostError(Exception):
    """Standard output cannot be written.

    Attributes:
        has_reader_left: It is a pipe whose reader has had enough.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output cannot be written: {error.strerror or error}")
        self.has_reader_left = isinstance(error, BrokenPipeError)


class _Watched:
    """A stream whose failures are told from those of other files."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            raise OutputLostError(error) from error

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            raise OutputLostError(error) from error

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def run_with_output(program: str, command: Callable[[], int]) -> int:
    """Run a command, and end as one expects where its output cannot be written.

    Characters that the encoding of standard output or standard error lacks are written as escapes. A reader that has left
    (`| head`) ends the command without a word, any other failure (a full disk) with a sentence.

    Args:
        program: Name that the sentence begins with.
        command: Gives the exit status.

    Returns:
        The command's status, `EXIT_READER_LEFT` or `EXIT_OUTPUT_LOST`.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    stdout = sys.stdout
    if stdout is None:  # closed by whoever started us: nothing is printed
        return _status_of(command)
    sys.stdout = cast("TextIO", _Watched(stdout))
    try:
        status = _status_of(command)
        sys.stdout.flush()
    except OutputLostError as error:
        _forget(stdout)
        if error.has_reader_left:
            return EXIT_READER_LEFT
        with contextlib.suppress(OSError):
            sys.stderr.write(f"{program}: {error}\n")
        return EXIT_OUTPUT_LOST
    finally:
        sys.stdout = stdout
    return status


def _status_of(command: Callable[[], int]) -> int:
    """The status, also of a command that leaves by itself, as after its help."""
    try:
        return command()
    except SystemExit as leaving:
        if isinstance(leaving.code, str):
            raise
        return leaving.code or 0


def _forget(stream: TextIO) -> None:
    """Let what is still to be written go nowhere: the interpreter would try it again, and complain, when it ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)


def leave(status: int) -> NoReturn:
    """End the process at once: nothing waits for the interpreter to be taken apart, and with torch loaded that takes long.

    It is half a second of a core (a stop under load on two busy cores took 13 to 23 s instead of 2), and what a daemon thread still computes
    may crash it. For programs that have closed what they opened; the streams are flushed, `atexit` is not run.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    os._exit(status)
