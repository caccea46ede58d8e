"""A program whose libraries write to standard error: `python -m tests.unit.inspector.observe.noisy WHAT`, for `test_stderr`."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
import warnings

import cv2
import numpy as np

from inspector.observe.logs import configure_logging
from inspector.observe.stderr import stderr_in_log


def spoilt_pictures() -> None:
    """Let libjpeg and libpng complain."""
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    for kind in (".jpg", ".png"):
        ok, data = cv2.imencode(kind, picture)
        assert ok
        middle = len(data) // 2
        data[middle : middle + 2] = 0xFF, 0xD4
        cv2.imdecode(data, cv2.IMREAD_UNCHANGED)


def write(text: bytes) -> None:
    """Write to file descriptor 2 from C, past Python."""
    ctypes.CDLL(None).write(2, text, len(text))


def act(what: str) -> None:
    """Be noisy in one way."""
    if what == "pictures":
        for _ in range(50):
            spoilt_pictures()
        write(b"half a line")
    elif what == "python":
        print("said to sys.stderr", file=sys.stderr)
        warnings.warn("of Python", stacklevel=1)
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
        raise ValueError("nobody catches this")
    elif what == "abort":
        write(b"terminate called: the reason\n")
        os.abort()
    elif what == "exit":
        write(b"and then it left\n")
        os._exit(7)


def main(what: str) -> None:
    """Log as JSON."""
    with stderr_in_log() as stream:
        configure_logging("info", as_json=True, stream=stream)
        act(what)
    print("done")


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main(sys.argv[1])
