"""SIGTERM and SIGINT: the first signal asks the process to stop, the second ends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)


@contextlib.contextmanager
def stopped_by_signals(stop: Callable[[], None], *, at_once_status: int) -> Iterator[None]:
    """Let the first SIGTERM or SIGINT stop the service and the second end the process at once. On the event loop of the main thread."""
    loop = asyncio.get_running_loop()
    received = 0

    def on_signal(number: signal.Signals) -> None:
        nonlocal received
        received += 1
        if received > 1:
            log.error("%s again: exiting at once", number.name)
            logging.shutdown()
            os._exit(at_once_status)
        log.info("%s: finishing the frames in flight", number.name)
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
