"""Logging: the standard library's loggers everywhere, rendered by structlog as text for people or JSON for machines.

A line about a frame is written by a logger that is bound to it (`observe/fields`, which names its fields).
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import Processor
from typing_extensions import override

from inspector.observe.repeats import Repeats

# aiokafka tells of every fetch at info, urllib3 of every request to a collector at debug; what they repeat at warning is worth reading.
QUIET = {"aiokafka": logging.WARNING, "asyncio": logging.WARNING, "urllib3": logging.WARNING}


class _Handler(logging.StreamHandler[TextIO]):
    """Writes a condition that lasts once, and then a count once a minute."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._repeats = Repeats()

    @override
    def handle(self, record: logging.LogRecord) -> bool:
        told = self._repeats.told(record)
        return told is not None and super().handle(told)


def configure_logging(level: str, *, as_json: bool, stream: TextIO | None = None) -> None:
    """Send every log record of the process to `stream`, replacing what handled them before.

    A warning or an error that repeats itself is written once, and then once a minute with the number of those left out.

    Args:
        level: debug, info, warning or error.
        as_json: print one JSON object per line, with `extra` fields as keys, instead of text (coloured on a terminal).
        stream: default: standard error.
    """
    stream = sys.stderr if stream is None else stream
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if as_json:
        last += [structlog.processors.format_exc_info, structlog.processors.EventRenamer("message")]
        last += [structlog.processors.JSONRenderer()]
    else:
        last += [
            structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    handler = _Handler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name, at_least in QUIET.items():
        logging.getLogger(name).setLevel(max(at_least, root.level))
