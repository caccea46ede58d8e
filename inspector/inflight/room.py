"""Learns from batches that did not fit how many frames of a model the device has room for. Any thread."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass

PATIENCE = 50
"""Batches of the present size that must have fitted before a larger one is tried."""

MOST_PATIENCE = 3200
"""Each larger one that did not fit doubles the patience, up to this: a lasting want is not tried at the frames' cost for ever."""


@dataclass(slots=True)
class _Want:
    limit: int
    most: int
    patience: int = PATIENCE
    fitted: int = 0
    is_raised: bool = False


class Room:
    """Halves what did not fit, and doubles again, after a while, what did."""

    def __init__(self) -> None:
        """Begin without a limit."""
        self._wants: dict[object, _Want] = {}
        self._lock = threading.Lock()

    def forget_all_but(self, models: Collection[object]) -> None:
        """Forget what was learnt of models that are gone, which it would keep in memory."""
        with self._lock:
            for model in [model for model in self._wants if model not in models]:
                del self._wants[model]

    def limit(self, model: object) -> int | None:
        """Return how many frames fit; None: nothing has ever shown a limit, or it is over."""
        with self._lock:
            want = self._wants.get(model)
            return None if want is None else want.limit

    def smallest(self) -> int | None:
        """Return the smallest of all limits; None if there is none."""
        with self._lock:
            return min((want.limit for want in self._wants.values()), default=None)

    def exceeded(self, model: object, size: int) -> bool:
        """Learn that a batch of `size` frames did not fit; return whether that was not known."""
        with self._lock:
            want = self._wants.get(model)
            if want is None:
                self._wants[model] = _Want(max(1, size // 2), size)
                return True
            if size <= want.limit:
                if want.is_raised:
                    want.patience, want.is_raised = min(2 * want.patience, MOST_PATIENCE), False
                want.limit = max(1, size // 2)
            want.most = max(want.most, size)
            want.fitted = 0
            return False

    def fitted(self, model: object, size: int) -> bool:
        """Record that a batch of `size` frames fitted; return whether there is no longer a limit."""
        with self._lock:
            want = self._wants.get(model)
            if want is None or size < want.limit:
                return False
            want.fitted += 1
            if want.fitted < want.patience:
                return False
            if want.limit >= want.most:
                del self._wants[model]
                return True
            want.limit, want.fitted, want.is_raised = min(want.most, 2 * want.limit), 0, True
            return False
