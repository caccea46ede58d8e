"""Log lines that repeat: each condition is logged once, then once a minute with the number of repeats. Any thread."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

INTERVAL_S = 60.0
MAX_CONDITIONS = 1000

_CHANGING = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8,}|\d+", re.IGNORECASE)


@dataclass(slots=True)
class _Condition:
    told_s: float
    untold: int = 0


class Repeats:
    """Decides which warnings and errors are written; it leaves less severe messages alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing told."""
        self._clock = clock
        self._lock = threading.Lock()
        self._conditions: OrderedDict[tuple[str, int, str], _Condition] = OrderedDict()

    def told(self, record: logging.LogRecord) -> logging.LogRecord | None:
        """Return what to write of a record: itself, itself with the number of those left out before it, or nothing.

        Two records are of one condition where logger, level and text are the same but for numbers.
        """
        if record.levelno < logging.WARNING:
            return record
        text = record.getMessage()
        key = (record.name, record.levelno, _CHANGING.sub("#", text))
        now_s = self._clock()
        with self._lock:
            condition = self._conditions.get(key)
            if condition is None:
                self._conditions[key] = _Condition(now_s)
                if len(self._conditions) > MAX_CONDITIONS:
                    self._conditions.popitem(last=False)
                return record
            passed_s = now_s - condition.told_s
            if passed_s < INTERVAL_S:
                condition.untold += 1
                return None
            untold, condition.untold, condition.told_s = condition.untold, 0, now_s
        return record if untold == 0 else _with_count(record, text, untold, passed_s)


def _with_count(record: logging.LogRecord, text: str, untold: int, passed_s: float) -> logging.LogRecord:
    """Return a copy: the record itself belongs to all handlers."""
    copy = logging.makeLogRecord(record.__dict__)
    copy.msg, copy.args = f"{text} ({untold} more like this in the last {passed_s:.0f} s)", None
    return copy
