"""What the service's own handler writes, while a test looks."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from inspector.observe.logs import configure_logging


@contextmanager
def written_log(level: str) -> Iterator[io.StringIO]:
    """JSON lines from `level` on; afterwards logging is as it was."""
    root = logging.getLogger()
    handlers, before, quiet = root.handlers[:], root.level, logging.getLogger("aiokafka").level
    stream = io.StringIO()
    configure_logging(level, as_json=True, stream=stream)
    yield stream
    root.handlers = handlers
    root.setLevel(before)
    logging.getLogger("aiokafka").setLevel(quiet)
