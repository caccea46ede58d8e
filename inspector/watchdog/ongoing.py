"""Steps that were begun and must end, as the watchdog sees them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Ongoing:
    """The step that each of several doers is at. Any thread; a step costs about a microsecond."""

    def __init__(self) -> None:
        """Begin with nothing to do."""
        self._steps: dict[str, int] = {}
        self._lock = threading.Lock()
        self._count = 0

    @contextmanager
    def step(self, doer: str) -> Iterator[None]:
        """Say that `doer` is at a new step within the block, and at none behind it."""
        with self._lock:
            self._count += 1
            self._steps[doer] = self._count
        try:
            yield
        finally:
            with self._lock:
                self._steps.pop(doer, None)

    def steps(self) -> Mapping[str, int]:
        """Return the number of each doer's step; who does nothing is not there. No number comes twice."""
        with self._lock:
            return dict(self._steps)
