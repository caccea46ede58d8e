"""Signals that a test means to send, on their way even where the whole run was told to ignore them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def arriving(number: signal.Signals) -> Iterator[None]:
    """Let a signal do what it does by default, in this process and in those that are started within the block.

    What is ignored is inherited: a script's shell ignores SIGINT for what it runs in the background, nohup ignores SIGHUP. Our programs leave
    it so, as all programs should, and a test that sends one would wait for nothing. Main thread only.
    """
    inherited = signal.getsignal(number)
    if inherited is not signal.SIG_IGN:
        yield
        return
    signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, inherited)
